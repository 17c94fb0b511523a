"""`roteiro run`: one batch on the in-process runner, watched until its end."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.request import Problem, RequestError
from domain.work import Message
from launcher import bootstrap
from launcher.consoles import error_console, output_console, print_json_with, print_problems
from launcher.exits import BAD_INPUT, DONE, INTERRUPTED, SOME_FAILED, leave_at_once
from launcher.interrupts import Interrupts
from launcher.logs import configure_logging
from launcher.making import Making, sweep
from launcher.places import opened_statuses
from launcher.progress import progress_on
from launcher.requests import file_name, load_request, named
from launcher.settings import load_settings
from launcher.tables import print_failures, print_files
from launcher.validate import made_by, sizes
from services.caching import Tally
from services.errors import ServiceError

if TYPE_CHECKING:
    from domain.request import BatchRequest
    from launcher.progress import Progress
    from launcher.settings import Flags, Settings
    from pipeline.graph import NarrateBatches
    from services.ports import StatusStore


@dataclass(frozen=True, slots=True)
class View:
    """How much of a run is shown."""

    quiet: bool = False
    json: bool = False
    verbose: bool = False


def run(file: str, batch_id: str | None, flags: Flags, view: View) -> int:
    """Make a batch and show it; returns the exit code."""
    settings = load_settings(flags)
    bootstrap.check_access(settings)
    subject = file_name(file)
    try:
        languages = bootstrap.offered_languages(settings)
        request = named(load_request(file, languages, batch_id))
        subject = f"Batch {request.batch_id}"
        with opened_statuses(settings) as statuses:
            _check_content(request, statuses)
            with bootstrap.claims(settings, statuses).claim(str(request.batch_id)):
                words = ["run", file, "--batch_id", str(request.batch_id)]
                return make(request, settings, statuses, view, command_line(words, flags))
    except RequestError as error:
        print_problems(subject, error.problems)
        return BAD_INPUT


def command_line(words: list[str], flags: Flags) -> str:
    """What to type to go on with a batch, where it was begun."""
    program = "roteiro" if shutil.which("roteiro") else sys.argv[0]
    words = [program, *words]
    for name, value in flags.items():
        if isinstance(value, bool):
            words += [f"--{name}"] * value
        elif value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def _check_content(request: BatchRequest, statuses: StatusStore) -> None:
    """Raise RequestError where the id is another request's."""
    stored = statuses.batch(str(request.batch_id))
    if stored and stored["content_hash"] != request.content_hash():
        reason = f"{request.batch_id} is another request's already; choose another id, or none"
        raise RequestError([Problem("batch_id", reason)])


def make(
    request: BatchRequest, settings: Settings, statuses: StatusStore, view: View, again: str
) -> int:
    """Make a batch that this process holds, and show it; returns the exit code.

    Args:
        request: under its id.
        settings: who makes it, and where to.
        statuses: where it is, or will be.
        view: how much is shown.
        again: what to type to go on with it.
    """
    configure_logging(verbose=view.verbose)
    return _Run(request, settings, statuses, view, again).make()


class _Run:
    """A batch that is made while somebody watches.

    Args:
        again: what to type to go on with it.
    """

    def __init__(
        self,
        request: BatchRequest,
        settings: Settings,
        statuses: StatusStore,
        view: View,
        again: str,
    ) -> None:
        self._request = request
        self._settings = settings
        self._statuses = statuses
        self._view = view
        self._again = again
        self._errors = error_console()
        batch_id = str(request.batch_id)
        message = Message(request.encoded(), batch_id, uuid.uuid4().hex[:12], resume=True)
        self._making = Making(message, batch_id, self._flow, statuses)
        self._tally = Tally()

    def _flow(self) -> NarrateBatches:
        from pipeline.graph import NarrateBatches
        from transforms.concurrent import OncePerProcess

        sweep(self._settings.output, self._making.batch_id)
        tally = OncePerProcess(Tally)
        self._tally = tally()  # held, or it would be another one each time
        return NarrateBatches(bootstrap.services(self._settings, tally))

    def make(self) -> int:
        """Make it; returns the exit code."""
        making = self._making
        progress = progress_on(self._errors, silent=self._view.quiet or self._view.json)
        with Interrupts() as interrupts:
            progress.begin(
                f"Batch {making.batch_id}: {sizes(self._request)}, {made_by(self._settings)}."
            )
            self._watch(interrupts, progress)
            if making.is_alive():  # interrupted twice
                with suppress(ServiceError):  # what was in the way; the next run takes it up
                    making.settle(cancelled=True)
                self._errors.print(f"Stopped at once. Go on with: {self._again}", soft_wrap=True)
                # What is under its final name is whole; the rest is made next time.
                leave_at_once(INTERRUPTED)
        if making.error is not None:
            with suppress(ServiceError):  # it may be what was in the way
                making.settle(cancelled=False)
        return self._report(interrupted=interrupts.count > 0)

    def _watch(self, interrupts: Interrupts, progress: Progress) -> None:
        """Show progress until the work is done, or somebody interrupts it twice."""
        asked = False
        making = self._making
        with progress:
            making.start()
            while making.is_alive() and interrupts.count < 2:
                making.join(bootstrap.look_every(self._settings))
                if interrupts.count:
                    with suppress(ServiceError):  # asked again at the next look
                        making.stop()
                    if not asked:
                        progress.note(
                            "Stopping: calls under way are finished. Ctrl-C again stops at once."
                        )
                    asked = True
                with suppress(ServiceError):  # the pipeline waits for the store, and tells
                    if batch := making.batch():
                        progress.show(batch)

    def _report(self, *, interrupted: bool) -> int:
        """Print what has become of the batch; returns the exit code."""
        making, statuses, errors = self._making, self._statuses, self._errors
        batch = making.batch()
        hits, misses = self._tally.hits, self._tally.misses
        if batch is not None and self._view.json:
            told = {**batch, "cache": {"hits": hits, "misses": misses}}
            print_json_with(told, "jobs", statuses.jobs(making.batch_id))
        elif batch is not None and not self._view.quiet:
            print_files(output_console(), batch, statuses.jobs(making.batch_id))
        if hits and not self._view.quiet:
            errors.print(f"{hits:,} of {hits + misses:,} answers came from the cache.")
        if batch is not None and batch["failed_items"]:
            print_failures(errors, statuses.jobs(making.batch_id))
        if making.error is not None:
            errors.print(f"The run broke off: {making.told()}", soft_wrap=True)
            logging.getLogger("roteiro").debug("the run broke off", exc_info=making.error)
        interrupted = interrupted and (batch is None or batch["status"] == "cancelled")
        unfinished = batch["total_items"] - batch["completed_items"] if batch else 0
        missed = batch is None or unfinished > 0 or making.error is not None
        if missed:
            headline = "Interrupted. " if interrupted else ""
            missing = (
                f"{unfinished:,} of {batch['total_items']:,} narrations are missing; what is "
                "finished is kept. Go on with:"
                if batch
                else "Nothing was made. Begin with:"
            )
            errors.print(f"{headline}{missing} {self._again}", soft_wrap=True)
        if interrupted:
            return INTERRUPTED
        return SOME_FAILED if missed else DONE
