"""`roteiro retry`: what a batch lacks is made, or all of it again; the calls are told beforehand."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from domain import keys, status
from domain.cost import cost
from domain.request import Problem, RequestError
from launcher import bootstrap, run, submit
from launcher.consoles import ago, error_console, output_console, print_json, print_problems
from launcher.exits import BAD_INPUT, DONE, INTERRUPTED, BadInput
from launcher.places import check_output
from launcher.requests import stored_request
from launcher.settings import load_settings
from launcher.status import stored_batch
from launcher.unfinished import PATIENCE
from launcher.validate import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.cost import Cost
    from domain.request import BatchRequest
    from domain.status import BatchDoc
    from launcher.claims import Claims
    from launcher.run import View
    from launcher.settings import Flags, Settings
    from services.ports import StatusStore


def retry(batch_id: str, flags: Flags, view: View, *, everything: bool, sure: bool) -> int:
    """Make what a batch lacks, or all of it again; returns the exit code."""
    settings = load_settings(flags)
    bootstrap.check_access(settings)
    try:
        with stored_batch(batch_id, settings) as (batch, statuses):
            claims = bootstrap.claims(settings, statuses)
            _check_idle(batch, claims)
            languages = bootstrap.offered_languages(settings)
            request = stored_request(batch, statuses.jobs(batch_id), languages)
            calls = _cost(request, settings, statuses, everything=everything)
            if batch["status"] == "completed" and not calls.narrations:
                return _complete(batch_id, calls, json=view.json)
            if not view.quiet:
                _tell(batch, calls)
            if not (sure or _agreed()):
                error_console().print("Nothing was begun.")
                return BAD_INPUT
            if settings.topic:
                with closing(bootstrap.topic(settings.topic)) as topic:
                    data = submit.encoded(request)
                    with _held(batch, statuses, claims):
                        _queue(request, statuses, everything=everything)
                    submit.publish(topic, data, request)
                return _published(batch_id, calls, json=view.json)
            check_output(settings)
            with _held(batch, statuses, claims):
                if everything:
                    _queue(request, statuses, everything=True)
                again = run.command_line(["retry", batch_id], flags)
                return run.make(request, settings, statuses, view, again)
    except RequestError as error:
        print_problems(f"Batch {batch_id}", error.problems)
        return BAD_INPUT
    except typer.Abort:
        return INTERRUPTED


def _check_idle(batch: BatchDoc, claims: Claims) -> None:
    """Raise BadInput where a batch is being made, as far as anyone can know."""
    now = datetime.now(UTC)
    if (
        batch["status"] == "running"
        and not claims.is_left(batch)
        and not status.is_stalled(batch, now, PATIENCE)
    ):
        since = (now - status.last_progress(batch)).total_seconds()
        raise BadInput(
            f"Batch {batch['batch_id']} is being made; last progress {ago(since)}. "
            f"`roteiro cancel {batch['batch_id']}` stops it; without progress for "
            f"{PATIENCE.total_seconds() / 60:g} minutes it counts as stalled."
        )


@contextmanager
def _held(batch: BatchDoc, statuses: StatusStore, claims: Claims) -> Iterator[None]:
    """Hold a batch that is still as it was looked at.

    Raises:
        RequestError: where another process has it, or has had it meanwhile.
    """
    batch_id = batch["batch_id"]
    with claims.claim(batch_id):
        latest = statuses.batch(batch_id)
        if latest is None or any(latest[field] != batch[field] for field in ("run_id", "status")):
            reason = f"{batch_id} was taken up or ended by another process meanwhile; look again"
            raise RequestError([Problem("batch_id", reason)])
        yield


def _cost(
    request: BatchRequest, settings: Settings, statuses: StatusStore, *, everything: bool
) -> Cost:
    batch_id = str(request.batch_id)
    artifacts = bootstrap.artifacts(settings.output)
    stored = {} if everything else artifacts.existing(keys.batch_folder(batch_id))
    return cost(request, statuses.jobs(batch_id), stored)


def _queue(request: BatchRequest, statuses: StatusStore, *, everything: bool) -> None:
    """Have a batch wait for its next run; that makes the items that are not done.

    The batch is queued before its items are forgotten: what never came to the
    end of this is made by the next run, or by the next try.
    """
    batch_id = str(request.batch_id)
    submit.queue(request, statuses, resume=True)
    if everything:
        patches = (
            (job["job_id"], status.taken_up_again(job, ())) for job in statuses.jobs(batch_id)
        )
        statuses.merge_jobs(batch_id, {job_id: patch for job_id, patch in patches if patch})


def _tell(batch: BatchDoc, calls: Cost) -> None:
    parts = (
        counted(calls.scripts, "script"),
        counted(calls.adaptations, "adaptation"),
        counted(calls.narrations, "narration"),
    )
    kept = batch["total_items"] - calls.narrations
    error_console().print(
        f"Batch {batch['batch_id']}: {', '.join(parts)} to be made; {kept:,} of "
        f"{counted(batch['total_items'], 'narration')} are kept.",
        soft_wrap=True,
    )


def _agreed() -> bool:
    """Ask whoever sits at a terminal; a program has decided already."""
    return not sys.stdin.isatty() or typer.confirm("Begin?", err=True)


def _complete(batch_id: str, calls: Cost, *, json: bool) -> int:
    if json:
        print_json({"batch_id": batch_id, "published": False, **asdict(calls)})
    error_console().print(
        f"Batch {batch_id} is complete; `--all` makes all of it again.", soft_wrap=True
    )
    return DONE


def _published(batch_id: str, calls: Cost, *, json: bool) -> int:
    if json:
        print_json({"batch_id": batch_id, "published": True, **asdict(calls)})
    else:
        output_console().print(
            f"Batch {batch_id} is queued. `roteiro status {batch_id}` tells how far it is.",
            soft_wrap=True,
        )
    return DONE
