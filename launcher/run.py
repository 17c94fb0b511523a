"""`roteiro run`: one batch on the in-process runner, watched until its end."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import tempfile
import threading
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from domain import keys, status
from domain.request import Problem, RequestError
from domain.work import Message
from launcher import bootstrap
from launcher.consoles import error_console, output_console, print_json, print_problems
from launcher.exits import BAD_INPUT, DONE, INTERRUPTED, SOME_FAILED
from launcher.progress import LiveProgress, PlainProgress, SilentProgress
from launcher.requests import as_message, load_request
from launcher.tables import print_failures, print_files
from launcher.validate import sizes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from domain.request import BatchRequest
    from domain.status import BatchDoc
    from launcher.progress import Progress
    from launcher.settings import Settings
    from services.ports import StatusStore

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the batch's progress."""


@dataclass(frozen=True, slots=True)
class View:
    """How much of a run is shown."""

    quiet: bool = False
    json: bool = False
    verbose: bool = False


def run(file: str, batch_id: str | None, settings: Settings, view: View) -> int:
    """Make a batch and show it; returns the exit code."""
    _configure_logging(verbose=view.verbose)
    try:
        request = _named(load_request(file, bootstrap.offered_languages(settings)), batch_id)
        _check_output(settings.output)
    except RequestError as error:
        print_problems(file, error.problems)
        return BAD_INPUT
    with closing(bootstrap.statuses(settings)) as statuses:
        return _run(file, request, settings, statuses, view)


def _run(
    file: str, request: BatchRequest, settings: Settings, statuses: StatusStore, view: View
) -> int:
    batch_id = str(request.batch_id)
    stored = statuses.batch(batch_id)
    if stored and stored["content_hash"] != request.content_hash():
        reason = f"{batch_id} is another request's already; choose another id, or none"
        print_problems(file, [Problem("batch_id", reason)])
        return BAD_INPUT
    with _only_run(settings, batch_id) as alone:
        if not alone:
            problem = Problem("batch_id", f"{batch_id} is being made by another process")
            print_problems(file, [problem])
            return BAD_INPUT
        progress = _progress(view)
        progress.begin(
            f"Batch {batch_id}: {sizes(request)}, written by {settings.writer}, spoken by "
            f"{settings.voice}{_stand_in(settings)}."
        )
        message = Message(as_message(request), batch_id, uuid.uuid4().hex[:12], resume=True)
        batch, interrupted = _watched(_Run(message, settings), batch_id, statuses, progress)
    return _report(file, batch, statuses, view, interrupted=interrupted)


def _named(request: BatchRequest, batch_id: str | None) -> BatchRequest:
    """The request under the id it was given, its own, or a new one."""
    chosen = batch_id or request.batch_id or keys.new_batch_id(datetime.now(UTC), uuid.uuid4().hex)
    document = request.model_dump(mode="json") | {"batch_id": chosen}
    return type(request).model_validate(document, strict=False)


def _check_output(output: str) -> None:
    """Find out before any work that the deliverables can be written."""
    if "://" in output:
        return
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        problem = Problem("output", f"{output} cannot be written: {error.strerror}; see --output")
        raise RequestError([problem]) from None


def _stand_in(settings: Settings) -> str:
    offline = {settings.writer, settings.voice} & {"offline"}
    return " (a stand-in that needs no network)" if offline else ""


@contextmanager
def _only_run(settings: Settings, batch_id: str) -> Iterator[bool]:
    """Hold the batch for this process, on this machine; the system lets go when it dies."""
    import fasteners

    name = f"{settings.database.absolute()}\n{batch_id}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir(), f"roteiro-{digest}.lock")
    lock = fasteners.InterProcessLock(path)
    acquired = lock.acquire(blocking=False)
    try:
        yield acquired
    finally:
        if acquired:
            lock.release()


class _Run(threading.Thread):
    """The pipeline, in a thread of its own, so that the main one can be interrupted."""

    def __init__(self, message: Message, settings: Settings) -> None:
        super().__init__(name="pipeline", daemon=True)
        self._message = message
        self._settings = settings
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            # Here, because Beam takes seconds to import while the screen waits.
            import apache_beam as beam

            from pipeline.graph import NarrateBatches
            from pipeline.options import local_bounded

            pipeline = beam.Pipeline(options=local_bounded())
            messages = pipeline | "Read requests" >> beam.Create([self._message])
            _ = messages | NarrateBatches(bootstrap.services(self._settings))
            pipeline.run().wait_until_finish()
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            self.error = error


class _Interrupts:
    """Counts SIGINT and SIGTERM while it is entered, instead of raising from anywhere."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._add)
        return self

    def _add(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _watched(
    work: _Run, batch_id: str, statuses: StatusStore, progress: Progress
) -> tuple[BatchDoc, bool]:
    """Show progress until the work is done; the second value tells of an interrupt."""
    asked = False
    with _Interrupts() as interrupts, progress:
        work.start()
        while work.is_alive():
            work.join(LOOK_EVERY)
            batch = statuses.batch(batch_id)
            if interrupts.count and not asked and batch:
                asked = True
                now = status.timestamp(datetime.now(UTC))
                statuses.merge_batch(batch_id, {"cancel_requested_at": now})
                progress.note("Stopping: calls under way are finished. Ctrl-C again stops at once.")
            if interrupts.count > 1 or (interrupts.count and batch is None):
                _leave_at_once(batch_id, statuses)
            if batch:
                progress.show(batch)
        batch = statuses.batch(batch_id)
    if work.error is not None:
        raise work.error
    if batch is None:
        raise LookupError(f"batch {batch_id} has vanished from the status store")
    return batch, bool(interrupts.count) and batch["status"] == "cancelled"


def _leave_at_once(batch_id: str, statuses: StatusStore) -> None:
    """End the process: what is under its final name is whole, the rest is made next time."""
    now = datetime.now(UTC)
    ended = {"status": "cancelled", "completed_at": status.timestamp(now)}
    statuses.merge_batch(batch_id, ended)
    error_console().print(f"Stopped at once. Go on: roteiro run with --batch_id {batch_id}")
    os._exit(INTERRUPTED)


def _report(
    file: str, batch: BatchDoc, statuses: StatusStore, view: View, *, interrupted: bool
) -> int:
    if view.json:
        print_json(batch)
    elif not view.quiet:
        print_files(output_console(), batch, statuses)
    if batch["failed_items"] and not view.json:
        print_failures(error_console(), batch, statuses)
    unfinished = batch["total_items"] - batch["completed_items"]
    if unfinished and not view.json:
        error_console().print(
            f"{'Interrupted: ' if interrupted else ''}{unfinished} of {batch['total_items']} "
            f"narrations are missing; what is finished is kept. Go on with: "
            f"roteiro run {file} --batch_id {batch['batch_id']}",
            soft_wrap=True,
        )
    if interrupted:
        return INTERRUPTED
    return SOME_FAILED if unfinished else DONE


def _progress(view: View) -> Progress:
    console = error_console()
    if view.quiet or view.json:
        return SilentProgress()
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


def _configure_logging(*, verbose: bool) -> None:
    """Warnings to standard error, Beam's only where asked for."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    if not verbose:
        logging.getLogger("apache_beam").setLevel(logging.ERROR)
