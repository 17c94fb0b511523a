"""The contract of every status store, and what SQLite adds to it.

A new adapter joins ADAPTERS; the tests know it by its port only. Firestore's
are over the wire, and its own tests are in test_firestore.
"""

from __future__ import annotations

import gc
import itertools
import json
import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.status import (
    COUNTS,
    TERMINAL,
    Patch,
    counted,
    counts_of,
    item_patches,
    merge,
    timestamp,
)
from domain.work import CANCELLED, GeneratedScript, Item, Job, Progress
from services.errors import Unavailable
from services.ports import Acceptance, BatchQuery, StatusStore
from services.statuses.coalescing import CoalescingStatusStore
from services.statuses.firestore import FirestoreStatusStore
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import batch_request, failure, generated_script, item, job, narration, script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from domain.request import BatchRequest

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TITLES = ("Café", "Chá")
CAFE, CHA = job("Café", 1), job("Chá", 2)


class Ticking:
    """A clock that is a second later each time it is asked."""

    def __init__(self) -> None:
        self._seconds = itertools.count()

    def __call__(self) -> datetime:
        """The next second."""
        return START + timedelta(seconds=next(self._seconds))


class Adapter(Protocol):
    """Opens a store; pickles, and every call opens the same documents."""

    def open(self, clock: Callable[[], datetime]) -> StatusStore:
        """The store, as a process has it."""
        ...


@dataclass(frozen=True)
class Sqlite:
    """Opens the embedded store; each call another connection to the same file."""

    path: Path

    def open(self, clock: Callable[[], datetime]) -> StatusStore:
        """The store, as a process has it."""
        return SqliteStatusStore(self.path, clock)


@dataclass(frozen=True)
class CoalescingSqlite(Sqlite):
    """The same behind a store whose merges wait for `flush`."""

    def open(self, clock: Callable[[], datetime]) -> StatusStore:
        """The store, as a process has it."""
        return CoalescingStatusStore(super().open(clock), interval=3_600)


@dataclass(frozen=True)
class Firestore:
    """Opens the store in a database of its own; FIRESTORE_EMULATOR_HOST says where."""

    project: str

    def open(self, clock: Callable[[], datetime]) -> StatusStore:
        """The store, as a process has it."""
        return FirestoreStatusStore(self.project, clock=clock)


@dataclass(frozen=True)
class CoalescingFirestore(Firestore):
    """The same behind a store whose merges wait for `flush`."""

    def open(self, clock: Callable[[], datetime]) -> StatusStore:
        """The store, as a process has it."""
        return CoalescingStatusStore(super().open(clock), interval=3_600)


ADAPTERS = [Sqlite, CoalescingSqlite, Firestore, CoalescingFirestore]
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    kind: type[Sqlite | Firestore] = request.param
    if issubclass(kind, Firestore):
        return kind(request.getfixturevalue("firestore_project"))
    return kind(tmp_path / "made" / "status.db")


@pytest.fixture
def store(adapter: Adapter) -> Iterator[StatusStore]:
    opened = adapter.open(Ticking())
    yield opened
    opened.close()


def accept(
    store: StatusStore, batch_id: str = "cafe", run_id: str = "run-1", *, resume: bool = False
) -> str:
    """The verdict on a request of two titles, which is the same each time."""
    request = batch_request(*TITLES, languages=("pt-BR", "en-US"), variations=2)
    return store.accept(batch_id, request, run_id=run_id, resume=resume).verdict


def documents(store: StatusStore, batch_id: str = "cafe") -> Any:
    """All that is stored of a batch."""
    return store.batch(batch_id), list(store.jobs(batch_id))


def item_of(of: Job, language: str, variation: int) -> Item:
    return item(language, variation, of=of)


def record(store: StatusStore, *progress: Progress) -> None:
    """Merge what elements say of their items, as the pipeline does."""
    for made in progress:
        of = made.task.job if isinstance(made, GeneratedScript) else made.item.job
        store.merge_jobs(of.batch_id, {of.job_id: {"items": dict(item_patches(made))}})
    store.flush()


