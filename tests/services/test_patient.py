"""How a pipeline waits for a status store that is away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from services.errors import Refused, Unavailable
from services.ports import BatchQuery
from services.statuses.coalescing import CoalescingStatusStore
from services.statuses.outages import Outage
from services.statuses.patient import LONGEST_WAIT, PatientStatusStore
from tests.builders import batch_request
from tests.fakes import UnsteadyStatusStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NEVER = 3_600.0
REQUEST = batch_request("Um", "Dois", "Três")


@dataclass
class Clock:
    """Seconds that pass by sleeping only.

    Attributes:
        back: when `comes_back` is called.
    """

    back: float = 0.0
    comes_back: Callable[[], object] = print
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.slept.append(seconds)
        self.now += seconds
        if self.now >= self.back:
            self.comes_back()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[UnsteadyStatusStore]:
    made = UnsteadyStatusStore(tmp_path / "status.db")
    made.accept("cafe", REQUEST, run_id="run-1", resume=False)
    yield made
    made.close()


@pytest.fixture
def clock(store: UnsteadyStatusStore) -> Clock:
    """At sixty seconds the store is back."""
    return Clock(back=60.0, comes_back=store.away.clear)


@pytest.fixture
def patient(store: UnsteadyStatusStore, clock: Clock) -> PatientStatusStore:
    return waiting(store, clock)


def waiting(
    store: UnsteadyStatusStore, clock: Clock, patience: float = 600.0
) -> PatientStatusStore:
    return PatientStatusStore(store, patience, clock=clock, sleep=clock.sleep, random=lambda: 1.0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.accept("cafe", REQUEST, run_id="run-1", resume=False),
        lambda store: store.merge_batch("cafe", {"owner": "bia@example.com"}),
        lambda store: store.batch("cafe"),
        lambda store: store.job("cafe", "0001-um"),
        lambda store: list(store.jobs("cafe")),
        lambda store: store.merge_jobs("cafe", {"0001-um": {"status": "running"}}),
    ],
)
def test_what_a_step_needs_is_asked_for_until_it_is_there(
    patient: PatientStatusStore,
    store: UnsteadyStatusStore,
    clock: Clock,
    ask: Callable[[PatientStatusStore], object],
) -> None:
    """With waits that double up to a quarter of a minute, and the answer of a store that is there."""
    there = ask(patient)
    assert clock.slept == []
    store.away.add("cafe")
    assert ask(patient) == there
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]


def test_patience_ends(store: UnsteadyStatusStore, clock: Clock) -> None:
    """After so many seconds the store's own error is raised, with the tries it took."""
    store.away.add("cafe")
    with pytest.raises(Unavailable, match="cafe is away") as caught:
        waiting(store, clock, 30.0).batch("cafe")
    assert clock.now <= 30.0
    assert caught.value.attempts == 6


def test_no_patience_is_one_try(store: UnsteadyStatusStore, clock: Clock) -> None:
    """With none, an error is raised as it comes."""
    store.away.add("cafe")
    with pytest.raises(Unavailable):
        waiting(store, clock, 0.0).batch("cafe")
    assert clock.slept == []


def test_jobs_go_on_where_they_were(
    patient: PatientStatusStore, store: UnsteadyStatusStore, clock: Clock
) -> None:
    """None is told twice, none is left out, whenever the store goes away."""
    told = []
    for job in patient.jobs("cafe"):
        told.append(job["job_id"])
        store.away.add("cafe")
        clock.back = clock.now + 1.0
    assert told == ["0001-um", "0002-dois", "0003-tres"]
    assert clock.slept


def test_what_has_an_answer_or_no_time_does_not_wait(
    patient: PatientStatusStore, store: UnsteadyStatusStore, clock: Clock
) -> None:
    """Whether to stop is asked again in a second; a list is not part of any step."""
    store.away.add("cafe")
    with pytest.raises(Unavailable):
        patient.cancel_requested("cafe")
    assert [batch["batch_id"] for batch in patient.batches(BatchQuery())] == ["cafe"]
    assert clock.slept == []


def test_a_flush_of_nothing_is_no_sign_of_the_store(
    store: UnsteadyStatusStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """That it is back is told when it has answered."""
    outage = Outage()
    patient = PatientStatusStore(
        CoalescingStatusStore(store, NEVER, outage), 0.0, outage, clock=clock, sleep=clock.sleep
    )
    store.away.add("cafe")
    with pytest.raises(Unavailable):
        patient.batch("cafe")
    patient.flush()
    assert len(caplog.messages) == 1
    store.away.clear()
    patient.batch("cafe")
    assert caplog.messages[1:] == ['"the status store is back"']


def test_what_will_never_do_is_not_tried_again(
    patient: PatientStatusStore, store: UnsteadyStatusStore, clock: Clock
) -> None:
    """Only what is away may come back."""

    def refuse() -> None:
        raise Refused("no", code="permission_denied")

    store.meanwhile = refuse
    with pytest.raises(Refused):
        patient.merge_jobs("cafe", {"0001-um": {"status": "running"}})
    assert clock.slept == []


def test_merges_do_not_wait_and_a_flush_does(
    store: UnsteadyStatusStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """As a pipeline has it: steps go on, their bundle ends with the truth, one outage is told once."""
    outage = Outage()
    coalescing = CoalescingStatusStore(store, NEVER, outage)
    patient = PatientStatusStore(
        coalescing, 600.0, outage, clock=clock, sleep=clock.sleep, random=lambda: 1.0
    )
    store.away.add("cafe")
    coalescing.merge_jobs("cafe", {"0001-um": {"items": {"v0.en": {"stage": "adapt"}}}})
    coalescing.flush_if_possible()
    for number in range(3):
        patient.merge_jobs("cafe", {"0001-um": {"items": {f"v{number}.en": {"stage": "adapt"}}}})
        coalescing.flush_if_possible()
    assert clock.slept == []
    patient.flush()
    assert clock.now >= clock.back
    job = store.job("cafe", "0001-um")
    assert job
    assert len(job["items"]) == 3
    assert caplog.messages == [
        '"the status store is away; work goes on and progress waits" error="cafe is away"',
        '"the status store is back"',
    ]
    patient.close()
