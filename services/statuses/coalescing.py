"""Coalescing: many small merges of a job's document become one write a second."""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from domain.status import absorb, timestamp
from services.errors import ServiceError
from services.statuses.outages import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from domain.request import BatchRequest
    from domain.status import BatchDoc, JobDoc, Patch
    from services.ports import Acceptance, BatchQuery, StatusStore

INTERVAL: Final = 1.0
"""Seconds; Firestore's sustained rate to one document is about one write a second."""

MOST_WAITING: Final = 500
"""Jobs of one batch; a step that is faster than the store waits for it here."""
MOST_KEPT: Final = 100_000
"""Merges, some 120 MB where each is a narration. A hundred calls at once of three seconds each come
to thirty narrations a second, of three merges each: that is enough for a quarter of an hour."""

PROGRESSED_EVERY: Final = timedelta(seconds=30)
"""Between two writes of the time of last progress: a fraction of what a batch's document takes."""


class CoalescingStatusStore:
    """A StatusStore whose merges of jobs wait up to a second for their like.

    They are stored by a thread of their own, so that no step waits for it,
    and by `flush`. Where the store is away they are kept for the next try, in
    memory, `most_kept` at most. Everything else goes straight through. A batch
    whose jobs are merged makes progress: when, is written into its document
    every half a minute at most.

    Args:
        store: where it all goes.
        interval: seconds between writes.
        outage: tells of it where the store is away; shared with other wrappers
            of the same store.
        most_kept: merges while the store is away; further ones fail.
        clock: tells the time, aware.
    """

    def __init__(
        self,
        store: StatusStore,
        interval: float = INTERVAL,
        outage: Outage | None = None,
        most_kept: int = MOST_KEPT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._outage = outage or Outage()
        self._most_kept = most_kept
        self._kept = 0
        self._clock = clock
        self._progressed: dict[str, datetime] = {}
        self._pending: dict[str, dict[str, Patch]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=_write_on, args=(weakref.ref(self), self._closed, interval), daemon=True
        )
        self._thread.start()
        weakref.finalize(self, self._closed.set)

    def merge_jobs(self, batch_id: str, patches: Mapping[str, Patch]) -> None:
        """See StatusStore; stored by the next write, at once where many wait already.

        The patches are the store's from now on.

        Raises:
            ServiceError: where too many wait for a store that is away; these are
                then not among them.
        """
        if self._kept >= self._most_kept:
            self.flush()
        with self._lock:
            self._put_behind(batch_id, patches)
            self._kept += len(patches)
            many = len(self._pending[batch_id]) >= MOST_WAITING
        # A step does not wait for a store that is away: the thread tries for all.
        if many and not self._outage.lasts:
            self.flush_if_possible()

    def flush(self) -> None:
        """See StatusStore."""
        with self._writing:
            with self._lock:
                taken, self._pending = self._pending, {}
                kept, self._kept = self._kept, 0
            for batch_id in list(taken):
                try:
                    self._store.merge_jobs(batch_id, taken[batch_id])
                    if taken.pop(batch_id):
                        self._tell_progress(batch_id)
                except BaseException as error:
                    self._put_back(taken, kept)
                    if isinstance(error, ServiceError):
                        self._outage.begins(error)
                    raise
                self._outage.ends()

    def _tell_progress(self, batch_id: str) -> None:
        now = self._clock()
        last = self._progressed.get(batch_id)
        if last is None or not timedelta() <= now - last < PROGRESSED_EVERY:
            with suppress(ServiceError):  # the jobs are stored; the next write tells of it
                self._store.merge_batch(batch_id, {"progressed_at": timestamp(now)})
                self._progressed[batch_id] = now

    def flush_if_possible(self) -> None:
        """Flush, or leave it to the next write where the store is away."""
        with suppress(ServiceError):  # told by the outage
            self.flush()

    def _put_behind(self, batch_id: str, patches: Mapping[str, Patch]) -> None:
        waiting = self._pending.setdefault(batch_id, {})
        for job_id, patch in patches.items():
            earlier = waiting.get(job_id)
            waiting[job_id] = absorb(earlier, patch) if earlier else patch

    def _put_back(self, taken: dict[str, dict[str, Patch]], kept: int) -> None:
        """What could not be stored goes before what has come since."""
        with self._lock:
            self._kept += kept
            newer, self._pending = self._pending, taken
            for batch_id, patches in newer.items():
                self._put_behind(batch_id, patches)

    def close(self) -> None:
        """See StatusStore."""
        self._closed.set()
        self._thread.join()
        try:
            self.flush()
        finally:
            self._store.close()

    def accept(
        self, batch_id: str, request: BatchRequest, *, run_id: str, resume: bool
    ) -> Acceptance:
        """See StatusStore."""
        return self._store.accept(batch_id, request, run_id=run_id, resume=resume)

    def cancel(self, batch_id: str) -> None:
        """See StatusStore."""
        self._store.cancel(batch_id)

    def merge_batch(self, batch_id: str, patch: Patch) -> None:
        """See StatusStore."""
        self._store.merge_batch(batch_id, patch)

    def batch(self, batch_id: str) -> BatchDoc | None:
        """See StatusStore."""
        return self._store.batch(batch_id)

    def cancel_requested(self, batch_id: str) -> bool:
        """See StatusStore."""
        return self._store.cancel_requested(batch_id)

    def job(self, batch_id: str, job_id: str) -> JobDoc | None:
        """See StatusStore."""
        return self._store.job(batch_id, job_id)

    def jobs(self, batch_id: str) -> Iterator[JobDoc]:
        """See StatusStore."""
        return self._store.jobs(batch_id)

    def batches(self, query: BatchQuery) -> Iterator[BatchDoc]:
        """See StatusStore."""
        return self._store.batches(query)


def _write_on(
    reference: weakref.ref[CoalescingStatusStore], closed: threading.Event, interval: float
) -> None:
    """Flush until the store is closed or nobody holds it."""
    while not closed.wait(interval):
        store = reference()
        if store is None:
            return
        store.flush_if_possible()
        del store