def test_a_new_batch_is_accepted_with_its_jobs(store: StatusStore) -> None:
    """Batch and jobs exist, in the titles' order and with nothing done, before any work."""
    request = batch_request(*TITLES, languages=("pt-BR", "en-US"), variations=2)
    answer = store.accept("cafe", request, run_id="run-1", resume=False)
    assert answer == Acceptance("accepted", request.content_hash())
    batch, jobs = documents(store)
    assert batch == {
        "batch_id": "cafe",
        "owner": "ana@example.com",
        "status": "running",
        "run_id": "run-1",
        "total_jobs": 2,
        "completed_jobs": 0,
        "failed_jobs": 0,
        "running_jobs": 0,
        "total_items": 8,
        "completed_items": 0,
        "failed_items": 0,
        "progress_percentage": 0.0,
        "created_at": timestamp(START),
        "started_at": timestamp(START),
        "content_hash": request.content_hash(),
        "request": request.model_dump(mode="json", exclude={"titles", "batch_id"}),
        "stats": {
            "scripts": 0,
            "adaptations": 0,
            "audio_seconds": 0.0,
            "audio_bytes": 0,
            "characters": 0,
        },
    }
    assert [(made["job_id"], made["title"], made["status"], made["items"]) for made in jobs] == [
        ("0001-cafe", "Café", "queued", {}),
        ("0002-cha", "Chá", "queued", {}),
    ]
    assert store.job("cafe", "0002-cha") == jobs[1]


def test_the_same_run_is_accepted_again(store: StatusStore) -> None:
    """A delivery that is retried finds what it left, whether its batch ended or not."""
    accept(store)
    store.merge_jobs("cafe", {"0001-cafe": {"status": "running"}})
    store.flush()
    before = documents(store)
    assert accept(store) == "accepted"
    assert accept(store, resume=True) == "accepted"
    assert documents(store) == before


@pytest.mark.parametrize("state", ["running", *sorted(TERMINAL)])
def test_another_run_is_a_duplicate(store: StatusStore, state: str) -> None:
    """Without resume a second copy of a batch, under way or ended, changes nothing."""
    accept(store)
    store.merge_batch("cafe", {"status": state})
    before = documents(store)
    assert accept(store, run_id="run-2") == "duplicate"
    assert documents(store) == before


@pytest.mark.parametrize("state", ["running", *sorted(TERMINAL)])
def test_another_run_that_resumes_is_accepted(store: StatusStore, state: str) -> None:
    """The batch runs again, no longer ended nor to be cancelled; its jobs keep what they have."""
    accept(store)
    record(store, narration(item_of(CAFE, "pt-BR", 1)))
    batch, jobs = documents(store)
    ended = {"completed_at": "x", "cancel_requested_at": "x", "manifest_uri": "out/manifest.json"}
    store.merge_batch("cafe", {"status": state, **ended})
    assert accept(store, run_id="run-2", resume=True) == "accepted"
    assert not store.cancel_requested("cafe")
    taken, kept = documents(store)
    assert taken["progressed_at"] > batch["created_at"]
    assert {**taken, "progressed_at": ""} == {**batch, "run_id": "run-2", "progressed_at": ""}
    assert kept == jobs
    assert accept(store, run_id="run-1") == "duplicate"


def test_a_batch_that_no_run_has_yet_is_queued(store: StatusStore) -> None:
    """An empty run_id leaves it queued, however often; the first run takes it up."""
    assert accept(store, run_id="") == "accepted"
    assert accept(store, run_id="") == "accepted"
    batch = store.batch("cafe")
    assert batch is not None
    assert (batch["status"], batch["run_id"], batch.get("started_at")) == ("queued", "", None)
    assert accept(store, run_id="run-1") == "accepted"
    batch = store.batch("cafe")
    assert batch is not None
    assert (batch["status"], batch["run_id"]) == ("running", "run-1")
    assert (batch["started_at"] or "") > batch["created_at"]
    assert accept(store, run_id="run-2") == "duplicate"
    assert accept(store, run_id="") == "duplicate"


def test_a_batch_can_be_queued_again(store: StatusStore) -> None:
    """An empty run_id with resume lets a batch that ended wait for a run."""
    accept(store)
    store.merge_batch("cafe", {"status": "partial", "completed_at": "x"})
    assert accept(store, run_id="", resume=True) == "accepted"
    batch = store.batch("cafe")
    assert batch is not None
    assert (batch["status"], batch["run_id"]) == ("queued", "")
    assert batch.get("completed_at") is None
    assert accept(store, run_id="run-2") == "accepted"


