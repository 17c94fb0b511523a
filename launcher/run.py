"""`roteiro run`: one batch on the in-process runner, watched until its end."""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import signal
import sys
import tempfile
import threading
import uuid
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from domain import keys, status
from domain.request import Problem, RequestError
from domain.work import Message
from launcher import bootstrap
from launcher.consoles import error_console, output_console, print_json_with, print_problems
from launcher.exits import BAD_INPUT, DONE, INTERRUPTED, SOME_FAILED
from launcher.progress import progress_on
from launcher.requests import as_message, file_name, load_request
from launcher.settings import load_settings
from launcher.tables import print_failures, print_files
from launcher.validate import sizes
from services.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from domain.request import BatchRequest
    from domain.status import BatchDoc
    from launcher.progress import Progress
    from launcher.settings import Flags, Settings
    from services.ports import StatusStore

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the batch's progress."""


@dataclass(frozen=True, slots=True)
class View:
    """How much of a run is shown."""

    quiet: bool = False
    json: bool = False
    verbose: bool = False


def run(file: str, batch_id: str | None, flags: Flags, view: View) -> int:
    """Make a batch and show it; returns the exit code."""
    settings = load_settings(flags)
    subject = file_name(file)
    try:
        languages = bootstrap.offered_languages(settings)
        request = _named(load_request(file, languages, batch_id))
        subject = f"Batch {request.batch_id}"
        bootstrap.check(settings)
        with _only_run(settings, request), closing(_prepared(settings, request)) as statuses:
            _configure_logging(verbose=view.verbose)
            work = _Run(request, settings, statuses)
            return _run(work, _command(file, request, flags), view)
    except RequestError as error:
        print_problems(subject, error.problems)
        return BAD_INPUT


def _named(request: BatchRequest) -> BatchRequest:
    """The request under its own id, or a new one."""
    if request.batch_id:
        return request
    new = keys.new_batch_id(datetime.now(UTC), uuid.uuid4().hex)
    return request.model_copy(update={"batch_id": new})


def _command(file: str, request: BatchRequest, flags: Flags) -> str:
    """What to type to go on with a batch."""
    words = ["roteiro", "run", file, "--batch_id", str(request.batch_id)]
    for name, value in flags.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


@contextmanager
def _only_run(settings: Settings, request: BatchRequest) -> Iterator[None]:
    """Hold the batch for this process, on this machine; the system lets go when it dies."""
    import fasteners

    # Of this user: another's file in the temporary folder could not be opened.
    user = getattr(os, "getuid", int)()
    name = f"{user}\n{settings.database.resolve()}\n{request.batch_id}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    lock = fasteners.InterProcessLock(Path(tempfile.gettempdir(), f"roteiro-{digest}.lock"))
    if not lock.acquire(blocking=False):
        problem = Problem("batch_id", f"{request.batch_id} is being made by another process")
        raise RequestError([problem])
    try:
        yield
    finally:
        lock.release()


def _prepared(settings: Settings, request: BatchRequest) -> StatusStore:
    """The status store, once nothing speaks against the run; else nothing is left behind.

    Raises:
        RequestError: where files cannot be written, or the id is another request's.
        ServiceError: where the status store cannot be used.
    """
    with ExitStack() as undo:
        if not settings.remote:
            _make_folder("output", Path(settings.output), undo)
        _make_folder("status", settings.database.parent, undo)
        statuses = undo.enter_context(closing(bootstrap.statuses(settings)))
        stored = statuses.batch(str(request.batch_id))
        if stored and stored["content_hash"] != request.content_hash():
            reason = f"{request.batch_id} is another request's already; choose another id, or none"
            raise RequestError([Problem("batch_id", reason)])
        undo.pop_all()
    return statuses


def _make_folder(setting: str, folder: Path, undo: ExitStack) -> None:
    """Make a folder that can be written, and take it back where something else fails."""
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            undo.callback(_remove_empty, path)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = f"{folder} cannot be written: {error.strerror}; --{setting} names another place"
        raise RequestError([Problem(setting, reason)]) from None


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


