"""`roteiro status`: one batch, now or until its end."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from domain.status import TERMINAL, last_progress
from launcher import bootstrap
from launcher.consoles import (
    ago,
    error_console,
    moment,
    output_console,
    plain_table,
    print_json_with,
)
from launcher.exits import DONE, INTERRUPTED, BadInput
from launcher.progress import progress_on, summary
from launcher.settings import load_settings
from launcher.tables import print_failures
from services.ports import BatchQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from domain.status import BatchDoc, JobDoc
    from launcher.settings import Flags, Settings
    from services.ports import StatusStore

WATCH_EVERY: Final = 1.0
"""Seconds between two looks."""
MOST_JOBS: Final = 20


def show(batch_id: str, flags: Flags, *, watch: bool, every_job: bool, json: bool) -> int:
    """Print a batch's status; returns the exit code."""
    settings = load_settings(flags)
    with stored_batch(batch_id, settings) as (batch, statuses):
        latest = batch
        if watch:
            try:
                latest = watched(batch, statuses, settings, silent=json)
            except KeyboardInterrupt:
                error_console().print("No longer watching; the batch is left alone.")
                return INTERRUPTED
        if json:
            print_json_with(latest, "jobs", statuses.jobs(latest["batch_id"]))
        else:
            print_status(output_console(), latest, statuses, every_job=every_job)
            if bootstrap.claims(settings, statuses).is_left(latest):
                output_console().print(
                    "No process is making it any more. "
                    f"`roteiro retry {latest['batch_id']}` goes on with it.",
                    soft_wrap=True,
                )
    return DONE


@contextmanager
def stored_batch(batch_id: str, settings: Settings) -> Iterator[tuple[BatchDoc, StatusStore]]:
    """A batch and the store it is in; without an id, the newest.

    Raises:
        BadInput: where there is no such batch.
    """
    wanted = f"no batch {batch_id}" if batch_id else "no batch yet"
    unknown = BadInput(
        f"{wanted} in {settings.store}; `roteiro list` shows what there is, "
        "--output or --status names another place"
    )
    statuses = bootstrap.existing_statuses(settings)
    if statuses is None:
        raise unknown
    with closing(statuses):
        newest = statuses.batches(BatchQuery(limit=1))
        batch = statuses.batch(batch_id) if batch_id else next(newest, None)
        if batch is None:
            raise unknown
        yield batch, statuses


def watched(
    batch: BatchDoc,
    statuses: StatusStore,
    settings: Settings,
    *,
    silent: bool,
    at_each_look: Callable[[BatchDoc], None] = lambda _: None,
) -> BatchDoc:
    """Show a batch's progress until it has ended or is left; returns it as it is then."""
    claims = bootstrap.claims(settings, statuses)
    progress = progress_on(error_console(), silent=silent)
    batch_id = batch["batch_id"]
    progress.begin(f"Batch {batch_id} of {batch['owner']}")
    with progress:
        while True:
            latest = statuses.batch(batch_id) or batch
            progress.show(latest)
            at_each_look(latest)
            if latest["status"] in TERMINAL or claims.is_left(latest):
                return latest
            time.sleep(max(WATCH_EVERY, bootstrap.look_every(settings)))


def print_status(
    console: Console, batch: BatchDoc, statuses: StatusStore, *, every_job: bool = False
) -> None:
    """A batch's numbers, times, jobs and failures."""
    batch_id, total = batch["batch_id"], batch["total_jobs"]
    console.print(f"Batch {batch_id} of {batch['owner']}: {batch['status']}", soft_wrap=True)
    console.print(summary(batch), soft_wrap=True)
    times = {
        "created": batch["created_at"],
        "started": batch.get("started_at"),
        "ended": batch.get("completed_at"),
    }
    told = ", ".join(f"{name} {moment(time)}" for name, time in times.items() if time)
    progress = ""
    if batch["status"] not in TERMINAL:
        since = datetime.now(UTC) - last_progress(batch)
        progress = f"; last progress {ago(since.total_seconds())}"
    console.print(f"{told} UTC{progress}", soft_wrap=True)
    table = plain_table("Job", "Status", "Done>", "Failed>", "Title")
    for job in islice(statuses.jobs(batch_id), total if every_job else MOST_JOBS):
        table.add_row(*_job_row(job))
    console.print(table)
    if total > MOST_JOBS and not every_job:
        console.print(f"… the first {MOST_JOBS} of {total:,}; --jobs shows all.")
    if batch["failed_items"]:
        print_failures(console, statuses.jobs(batch_id))


def _job_row(job: JobDoc) -> tuple[str, ...]:
    ends = [item.get("status") for item in job["items"].values()]
    done, failed = ends.count("completed"), ends.count("failed")
    return job["job_id"], job["status"], f"{done}/{job['total_items']}", str(failed), job["title"]
