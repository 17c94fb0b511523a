"""Interrupts: SIGINT and SIGTERM are counted, not raised from anywhere."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType


class Interrupts:
    """Counts SIGINT and SIGTERM while it is entered."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}
        self._first = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Wait, at most until the first interrupt; returns whether there was any."""
        return self._first.wait(seconds)

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._add)
        return self

    def _add(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._first.set()

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
