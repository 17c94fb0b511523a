"""Outages: that a status store is away is told once, and once that it is back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from services.logs import logger

if TYPE_CHECKING:
    from services.errors import ServiceError

log = logger()


class Outage:
    """What the wrappers of one store know of its being away, and tell of it."""

    def __init__(self) -> None:
        self._away = False
        self._lock = threading.Lock()

    @property
    def lasts(self) -> bool:
        """Whether the latest call failed."""
        return self._away

    def begins(self, error: ServiceError) -> None:
        """A call failed; logged where the one before did not."""
        with self._lock:
            if not self._away:
                log.warning(
                    "the status store is away; work goes on and progress waits",
                    error=error.message,
                )
            self._away = True

    def ends(self) -> None:
        """A call succeeded; logged where the one before did not."""
        if self._away:
            with self._lock:
                if self._away:
                    log.warning("the status store is back")
                self._away = False