class _Run(threading.Thread):
    """The pipeline, in a thread of its own, so that the main one can be interrupted."""

    def __init__(self, request: BatchRequest, settings: Settings, statuses: StatusStore) -> None:
        super().__init__(name="pipeline", daemon=True)
        self.request = request
        self.settings = settings
        self.batch_id = str(request.batch_id)
        self.run_id = uuid.uuid4().hex[:12]
        self.error: Exception | None = None
        self._statuses = statuses
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            # Here, because Beam takes seconds to import while the screen waits.
            import apache_beam as beam

            from pipeline.graph import NarrateBatches
            from pipeline.options import local_bounded

            if self._stopped.is_set():
                return
            self._sweep()
            message = Message(as_message(self.request), self.batch_id, self.run_id, resume=True)
            pipeline = beam.Pipeline(options=local_bounded())
            messages = pipeline | "Read requests" >> beam.Create([message])
            _ = messages | "Narrate batches" >> NarrateBatches(bootstrap.services(self.settings))
            pipeline.run().wait_until_finish()
        except Exception as error:  # noqa: BLE001 - the main thread tells it
            self.error = error

    def _sweep(self) -> None:
        """Remove what a run that was killed had begun to write."""
        if not self.settings.remote:
            folder = Path(self.settings.output, keys.batch_folder(self.batch_id))
            for partial in folder.rglob(".*.part"):
                partial.unlink(missing_ok=True)

    def batch(self) -> BatchDoc | None:
        """The batch as this run has it; None until it was accepted."""
        batch = self._statuses.batch(self.batch_id)
        return batch if batch and batch["run_id"] == self.run_id else None

    def jobs(self) -> Iterator[status.JobDoc]:
        """The batch's jobs."""
        return self._statuses.jobs(self.batch_id)

    def stop(self) -> None:
        """Let calls under way finish and begin no other; may be asked again and again.

        The request is repeated because accepting a batch takes back an earlier one.
        """
        self._stopped.set()
        batch = self.batch()
        if batch and batch["status"] == "running" and not batch.get("cancel_requested_at"):
            now = status.timestamp(datetime.now(UTC))
            self._statuses.merge_batch(self.batch_id, {"cancel_requested_at": now})

    def settle(self, *, cancelled: bool) -> None:
        """Write down the end of a batch whose pipeline will not do it any more."""
        batch = self.batch()
        if batch is None or batch["status"] in status.TERMINAL:
            return
        jobs = {}
        for job in self.jobs():
            outcomes = [item.get("status") for item in job["items"].values()]
            completed, failed = outcomes.count("completed"), outcomes.count("failed")
            end = _ended(completed, failed, job["total_items"], cancelled=cancelled)
            if job["status"] != end["status"]:
                jobs[job["job_id"]] = end
        self._statuses.merge_jobs(self.batch_id, jobs)
        counts = batch["completed_items"], batch["failed_items"]
        total = max(batch["total_items"], sum(counts) + 1)  # if only the manifest is missing
        self._statuses.merge_batch(self.batch_id, _ended(*counts, total, cancelled=cancelled))


def _ended(completed: int, failed: int, total: int, *, cancelled: bool) -> status.Patch:
    missing = total - completed - failed
    final = status.final_status(
        completed=completed,
        failed=failed + (0 if cancelled else missing),
        cancelled=missing if cancelled else 0,
    )
    return {"status": final, "completed_at": status.timestamp(datetime.now(UTC))}


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


def _run(work: _Run, again: str, view: View) -> int:
    progress = progress_on(error_console(), silent=view.quiet or view.json)
    with _Interrupts() as interrupts:
        progress.begin(f"Batch {work.batch_id}: {sizes(work.request)}, {_made_by(work.settings)}.")
        _watch(work, interrupts, progress)
        if work.is_alive():  # interrupted twice
            work.settle(cancelled=True)
            error_console().print(f"Stopped at once. Go on with: {again}", soft_wrap=True)
            # What is under its final name is whole; the rest is made next time.
            os._exit(INTERRUPTED)
    if work.error is not None:
        with suppress(ServiceError):  # it may be what was in the way
            work.settle(cancelled=False)
    return _report(work, again, view, interrupted=interrupts.count > 0)


def _watch(work: _Run, interrupts: _Interrupts, progress: Progress) -> None:
    """Show progress until the work is done, or somebody interrupts it twice."""
    asked = False
    with progress:
        work.start()
        while work.is_alive() and interrupts.count < 2:
            work.join(LOOK_EVERY)
            if interrupts.count:
                work.stop()
                if not asked:
                    progress.note(
                        "Stopping: calls under way are finished. Ctrl-C again stops at once."
                    )
                asked = True
            if batch := work.batch():
                progress.show(batch)


def _made_by(settings: Settings) -> str:
    writer, speaker = (
        "the offline stand-in" if name == "offline" else name
        for name in (settings.writer, settings.voice)
    )
    if writer == speaker:
        return f"written and spoken by {writer}"
    return f"written by {writer}, spoken by {speaker}"


def _report(work: _Run, again: str, view: View, *, interrupted: bool) -> int:
    """Print what has become of the batch; returns the exit code."""
    batch, errors = work.batch(), error_console()
    if batch is not None and view.json:
        print_json_with(batch, "jobs", work.jobs())
    elif batch is not None and not view.quiet:
        print_files(output_console(), batch, work.jobs())
    if batch is not None and batch["failed_items"]:
        print_failures(errors, work.jobs())
    if work.error is not None:
        errors.print(f"The run broke off: {_told(work.error)}", soft_wrap=True)
        logging.getLogger("roteiro").debug("the run broke off", exc_info=work.error)
    interrupted = interrupted and (batch is None or batch["status"] == "cancelled")
    unfinished = batch["total_items"] - batch["completed_items"] if batch else 0
    missed = batch is None or unfinished > 0 or work.error is not None
    if missed:
        headline = "Interrupted. " if interrupted else ""
        missing = (
            f"{unfinished:,} of {batch['total_items']:,} narrations are missing; what is finished "
            "is kept. Go on with:"
            if batch
            else "Nothing was made. Begin with:"
        )
        errors.print(f"{headline}{missing} {again}", soft_wrap=True)
    if interrupted:
        return INTERRUPTED
    return SOME_FAILED if missed else DONE


def _told(error: Exception) -> str:
    """An error in a line."""
    if isinstance(error, ServiceError):
        return error.message
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first} (--verbose shows its traceback)"


class _Stderr:
    """Standard error as it is at the moment: live progress takes its place for a while."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _configure_logging(*, verbose: bool) -> None:
    """Warnings to standard error, Beam's only where asked for."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=_Stderr(),
    )
    # Beam logs each error with its traceback before it raises it.
    logging.getLogger("apache_beam").setLevel(logging.NOTSET if verbose else logging.CRITICAL)
    logging.getLogger("roteiro").setLevel(logging.DEBUG if verbose else logging.NOTSET)
