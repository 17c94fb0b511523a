"""Claims: who makes a batch, on this machine and anywhere."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from domain.request import RequestError
from domain.status import timestamp
from launcher.claims import LEASE, LeaseClaims
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import batch_request
from tests.fakes import UnsteadyStatusStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from domain.status import BatchDoc

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def statuses(tmp_path: Path) -> Iterator[SqliteStatusStore]:
    """A store with the running batch `cafe`."""
    with closing(SqliteStatusStore(tmp_path / "status.db")) as store:
        store.accept("cafe", batch_request(), run_id="run-1", resume=False)
        yield store


def leases(statuses: SqliteStatusStore, later: timedelta = timedelta()) -> LeaseClaims:
    return LeaseClaims(statuses, lambda: NOW + later)


def cafe(statuses: SqliteStatusStore) -> BatchDoc:
    batch = statuses.batch("cafe")
    assert batch
    return batch


def test_a_leased_batch_is_another_process_s(statuses: SqliteStatusStore) -> None:
    """While the lease holds nobody else can have it; it is renewed, not inherited."""
    with leases(statuses).claim("cafe"):
        # The first renewal is another thread's.
        while "held_until" not in cafe(statuses):
            pass
        assert cafe(statuses)["held_until"] == timestamp(NOW + LEASE)
        assert not leases(statuses).is_left(cafe(statuses))
        with pytest.raises(RequestError, match="made by another process"):  # noqa: SIM117
            with leases(statuses).claim("cafe"):
                pass


def test_a_batch_is_left_when_its_lease_has_run_out(statuses: SqliteStatusStore) -> None:
    """A process that died says nothing any more; after a while others may take its batch."""
    statuses.merge_batch("cafe", {"held_until": timestamp(NOW + LEASE)})
    later = leases(statuses, LEASE + timedelta(seconds=1))
    assert not leases(statuses).is_left(cafe(statuses))
    assert later.is_left(cafe(statuses))
    with later.claim("cafe"):
        pass


def test_a_released_batch_is_left_at_once(statuses: SqliteStatusStore) -> None:
    """Whoever ends its process in order does not make others wait."""
    with leases(statuses).claim("cafe"):
        pass
    assert leases(statuses, timedelta(seconds=1)).is_left(cafe(statuses))


@pytest.mark.parametrize("status", ["queued", "completed", "cancelled"])
def test_only_a_running_batch_can_be_left(statuses: SqliteStatusStore, status: str) -> None:
    """What waits or has ended is nobody's."""
    statuses.merge_batch("cafe", {"status": status, "held_until": timestamp(NOW)})
    assert not leases(statuses, LEASE).is_left(cafe(statuses))


def test_a_batch_without_a_lease_is_not_known_to_be_left(statuses: SqliteStatusStore) -> None:
    """A runner on a service holds no lease, and its batches are never taken from it."""
    assert not leases(statuses, timedelta(days=9)).is_left(cafe(statuses))


def test_a_lease_outlives_a_store_that_is_away(tmp_path: Path) -> None:
    """A renewal that fails is no reason to stop; the next one is soon enough."""
    with closing(UnsteadyStatusStore(tmp_path / "status.db")) as store:
        store.accept("cafe", batch_request(), run_id="run-1", resume=False)
        claims = LeaseClaims(store, lambda: NOW)
        with claims.claim("cafe"):
            store.close()


@pytest.mark.parametrize("status", ["queued", "cancelled"])
def test_a_batch_that_does_not_run_keeps_no_lease(statuses: SqliteStatusStore, status: str) -> None:
    """Let go of, it is as it was: a runner without claims may make it next."""
    statuses.merge_batch("cafe", {"status": status})
    with leases(statuses).claim("cafe"):
        pass
    assert "held_until" not in cafe(statuses)
