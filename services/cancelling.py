"""Cancelling: how steps learn, without asking at every call, that a batch is to stop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from services.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.ports import StatusStore

ASK_EVERY: Final = 1.0
"""Seconds; how late, at most, a step may learn of it."""


class CancelWatch:
    """Tells whether a batch was cancelled, from an answer of at most a second ago.

    Args:
        statuses: is asked once an interval and batch, whatever the number of steps.
        interval: seconds an answer holds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        statuses: StatusStore,
        interval: float = ASK_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._statuses = statuses
        self._interval = interval
        self._clock = clock
        self._answers: dict[str, tuple[float, bool]] = {}

    def cancelled(self, batch_id: str) -> bool:
        """The latest answer; while the store is away, the last one it gave."""
        now = self._clock()
        until, answer = self._answers.get(batch_id, (now, False))
        if now < until:
            return answer
        # Threads that come while this one asks make do with the old answer.
        self._answers[batch_id] = (now + self._interval, answer)
        try:
            answer = self._statuses.cancel_requested(batch_id)
        except ServiceError:
            return answer
        self._answers[batch_id] = (now + self._interval, answer)
        return answer
