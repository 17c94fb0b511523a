"""Progress: one batch's numbers while it runs, on a terminal or line by line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol, Self

from launcher.consoles import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from domain.status import BatchDoc

LINE_EVERY: Final = 5.0
"""Seconds between two lines where the output is no terminal."""


class Progress(Protocol):
    """Something that shows how far a batch is."""

    def begin(self, headline: str) -> None:
        """Say what is about to be made."""

    def show(self, batch: BatchDoc) -> None:
        """Show the numbers of now."""

    def note(self, text: str) -> None:
        """Say something in between."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def progress_on(console: Console, *, silent: bool) -> Progress:
    """Bars on a terminal, lines elsewhere, nothing where nobody wants to know."""
    if silent:
        return SilentProgress()
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


class SilentProgress:
    """Shows nothing."""

    def begin(self, headline: str) -> None:
        """Nothing."""

    def show(self, batch: BatchDoc) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing."""


class PlainProgress(SilentProgress):
    """A line every few seconds while numbers change, and one at the end.

    Args:
        console: where to.
        now: monotonic seconds.
    """

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._pace = _Pace(now)
        self._printed = ""
        self._latest = ""
        self._due = 0.0

    def begin(self, headline: str) -> None:
        """The headline."""
        self._console.print(headline, soft_wrap=True)

    def show(self, batch: BatchDoc) -> None:
        """A line, where it is time for one and it says something new."""
        self._latest = summary(batch, self._pace.left(batch))
        if self._now() >= self._due:
            self._print()

    def _print(self) -> None:
        if self._latest != self._printed:
            self._console.print(self._latest, soft_wrap=True)
            self._printed = self._latest
        self._due = self._now() + LINE_EVERY

    def note(self, text: str) -> None:
        """The text."""
        self._console.print(text, soft_wrap=True)

    def __exit__(self, *_: object) -> None:
        self._print()


class LiveProgress(SilentProgress):
    """A bar for each stage, and one for the batch with its failures and the time left."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        from rich import progress as bars

        self._console = console
        self._pace = _Pace(now)
        self._bars = bars.Progress(
            bars.TextColumn("{task.description:<11}"),
            bars.BarColumn(bar_width=32),
            bars.TextColumn("{task.fields[count]:>15}"),
            bars.TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._scripts, self._adaptations, self._narrations, self._batch = (
            self._bars.add_task(name, total=None, count="", note="")
            for name in ("Scripts", "Adaptations", "Narrations", "Batch")
        )

    def begin(self, headline: str) -> None:
        """The headline, above the bars."""
        self._console.print(headline)

    def show(self, batch: BatchDoc) -> None:
        """Move the bars."""
        stats, total = batch["stats"], batch["total_items"]
        scripts = batch["total_jobs"] * batch["request"]["variations"]
        for bar, done, of in (
            (self._scripts, stats["scripts"], scripts),
            (self._adaptations, stats["adaptations"], total),
            (self._narrations, batch["completed_items"], total),
        ):
            self._bars.update(bar, completed=done, total=of, count=f"{done:,}/{of:,}")
        left = self._pace.left(batch)
        notes = [f"{batch['failed_items']:,} failed"] if batch["failed_items"] else []
        notes += [f"about {clock(left)} left"] if left else []
        self._bars.update(
            self._batch,
            completed=batch["completed_items"] + batch["failed_items"],
            total=total,
            count=f"{batch['progress_percentage']:g} %",
            note=", ".join(notes),
        )

    def note(self, text: str) -> None:
        """The text, above the bars."""
        self._bars.console.print(text)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def summary(batch: BatchDoc, left: float | None = None) -> str:
    """`Narrations 12 of 18 (66.7 %), scripts 6, adaptations 18, 0 failed, about 0:10 left`."""
    text = (
        f"Narrations {batch['completed_items']:,} of {batch['total_items']:,} "
        f"({batch['progress_percentage']:g} %), scripts {batch['stats']['scripts']:,}, "
        f"adaptations {batch['stats']['adaptations']:,}, {batch['failed_items']:,} failed"
    )
    return f"{text}, about {clock(left)} left" if left else text


class _Pace:
    """Guesses the time left from what has been finished since the first look."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._first: tuple[float, int] | None = None

    def left(self, batch: BatchDoc) -> float | None:
        """Seconds; None while there is nothing to guess from, or nothing left."""
        now, done = self._now(), batch["completed_items"] + batch["failed_items"]
        if self._first is None:
            self._first = (now, done)
        since, before = self._first
        remaining = batch["total_items"] - done
        if done == before or not remaining or batch["status"] != "running":
            return None
        return (now - since) / (done - before) * remaining
