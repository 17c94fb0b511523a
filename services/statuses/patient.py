"""Patience: while a status store is away, whoever needs it waits instead of failing."""

from __future__ import annotations

import random as chance
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from services.retrying import WORTH_ANOTHER_TRY, Policy, retry
from services.statuses.outages import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from domain.request import BatchRequest
    from domain.status import BatchDoc, JobDoc, Patch
    from services.ports import Acceptance, BatchQuery, StatusStore

FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 15.0
"""Seconds; the most between a store's return and its being noticed."""

T = TypeVar("T")


class PatientStatusStore:
    """A StatusStore that is asked again while it is away: with back-off, and not for ever.

    For a pipeline, in which an error would break off a bundle whose paid work
    is done. Every call of the port may be repeated: an acceptance by its
    run_id, a merge because it is idempotent.

    Not waited for: `cancel_requested`, because its caller has the last answer;
    `batches`, because no step lists any; `close`, because a process wants to end.

    Args:
        store: what is asked. Where it keeps merges, it should be able to do so
            without waiting: CoalescingStatusStore belongs behind this one.
        patience: seconds after which a call is not tried again and its error is
            raised; a try that was begun by then takes as long as it takes.
        outage: tells of it; shared with other wrappers of the same store.
        clock: seconds, from any beginning.
        sleep: waits for so many seconds.
        random: from 0 up to 1.
    """

    def __init__(
        self,
        store: StatusStore,
        patience: float,
        outage: Outage | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self._store = store
        self._outage = outage or Outage()
        self._policy = Policy(
            attempts=sys.maxsize,
            deadline=patience,
            base=FIRST_WAIT,
            overloaded_base=FIRST_WAIT,
            cap=LONGEST_WAIT,
        )
        self._clock, self._sleep, self._random = clock, sleep, random

    def _insist(self, call: Callable[[], T], *, reaches: bool = True) -> T:
        """What the call returns at last; whether it has then reached the store itself."""

        def tried() -> T:
            try:
                result = call()
            except WORTH_ANOTHER_TRY as error:
                self._outage.begins(error)
                raise
            if reaches:
                self._outage.ends()
            return result

        return retry(tried, self._policy, self._clock, self._sleep, self._random)

    def accept(
        self, batch_id: str, request: BatchRequest, *, run_id: str, resume: bool
    ) -> Acceptance:
        """See StatusStore."""
        return self._insist(
            lambda: self._store.accept(batch_id, request, run_id=run_id, resume=resume)
        )

    def cancel(self, batch_id: str) -> None:
        """See StatusStore."""
        self._insist(lambda: self._store.cancel(batch_id))

    def merge_batch(self, batch_id: str, patch: Patch) -> None:
        """See StatusStore."""
        self._insist(lambda: self._store.merge_batch(batch_id, patch))

    def merge_jobs(self, batch_id: str, patches: Mapping[str, Patch]) -> None:
        """See StatusStore."""
        try:
            self._store.merge_jobs(batch_id, patches)  # once an item: seldom in vain
        except WORTH_ANOTHER_TRY:
            self._insist(lambda: self._store.merge_jobs(batch_id, patches))

    def flush(self) -> None:
        """See StatusStore."""
        self._insist(self._store.flush, reaches=False)  # there may be nothing to write

    def batch(self, batch_id: str) -> BatchDoc | None:
        """See StatusStore."""
        return self._insist(lambda: self._store.batch(batch_id))

    def cancel_requested(self, batch_id: str) -> bool:
        """See StatusStore; fails at once."""
        return self._store.cancel_requested(batch_id)

    def job(self, batch_id: str, job_id: str) -> JobDoc | None:
        """See StatusStore."""
        return self._insist(lambda: self._store.job(batch_id, job_id))

    def jobs(self, batch_id: str) -> Iterator[JobDoc]:
        """See StatusStore; after an outage those told already are read again and left out."""
        told = 0
        rest: Iterator[JobDoc] | None = None

        def following() -> JobDoc | None:
            nonlocal rest
            if rest is None:
                rest = islice(self._store.jobs(batch_id), told, None)
            try:
                return next(rest, None)
            except WORTH_ANOTHER_TRY:
                rest = None  # a generator that has raised has ended
                raise

        while (job := self._insist(following)) is not None:
            told += 1
            yield job

    def batches(self, query: BatchQuery) -> Iterator[BatchDoc]:
        """See StatusStore; fails at once."""
        return self._store.batches(query)

    def close(self) -> None:
        """See StatusStore; fails at once."""
        self._store.close()