def test_a_queued_batch_is_cancelled_at_once(store: StatusStore) -> None:
    """Its message is a mere duplicate from then on; a run that resumes takes it up."""
    accept(store, run_id="")
    store.cancel("cafe")
    batch = store.batch("cafe")
    assert batch is not None
    assert (batch["status"], batch["run_id"]) == ("cancelled", "")
    assert batch["completed_at"] == batch["cancel_requested_at"]
    store.cancel("cafe")
    assert accept(store, run_id="run-1") == "duplicate"
    assert store.batch("cafe") == batch
    assert accept(store, run_id="run-2", resume=True) == "accepted"
    assert not store.cancel_requested("cafe")


def test_a_running_batch_is_asked_to_stop(store: StatusStore) -> None:
    """It goes on until its run writes its end; asking again keeps when it was asked first."""
    accept(store)
    before = store.batch("cafe")
    assert before is not None
    store.cancel("cafe")
    asked = store.batch("cafe")
    assert asked is not None
    assert asked == {**before, "cancel_requested_at": asked["cancel_requested_at"]}
    assert store.cancel_requested("cafe")
    store.cancel("cafe")
    assert store.batch("cafe") == asked


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_batch_that_ended_is_not_cancelled(store: StatusStore, state: str) -> None:
    """It stays as it ended, and what is not there stays away."""
    accept(store)
    store.merge_batch("cafe", {"status": state})
    before = documents(store)
    store.cancel("cafe")
    store.cancel("mate")
    assert documents(store) == before
    assert store.batch("mate") is None


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("run_id", ["run-1", "run-2", ""])
def test_other_content_under_a_taken_id_is_a_conflict(
    store: StatusStore, run_id: str, resume: bool
) -> None:
    """Whoever asks, the answer tells the stored request's hash and nothing changes."""
    accept(store)
    before = documents(store)
    answer = store.accept("cafe", batch_request("Mate"), run_id=run_id, resume=resume)
    assert answer == Acceptance("conflict", before[0]["content_hash"])
    assert documents(store) == before


def test_what_is_not_there_is_told_as_such(store: StatusStore) -> None:
    """An unknown batch has no document and no jobs, and nobody wants it to stop."""
    accept(store)
    assert store.batch("mate") is None
    assert list(store.jobs("mate")) == []
    assert store.job("mate", "0001-cafe") is None
    assert store.job("cafe", "0001-mate") is None
    assert not store.cancel_requested("mate")


def test_a_merge_changes_its_fields_only(store: StatusStore) -> None:
    """Objects merge, null removes, anything else replaces; other documents stay."""
    accept(store)
    accept(store, "cha")
    other = documents(store, "cha")
    store.merge_jobs(
        "cafe",
        {"0001-cafe": {"items": {"v1.pt-BR": {"status": "failed", "error": {"code": "x"}}}}},
    )
    store.merge_jobs(
        "cafe",
        {
            "0001-cafe": {"items": {"v1.pt-BR": {"error": None}, "v2.pt-BR": {"stage": "adapt"}}},
            "0002-cha": {"status": "completed", "completed_at": "x"},
        },
    )
    store.merge_batch("cafe", {"manifest_uri": "out", "started_at": None})
    store.flush()
    batch, (first, second) = documents(store)
    assert first["items"] == {"v1.pt-BR": {"status": "failed"}, "v2.pt-BR": {"stage": "adapt"}}
    assert (first["title"], first["status"]) == ("Café", "running")
    assert (second["status"], second["completed_at"], second["items"]) == ("completed", "x", {})
    assert batch["manifest_uri"] == "out"
    assert "started_at" not in batch
    assert documents(store, "cha") == other


def test_merges_can_be_repeated(store: StatusStore) -> None:
    """The same merges again, in any order of items, change nothing."""
    accept(store)
    made: list[Progress] = [
        narration(item_of(CAFE, "pt-BR", 1)),
        narration(item_of(CAFE, "en-US", 1)),
        failure(item_of(CAFE, "pt-BR", 2)),
    ]
    record(store, *made)
    before = documents(store)
    record(store, *reversed(made), *made)
    assert documents(store) == before


def test_a_merge_into_an_unknown_job_is_left_out(store: StatusStore) -> None:
    """It makes no document; its neighbours are merged all the same."""
    accept(store)
    store.merge_jobs("cafe", {"0009-mate": {"status": "x"}, "0002-cha": {"status": "completed"}})
    store.merge_jobs("mate", {"0001-mate": {"status": "x"}})
    store.flush()
    _, jobs = documents(store)
    assert [made["status"] for made in jobs] == ["queued", "completed"]
    assert documents(store, "mate") == (None, [])


