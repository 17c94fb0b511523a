"""Fakes: ports that tests can switch off, and that tell what they were asked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from services.errors import Unavailable
from services.statuses.sqlite import SqliteStatusStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from domain.request import BatchRequest
    from domain.status import BatchDoc, JobDoc, Patch
    from services.ports import Acceptance


class UnsteadyStatusStore(SqliteStatusStore):
    """The embedded status store, which can be away and tells what reached it.

    Attributes:
        away: names of batches that cannot be reached.
        writes: what was merged into jobs, in order, by batch.
        asked: how often somebody asked for a wish to stop.
        read: batches whose documents were asked for, in order.
        tried: set when a merge of jobs comes, whether it succeeds or not.
        meanwhile: is called while a merge of jobs is under way.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.away: set[str] = set()
        self.writes: list[tuple[str, dict[str, Patch]]] = []
        self.asked = 0
        self.read: list[str] = []
        self.tried = threading.Event()
        self.meanwhile: Callable[[], None] = lambda: None

    def merge_jobs(self, batch_id: str, patches: Mapping[str, Patch]) -> None:
        """See StatusStore."""
        try:
            self.meanwhile()
            self._reach(batch_id)
            super().merge_jobs(batch_id, patches)
            self.writes.append((batch_id, dict(patches)))
        finally:
            self.tried.set()

    def accept(
        self, batch_id: str, request: BatchRequest, *, run_id: str, resume: bool
    ) -> Acceptance:
        """See StatusStore."""
        self._reach(batch_id)
        return super().accept(batch_id, request, run_id=run_id, resume=resume)

    def merge_batch(self, batch_id: str, patch: Patch) -> None:
        """See StatusStore."""
        self._reach(batch_id)
        super().merge_batch(batch_id, patch)

    def job(self, batch_id: str, job_id: str) -> JobDoc | None:
        """See StatusStore."""
        self._reach(batch_id)
        return super().job(batch_id, job_id)

    def jobs(self, batch_id: str) -> Iterator[JobDoc]:
        """See StatusStore; may be away from one to the next."""
        self._reach(batch_id)
        for job in super().jobs(batch_id):
            self._reach(batch_id)
            yield job

    def cancel_requested(self, batch_id: str) -> bool:
        """See StatusStore."""
        self.asked += 1
        self._reach(batch_id)
        return super().cancel_requested(batch_id)

    def batch(self, batch_id: str) -> BatchDoc | None:
        """See StatusStore."""
        self.read.append(batch_id)
        self._reach(batch_id)
        return super().batch(batch_id)

    def _reach(self, batch_id: str) -> None:
        if batch_id in self.away:
            raise Unavailable(f"{batch_id} is away")
