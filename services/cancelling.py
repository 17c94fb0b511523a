"""Cancelling: how steps learn, without asking at every call, that they are to stop."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from services.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.ports import StatusStore

ASK_EVERY: Final = 1.0
"""Seconds; how late, at most, a step may learn of it."""


class CancelWatch:
    """Tells whether a batch was cancelled, from an answer of at most a second ago.

    And whether this process is to begin nothing more, whatever the batch.

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
        self._asking = threading.Lock()
        self._answers: dict[str, tuple[float, bool]] = {}
        self._stopping = False

    def stop(self) -> None:
        """Have the steps of this process begin nothing more; there is no way back."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end, and leaves what is not begun to the next."""
        return self._stopping

    def cancelled(self, batch_id: str) -> bool:
        """The latest answer; while the store is away, the last one it gave."""
        until, answer = self._answers.get(batch_id, (-math.inf, False))
        if self._clock() < until:
            return answer
        # One thread asks. Others wait for the first answer only: a store that is away may take
        # its time to fail, and none of them is to stand still for it.
        if not self._asking.acquire(blocking=until == -math.inf):
            return answer
        try:
            until, answer = self._answers.get(batch_id, (-math.inf, False))
            if self._clock() >= until:
                with suppress(ServiceError):
                    answer = self._statuses.cancel_requested(batch_id)
                self._answers[batch_id] = (self._clock() + self._interval, answer)
        finally:
            self._asking.release()
        return answer