def test_text_is_kept_as_it_is(store: StatusStore) -> None:
    """Quotes, emoji, line ends and right-to-left text come back as they were stored."""
    accept(store)
    message = "it said: 'não' \"no\" \\ ☕ \u202eabc\n\t{}$.[0] 珈琲"
    record(store, failure(item_of(CAFE, "pt-BR", 1), message=message))
    stored = store.job("cafe", "0001-cafe")
    assert stored is not None
    error = stored["items"]["v1.pt-BR"]["error"]
    assert error is not None
    assert error["message"] == message


def test_counts_are_those_of_the_items(store: StatusStore) -> None:
    """A batch's numbers follow from what became of its items, at any stage."""
    accept(store)
    every = [(language, variation) for variation in (1, 2) for language in ("pt-BR", "en-US")]
    record(store, *(narration(item_of(CAFE, *of)) for of in every))
    record(store, generated_script(of=CHA, languages=("pt-BR", "en-US")))
    record(store, script(of=item_of(CHA, "en-US", 1)))
    record(store, failure(item_of(CHA, "pt-BR", 2), stage="generate"))

    batch = store.batch("cafe")
    assert batch is not None
    assert (batch["completed_items"], batch["failed_items"]) == (4, 1)
    assert (batch["completed_jobs"], batch["failed_jobs"], batch["running_jobs"]) == (1, 0, 1)
    assert batch["progress_percentage"] == 62.5
    assert batch["stats"] == {
        "scripts": 3,
        "adaptations": 5,
        "audio_seconds": 6.0,
        "audio_bytes": 4_000,
        "characters": 80,
    }

    record(store, failure(item_of(CHA, "en-US", 2), stage="generate"))
    record(store, *(narration(item_of(CHA, language, 1)) for language in ("pt-BR", "en-US")))
    store.merge_batch("cafe", {"status": "partial"})
    batch = store.batch("cafe")
    assert batch is not None
    assert (batch["completed_items"], batch["failed_items"]) == (6, 2)
    assert (batch["completed_jobs"], batch["failed_jobs"], batch["running_jobs"]) == (1, 1, 0)
    assert batch["progress_percentage"] == 100.0
    assert batch["stats"]["scripts"] == 3


def test_counts_follow_an_item_that_is_tried_again(store: StatusStore) -> None:
    """They are absolute: an item counts as what became of it last."""
    accept(store)
    of = item_of(CAFE, "pt-BR", 1)
    counts = []
    for progress in (failure(of), script(of=of), narration(of), failure(of, code=CANCELLED)):
        record(store, progress)
        batch = store.batch("cafe")
        assert batch is not None
        counts.append(
            (batch["completed_items"], batch["failed_items"], batch["progress_percentage"])
        )
    assert counts == [(0, 1, 12.5), (0, 1, 12.5), (1, 0, 12.5), (0, 0, 0.0)]


def test_a_late_merge_of_a_stage_does_not_undo_an_outcome(store: StatusStore) -> None:
    """A worker that was thought lost may still say that it goes on to the next step."""
    accept(store)
    record(store, narration(item_of(CAFE, "pt-BR", 1)), failure(item_of(CAFE, "en-US", 1)))
    record(store, generated_script(of=CAFE, languages=("pt-BR", "en-US")))
    record(store, script(of=item_of(CAFE, "pt-BR", 1)), script(of=item_of(CAFE, "en-US", 1)))
    batch = store.batch("cafe")
    assert batch is not None
    assert (batch["completed_items"], batch["failed_items"]) == (1, 1)


def test_a_wish_to_stop_is_seen(store: StatusStore) -> None:
    """It is seen as soon as it is stored, and gone once it is taken back."""
    accept(store)
    accept(store, "cha")
    assert not store.cancel_requested("cafe")
    store.merge_batch("cafe", {"cancel_requested_at": timestamp(START)})
    assert store.cancel_requested("cafe")
    assert not store.cancel_requested("cha")
    store.merge_batch("cafe", {"cancel_requested_at": None})
    assert not store.cancel_requested("cafe")


@pytest.fixture(scope="module")
def largest() -> BatchRequest:
    """As many titles as a request may have."""
    return batch_request(*(f"Título {n}" for n in range(1, 10_001)))


