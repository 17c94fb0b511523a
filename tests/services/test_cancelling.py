"""How a step learns that its batch is to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from services.cancelling import CancelWatch
from tests.builders import batch_request
from tests.fakes import UnsteadyStatusStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WISH = {"cancel_requested_at": "2026-01-01T12:00:00.000+00:00"}


@dataclass
class Clock:
    """Seconds that pass when the test says so."""

    now: float = 100.0

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[UnsteadyStatusStore]:
    made = UnsteadyStatusStore(tmp_path / "status.db")
    for batch_id in ("cafe", "cha"):
        made.accept(batch_id, batch_request(), run_id="run-1", resume=False)
    yield made
    made.close()


def test_a_wish_is_seen_within_the_interval(store: UnsteadyStatusStore) -> None:
    """An answer holds for a second, whether it is yes or no, and for its batch alone."""
    clock = Clock()
    watch = CancelWatch(store, clock=clock)
    assert not watch.cancelled("cafe")
    store.merge_batch("cafe", WISH)
    clock.now += 0.99
    assert not watch.cancelled("cafe")
    clock.now += 0.01
    assert watch.cancelled("cafe")
    assert not watch.cancelled("cha")
    store.merge_batch("cafe", {"cancel_requested_at": None})
    clock.now += 0.5
    assert watch.cancelled("cafe")
    clock.now += 0.5
    assert not watch.cancelled("cafe")


def test_the_store_is_asked_once_an_interval(store: UnsteadyStatusStore) -> None:
    """However many steps ask."""
    clock = Clock()
    watch = CancelWatch(store, interval=5.0, clock=clock)
    for _ in range(100):
        watch.cancelled("cafe")
    assert store.asked == 1
    clock.now += 5.0
    for _ in range(100):
        watch.cancelled("cafe")
    assert store.asked == 2


def test_the_last_answer_holds_while_the_store_is_away(store: UnsteadyStatusStore) -> None:
    """A batch is neither stopped nor taken up because nobody can be asked."""
    clock = Clock()
    watch = CancelWatch(store, clock=clock)
    store.merge_batch("cafe", WISH)
    assert watch.cancelled("cafe")
    store.away |= {"cafe", "cha"}
    clock.now += 1.0
    assert watch.cancelled("cafe")
    assert not watch.cancelled("cha")
    asked = store.asked
    assert watch.cancelled("cafe")
    assert store.asked == asked, "a store that is away is not asked at every call either"
    store.away.clear()
    store.merge_batch("cafe", {"cancel_requested_at": None})
    clock.now += 1.0
    assert not watch.cancelled("cafe")


def test_an_unknown_batch_goes_on(store: UnsteadyStatusStore) -> None:
    """Nobody wants what is not there to stop."""
    assert not CancelWatch(store, clock=Clock()).cancelled("mate")
