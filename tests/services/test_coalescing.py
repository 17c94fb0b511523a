"""Merges that wait for their like, beyond the contract of every status store."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from domain.status import new_jobs, timestamp
from services.errors import Unavailable
from services.statuses.coalescing import MOST_WAITING, CoalescingStatusStore
from tests.builders import batch_request
from tests.fakes import UnsteadyStatusStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from domain.status import Patch

NEVER = 3_600.0
PATIENCE = 30.0
"""Seconds until a test gives up waiting for a thread; none waits that long."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[UnsteadyStatusStore]:
    made = UnsteadyStatusStore(tmp_path / "status.db")
    for batch_id in ("cafe", "cha"):
        made.accept(batch_id, batch_request("Um", "Dois"), run_id="run-1", resume=False)
    yield made
    made.close()


@pytest.fixture
def coalescing(store: UnsteadyStatusStore) -> Iterator[CoalescingStatusStore]:
    """A store that writes by flush only."""
    made = CoalescingStatusStore(store, NEVER)
    yield made
    store.away.clear()
    made.close()


def test_merges_of_one_job_become_one_write(
    coalescing: CoalescingStatusStore, store: UnsteadyStatusStore
) -> None:
    """Until a flush nothing is written; then a batch's jobs are, in one call."""
    coalescing.merge_jobs("cafe", {"0001-um": {"items": {"v1.en": {"stage": "adapt"}}}})
    coalescing.merge_jobs("cafe", {"0002-dois": {"status": "running"}})
    coalescing.merge_jobs(
        "cafe", {"0001-um": {"items": {"v1.en": {"stage": "narrate"}, "v2.en": {"a": None}}}}
    )
    coalescing.merge_jobs("cha", {"0001-um": {"status": "running"}})
    assert store.writes == []
    coalescing.flush()
    assert store.writes == [
        (
            "cafe",
            {
                "0001-um": {"items": {"v1.en": {"stage": "narrate"}, "v2.en": {"a": None}}},
                "0002-dois": {"status": "running"},
            },
        ),
        ("cha", {"0001-um": {"status": "running"}}),
    ]


def test_a_flush_writes_what_is_new(
    coalescing: CoalescingStatusStore, store: UnsteadyStatusStore
) -> None:
    """What was written is not written again, and an idle flush writes nothing."""
    coalescing.merge_jobs("cafe", {"0001-um": {"status": "running"}})
    coalescing.flush()
    coalescing.flush()
    coalescing.merge_jobs("cafe", {"0001-um": {"status": "completed"}})
    coalescing.flush()
    assert [patches["0001-um"]["status"] for _, patches in store.writes] == ["running", "completed"]


def test_merges_outlast_a_store_that_is_away(
    coalescing: CoalescingStatusStore, store: UnsteadyStatusStore
) -> None:
    """They are kept, in order with what comes later, and written once it is back."""
    store.away.add("cha")
    coalescing.merge_jobs("cafe", {"0001-um": {"status": "running"}})
    coalescing.merge_jobs("cha", {"0001-um": {"status": "running", "a": 1}})
    with pytest.raises(Unavailable):
        coalescing.flush()
    coalescing.merge_jobs("cha", {"0001-um": {"status": "completed", "b": 2}})
    with pytest.raises(Unavailable):
        coalescing.flush()
    store.away.clear()
    coalescing.flush()
    assert store.writes == [
        ("cafe", {"0001-um": {"status": "running"}}),
        ("cha", {"0001-um": {"status": "completed", "a": 1, "b": 2}}),
    ]


def test_what_comes_during_a_failed_write_goes_behind_it(
    coalescing: CoalescingStatusStore, store: UnsteadyStatusStore
) -> None:
    """The newer value of a field is the one that stays."""
    store.away.add("cafe")
    store.meanwhile = lambda: coalescing.merge_jobs("cafe", {"0001-um": {"status": "completed"}})
    coalescing.merge_jobs("cafe", {"0001-um": {"status": "running", "a": 1}})
    with pytest.raises(Unavailable):
        coalescing.flush()
    store.meanwhile = lambda: None
    store.away.clear()
    coalescing.flush()
    assert store.writes == [("cafe", {"0001-um": {"status": "completed", "a": 1}})]


def test_the_time_of_progress_is_told_now_and_then(store: UnsteadyStatusStore) -> None:
    """With the first merge and half a minute later; not for merges of nothing."""
    start = now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    coalescing = CoalescingStatusStore(store, NEVER, clock=lambda: now)

    def told(patches: dict[str, Patch], seconds: int) -> str | None:
        nonlocal now
        now = start + timedelta(seconds=seconds)
        coalescing.merge_jobs("cafe", patches)
        coalescing.flush()
        batch = store.batch("cafe")
        assert batch is not None
        return batch.get("progressed_at")

    merge: dict[str, Patch] = {"0001-um": {"status": "running"}}
    assert told({}, 0) is None
    assert told(merge, 1) == timestamp(start + timedelta(seconds=1))
    assert told(merge, 30) == timestamp(start + timedelta(seconds=1))
    assert told(merge, 31) == timestamp(start + timedelta(seconds=31))
    assert told({}, 100) == timestamp(start + timedelta(seconds=31))
    assert told(merge, 0) == timestamp(start), "a clock that was set back is believed"
    coalescing.close()