def test_jobs_come_in_the_titles_order_however_many(
    store: StatusStore, largest: BatchRequest
) -> None:
    """Beyond a page, and beyond the four digits that most ids begin with, none is lost."""
    store.accept("cafe", largest, run_id="run-1", resume=False)
    positions = [made["position"] for made in store.jobs("cafe")]
    assert positions == list(range(1, 10_001))
    last = store.job("cafe", "10000-titulo-10000")
    assert last is not None
    assert last["title"] == "Título 10000"
    batch = store.batch("cafe")
    assert batch is not None
    assert batch["total_jobs"] == 10_000


def listed(store: StatusStore, **query: Any) -> list[str]:
    return [batch["batch_id"] for batch in store.batches(BatchQuery(**query))]


@pytest.fixture
def shelf(store: StatusStore) -> StatusStore:
    """Five batches, each a second or more younger than the one before."""
    for batch_id, owner, titles in (
        ("cafe-2026", "ana@example.com", ["A HISTÓRIA DO CAFÉ", "Chá"]),
        ("mate", "rui@example.com", ["O mate gaúcho"]),
        ("strasse", "ana@example.com", ["Die Straße nach Köln"]),
        ("agua", "ana@example.com.br", ["100% água", "História da água"]),
        ("leite", "ana@example.com", ["Leite_em_pó"]),
    ):
        request = batch_request(*titles, owner=owner)
        store.accept(batch_id, request, run_id="run-1", resume=False)
    store.merge_batch("mate", {"status": "completed"})
    store.merge_batch("leite", {"status": "completed"})
    return store


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["leite", "agua", "strasse", "mate", "cafe-2026"]),
        ({"limit": 2}, ["leite", "agua"]),
        ({"before": "strasse"}, ["mate", "cafe-2026"]),
        ({"before": "agua", "limit": 1}, ["strasse"]),
        ({"before": "cafe-2026"}, []),
        ({"owner": "ana@example.com"}, ["leite", "strasse", "cafe-2026"]),
        ({"owner": "ana"}, []),
        ({"status": "completed"}, ["leite", "mate"]),
        ({"status": "failed"}, []),
        ({"text": "história"}, ["agua", "cafe-2026"]),
        ({"text": "HISTORIA DO"}, ["cafe-2026"]),
        ({"text": "STRASSE"}, ["strasse"]),
        ({"text": "koln"}, ["strasse"]),
        ({"text": "cha"}, ["cafe-2026"]),
        ({"text": "fe-20"}, ["cafe-2026"]),
        ({"text": "%"}, ["agua"]),
        ({"text": "_"}, ["leite"]),
        ({"text": "'; DROP TABLE"}, []),
        ({"text": "a", "owner": "ana@example.com", "before": "leite"}, ["strasse", "cafe-2026"]),
        ({"text": "a", "status": "completed", "limit": 1}, ["mate"]),
    ],
)
def test_batches_are_listed_as_asked_for(
    shelf: StatusStore, query: dict[str, Any], expected: list[str]
) -> None:
    """By owner, status and text whatever its case and accents, newest first, page by page."""
    assert listed(shelf, **query) == expected


def test_a_listed_batch_is_its_document(shelf: StatusStore) -> None:
    """It has its counts as of now."""
    shelf.merge_jobs("mate", {"0001-o-mate-gaucho": {"items": {"v1.pt-BR": {"status": "failed"}}}})
    shelf.flush()
    batches = {batch["batch_id"]: batch for batch in shelf.batches(BatchQuery())}
    assert batches["mate"] == shelf.batch("mate")
    assert batches["mate"]["failed_items"] == 1


def test_pages_hold_each_batch_once(adapter: Adapter) -> None:
    """Even batches of one instant."""
    store = adapter.open(lambda: START)
    made = [f"batch-{number}" for number in range(7)]
    for batch_id in made:
        store.accept(batch_id, batch_request(), run_id="run-1", resume=False)
    seen = page = listed(store, limit=3)
    while page := listed(store, limit=3, before=page[-1]):
        seen = seen + page
    assert sorted(seen) == made
    store.close()


