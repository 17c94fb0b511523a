"""Claims by lease: a time in the batch's document."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from domain.request import RequestError
from launcher.claims import LEASE, LeaseClaims
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import batch_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from domain.status import BatchDoc


@dataclass
class Clock:
    """A time that passes when the test says so."""

    now: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStatusStore]:
    with closing(SqliteStatusStore(tmp_path / "status.db")) as opened:
        opened.accept("cafe", batch_request(), run_id="run-1", resume=False)
        yield opened


def batch(store: SqliteStatusStore) -> BatchDoc:
    stored = store.batch("cafe")
    assert stored is not None
    return stored


def test_a_running_batch_that_is_let_go_of_is_left(store: SqliteStatusStore) -> None:
    """Nobody makes it any more; held, it was nobody else's."""
    clock = Clock()
    claims = LeaseClaims(store, clock)
    assert not claims.is_left(batch(store)), "it may be made by a runner without claims"
    with claims.claim("cafe"):
        pass
    assert claims.is_left(batch(store))
    store.merge_batch("cafe", {"held_until": (clock.now + LEASE).isoformat()})
    assert not claims.is_left(batch(store))
    with pytest.raises(RequestError, match="another process"), claims.claim("cafe"):
        pytest.fail("it is held")


@pytest.mark.parametrize("state", ["queued", "cancelled"])
def test_a_batch_that_does_not_run_is_not_left(store: SqliteStatusStore, state: str) -> None:
    """Let go of, it carries no lease: a runner without claims may make it next."""
    store.merge_batch("cafe", {"status": state})
    with LeaseClaims(store, Clock()).claim("cafe"):
        pass
    assert "held_until" not in batch(store)