def test_many_jobs_do_not_wait(tmp_path: Path) -> None:
    """Once 500 jobs of a batch wait they are written; no step tries where the store is away."""
    store = UnsteadyStatusStore(tmp_path / "status.db")
    request = batch_request(*("Título",) * MOST_WAITING)
    jobs = [job["job_id"] for job in new_jobs("cafe", request)]
    store.accept("cafe", request, run_id="run-1", resume=False)
    coalescing = CoalescingStatusStore(store, NEVER)
    store.away.add("cafe")
    for job_id in jobs:
        assert not store.tried.is_set()
        coalescing.merge_jobs("cafe", {job_id: {"status": "running"}})
    assert store.tried.is_set()
    store.tried.clear()
    coalescing.merge_jobs("cafe", {jobs[0]: {"a": 1}})
    assert not store.tried.is_set()
    store.away.clear()
    coalescing.flush()
    ((_, patches),) = store.writes
    assert patches == {job_id: {"status": "running"} for job_id in jobs} | {
        jobs[0]: {"status": "running", "a": 1}
    }
    coalescing.close()


def test_merges_that_no_memory_is_for_fail(store: UnsteadyStatusStore) -> None:
    """While the store is away so many are kept and no more; when it is back, they are written."""
    coalescing = CoalescingStatusStore(store, NEVER, most_kept=2)
    store.away.add("cafe")
    for name in ("a", "b"):
        coalescing.merge_jobs("cafe", {"0001-um": {name: 1}})
    with pytest.raises(Unavailable):
        coalescing.merge_jobs("cafe", {"0001-um": {"c": 1}})
    store.away.clear()
    coalescing.merge_jobs("cafe", {"0001-um": {"c": 1}})
    coalescing.flush()
    assert [patches for _, patches in store.writes] == [
        {"0001-um": {"a": 1, "b": 1}},
        {"0001-um": {"c": 1}},
    ]
    coalescing.close()


def test_closing_writes_and_closes(tmp_path: Path, store: UnsteadyStatusStore) -> None:
    """What still waits is stored; the store behind is closed, even where it is away."""
    for away in (False, True):
        behind = UnsteadyStatusStore(tmp_path / "status.db")
        coalescing = CoalescingStatusStore(behind, NEVER)
        coalescing.merge_jobs("cafe", {"0001-um": {"status": "completed"}})
        if away:
            behind.away.add("cafe")
            with pytest.raises(Unavailable, match="away"):
                coalescing.close()
            behind.away.clear()
        else:
            coalescing.close()
        with pytest.raises(Unavailable, match="closed"):
            behind.batch("cafe")
    stored = store.job("cafe", "0001-um")
    assert stored is not None
    assert stored["status"] == "completed"


def test_merges_are_written_by_themselves(store: UnsteadyStatusStore) -> None:
    """Once an interval a thread writes what waits; while the store is away it tries again."""
    coalescing = CoalescingStatusStore(store, interval=0.001)
    store.away.add("cafe")
    coalescing.merge_jobs("cafe", {"0001-um": {"status": "running"}})
    assert store.tried.wait(PATIENCE)
    store.away.clear()
    store.tried.clear()
    while not store.writes:
        assert store.tried.wait(PATIENCE)
        store.tried.clear()
    assert store.writes == [("cafe", {"0001-um": {"status": "running"}})]
    coalescing.close()


def test_an_outage_is_told_once_and_its_end_too(
    store: UnsteadyStatusStore, caplog: pytest.LogCaptureFixture
) -> None:
    """However many tries fail in between."""
    coalescing = CoalescingStatusStore(store, interval=0.001)
    store.away.add("cafe")
    coalescing.merge_jobs("cafe", {"0001-um": {"status": "running"}})
    for _ in range(5):
        store.tried.clear()
        assert store.tried.wait(PATIENCE)
    store.away.clear()
    coalescing.close()
    assert caplog.messages == [
        '"the status store is away; work goes on and progress waits" error="cafe is away"',
        '"the status store is back"',
    ]


def test_a_store_that_nobody_holds_ends_its_thread(store: UnsteadyStatusStore) -> None:
    """Neither a thread nor the store behind it outlives its user."""
    coalescing = CoalescingStatusStore(store, NEVER)
    thread = coalescing._thread
    assert thread.is_alive()
    del coalescing
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_threads_lose_nothing_while_others_flush(
    coalescing: CoalescingStatusStore, store: UnsteadyStatusStore
) -> None:
    """Each thread's merges are all stored, however flushes fall between them."""

    def merge(name: str) -> None:
        for number in range(50):
            coalescing.merge_jobs(
                "cafe", {"0001-um": {"items": {f"{name}{number}": {"n": number}}}}
            )
            if number % 10 == 0:
                coalescing.flush()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(merge, "abcd"))
    coalescing.flush()
    stored = store.job("cafe", "0001-um")
    assert stored is not None
    assert len(stored["items"]) == 200