def test_closing_stores_what_was_merged(adapter: Adapter) -> None:
    """Whoever opens the store next finds all of it."""
    first = adapter.open(Ticking())
    accept(first)
    first.merge_jobs("cafe", {"0001-cafe": {"status": "completed"}})
    first.close()
    second = adapter.open(Ticking())
    stored = second.job("cafe", "0001-cafe")
    assert stored is not None
    assert stored["status"] == "completed"
    second.close()


def _narrate(store: StatusStore, variations: range) -> None:
    """Merge items of one job one by one, as a bundle does."""
    for variation in variations:
        record(store, narration(item_of(CAFE, "pt-BR", variation)))


def _narrate_elsewhere(adapter: Adapter, variations: range) -> None:
    """The same in another process."""
    store = adapter.open(Ticking())
    _narrate(store, variations)
    store.close()


SHARES = [range(first, 81, 4) for first in range(1, 5)]
"""Eighty items in four parts."""


def assert_all_there(store: StatusStore) -> None:
    stored = store.job("cafe", "0001-cafe")
    assert stored is not None
    assert {name for name, made in stored["items"].items() if made["status"] == "completed"} == {
        f"v{variation}.pt-BR" for share in SHARES for variation in share
    }
    batch = store.batch("cafe")
    assert batch is not None
    assert batch["completed_items"] == 80


def test_threads_lose_nothing_of_each_other(store: StatusStore) -> None:
    """Four threads merge different items into one job at once."""
    accept(store)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_narrate, [store] * 4, SHARES))
    assert_all_there(store)


def test_processes_lose_nothing_of_each_other(adapter: Adapter, store: StatusStore) -> None:
    """Four processes merge different items into one job at once."""
    accept(store)
    with SPAWN.Pool(2) as pool:
        pool.starmap(_narrate_elsewhere, [(adapter, share) for share in SHARES], chunksize=1)
        pool.close()
        pool.join()
    assert_all_there(store)


# What follows is SQLite's alone.


@pytest.fixture
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Paths that no database can be at."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no database, but long enough to be looked at. " * 100)
    return tmp_path / str(request.param)


@pytest.mark.parametrize("unusable", ["folder", "text", "text/status.db"], indirect=True)
def test_an_unusable_path_is_told(unusable: Path) -> None:
    """A path that holds something else is an error of the service."""
    with pytest.raises(Unavailable, match="the status store cannot be used: "):
        SqliteStatusStore(unusable)


def test_a_closed_store_is_away(tmp_path: Path) -> None:
    """Whatever is asked of it is an error of the service."""
    store = SqliteStatusStore(tmp_path / "status.db")
    store.close()
    store.close()
    for call in (
        lambda: accept(store),
        lambda: store.merge_batch("cafe", {}),
        lambda: store.merge_jobs("cafe", {"0001-cafe": {}}),
        lambda: store.batch("cafe"),
        lambda: store.cancel_requested("cafe"),
        lambda: store.job("cafe", "0001-cafe"),
        lambda: list(store.jobs("cafe")),
        lambda: list(store.batches(BatchQuery())),
    ):
        with pytest.raises(Unavailable):
            call()


def test_a_failed_acceptance_leaves_nothing(tmp_path: Path) -> None:
    """Where the store breaks down in the middle, neither batch nor jobs are there."""
    path = tmp_path / "status.db"
    store = SqliteStatusStore(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON jobs WHEN new.position = 2"
            " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    with pytest.raises(Unavailable, match="disk full"):
        accept(store)
    assert documents(store) == (None, [])
    store.close()


def test_a_store_that_nobody_holds_is_closed(tmp_path: Path) -> None:
    """The last connection takes SQLite's side files with it."""
    store = SqliteStatusStore(tmp_path / "status.db")
    accept(store)
    assert (tmp_path / "status.db-wal").exists()
    del store
    gc.collect()
    assert [file.name for file in tmp_path.iterdir()] == ["status.db"]


def test_reading_and_writing_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """While one process pages through a batch another merges into it, and is seen."""
    path = tmp_path / "status.db"
    reader, writer = SqliteStatusStore(path), SqliteStatusStore(path)
    request = batch_request(*(f"Título {n}" for n in range(1, 1_002)))
    writer.accept("cafe", request, run_id="run-1", resume=False)
    pages = reader.jobs("cafe")
    assert next(pages)["status"] == "queued"
    last = "1001-titulo-1001"
    writer.merge_jobs("cafe", {last: {"status": "completed"}})
    (*_, read) = pages
    assert (read["job_id"], read["status"]) == (last, "completed")
    with closing(sqlite3.connect(path, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        assert reader.batch("cafe") is not None
        busy.execute("ROLLBACK")
    reader.close()
    writer.close()


ROUNDS = 10


def _accept_at_once(
    folder: Path, run_id: str, start: Barrier, answers: SimpleQueue[list[str]]
) -> None:
    """Open new files and accept a batch in each at the moment another process does."""
    verdicts = []
    for number in range(ROUNDS):
        start.wait()
        try:
            store = SqliteStatusStore(folder / f"{number}.db")
            verdicts.append(accept(store, run_id=run_id))
            store.close()
        except Unavailable as error:
            verdicts.append(error.message)
    answers.put(verdicts)


def test_of_two_runs_at_once_one_is_accepted(tmp_path: Path) -> None:
    """Processes that meet over one new batch in a new file are told apart, every time."""
    start, answers = SPAWN.Barrier(2), SPAWN.SimpleQueue()
    runs = [
        SPAWN.Process(target=_accept_at_once, args=(tmp_path, f"run-{n}", start, answers))
        for n in range(2)
    ]
    for run in runs:
        run.start()
    first, second = answers.get(), answers.get()
    for run in runs:
        run.join()
        run.close()
    answers.close()
    assert [sorted(pair) for pair in zip(first, second, strict=True)] == (
        [["accepted", "duplicate"]] * ROUNDS
    )


def test_opening_a_new_file_waits_for_whoever_holds_it(tmp_path: Path) -> None:
    """SQLite alone would not wait to turn it to WAL, and say at once that it is locked."""
    path = tmp_path / "status.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        opening = pool.submit(SqliteStatusStore, path)
        wait([opening], timeout=0.2)  # for it to fail; nothing else would end it
        other.execute("ROLLBACK")
        opening.result().close()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["a", "b", "v1.pt-BR", "ação", "'\"$.[0]", ""]) | st.text(max_size=3)
PATCHES = st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=1, max_size=3)
BATCHES = itertools.count()


@given(PATCHES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_merge_is_the_domains(tmp_path_factory: Any, patches: list[Patch]) -> None:
    """SQLite's merge of any patches is the one that the domain defines."""
    # One file for all examples; a batch each.
    path = tmp_path_factory.getbasetemp() / "merges.db"
    store = SqliteStatusStore(path)
    batch_id = f"batch-{next(BATCHES)}"
    store.accept(batch_id, batch_request("Café"), run_id="run-1", resume=False)
    (expected,) = list(store.jobs(batch_id))
    for patch in patches:
        store.merge_jobs(batch_id, {"0001-cafe": patch})
        expected = merge(expected, patch)
    assert json.dumps(store.job(batch_id, "0001-cafe"), sort_keys=True) == json.dumps(
        expected, sort_keys=True
    )
    store.close()


ITEMS = st.dictionaries(
    st.sampled_from([f"v{variation}.{tag}" for variation in (1, 2, 12) for tag in ("pt-BR", "en")]),
    st.fixed_dictionaries(
        {},
        optional={
            "status": st.sampled_from(["completed", "failed", "cancelled"]),
            "stage": st.sampled_from(["adapt", "narrate"]),
            "adapted": st.just(True),
            "audio_seconds": st.floats(0, 1e4),
            "audio_bytes": st.integers(0, 2**40),
            "characters": st.integers(0, 2**20),
        },
    ),
)


@given(st.lists(ITEMS, min_size=2, max_size=2))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counts_of_any_items_are_the_domains(
    tmp_path_factory: Any, items: list[dict[str, Any]]
) -> None:
    """SQLite counts what the domain does, at whatever stage the items are."""
    store = SqliteStatusStore(tmp_path_factory.getbasetemp() / "counts.db")
    batch_id = f"batch-{next(BATCHES)}"
    request = batch_request(*TITLES, languages=("pt-BR", "en"), variations=3)
    store.accept(batch_id, request, run_id="run-1", resume=False)
    for job_id, made in zip(("0001-cafe", "0002-cha"), items, strict=True):
        store.merge_jobs(batch_id, {job_id: {"items": made}})
    each = [counts_of(job) for job in store.jobs(batch_id)]
    sums = {name: sum(cast("Any", counts)[name] for counts in each) for name in COUNTS}
    batch = store.batch(batch_id)
    assert batch is not None
    assert batch == counted(batch, sums)
    store.close()
