"""`roteiro status`: one batch, now or until its end."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from domain.status import TERMINAL
from launcher import bootstrap
from launcher.consoles import error_console, output_console, plain_table, print_json
from launcher.exits import BAD_INPUT, DONE
from launcher.progress import LiveProgress, PlainProgress, summary
from launcher.tables import print_failures
from services.ports import BatchQuery

if TYPE_CHECKING:
    from rich.console import Console

    from domain.status import BatchDoc, JobDoc
    from launcher.settings import Settings
    from services.ports import StatusStore

WATCH_EVERY: Final = 1.0
"""Seconds between two looks."""
MOST_JOBS: Final = 20


def show(batch_id: str, settings: Settings, *, watch: bool, every_job: bool, json: bool) -> int:
    """Print a batch's status; returns the exit code."""
    if not settings.database.exists():
        return _unknown(batch_id, settings)
    with closing(bootstrap.statuses(settings)) as statuses:
        batch = _find(batch_id, statuses)
        if batch is None:
            return _unknown(batch_id, settings)
        if watch:
            batch = _watch(batch, statuses, quiet=json)
        if json:
            print_json({**batch, "jobs": list(statuses.jobs(batch["batch_id"]))})
        else:
            _print(output_console(), batch, statuses, every_job=every_job)
    return DONE


def _find(batch_id: str, statuses: StatusStore) -> BatchDoc | None:
    if batch_id:
        return statuses.batch(batch_id)
    return next(statuses.batches(BatchQuery(limit=1)), None)


def _unknown(batch_id: str, settings: Settings) -> int:
    console = error_console()
    if batch_id:
        console.print(
            f"no batch {batch_id} in {settings.database}; `roteiro list` names those there are, "
            "--output or --status names another store",
            soft_wrap=True,
        )
    else:
        console.print(f"no batch yet in {settings.database}", soft_wrap=True)
    return BAD_INPUT


def _watch(batch: BatchDoc, statuses: StatusStore, *, quiet: bool) -> BatchDoc:
    console = error_console()
    progress = LiveProgress(console) if console.is_terminal else PlainProgress(console)
    batch_id = batch["batch_id"]
    if not quiet:
        progress.begin(f"Batch {batch_id} of {batch['owner']}")
    with progress:
        while True:
            latest = statuses.batch(batch_id) or batch
            if not quiet:
                progress.show(latest)
            if latest["status"] in TERMINAL:
                return latest
            time.sleep(WATCH_EVERY)


def _print(console: Console, batch: BatchDoc, statuses: StatusStore, *, every_job: bool) -> None:
    console.print(
        f"Batch {batch['batch_id']} of {batch['owner']}: {batch['status']}", soft_wrap=True
    )
    console.print(summary(batch), soft_wrap=True)
    times = [
        f"{name} {batch[key]}"  # type: ignore[literal-required]
        for name, key in (
            ("created", "created_at"),
            ("started", "started_at"),
            ("ended", "completed_at"),
        )
        if batch.get(key)
    ]
    console.print(", ".join(times), soft_wrap=True)
    table = plain_table("Job", "Status", "Done>", "Failed>", "Title")
    for row, job in enumerate(statuses.jobs(batch["batch_id"])):
        if row == MOST_JOBS and not every_job:
            break
        table.add_row(*_job_row(job))
    console.print(table)
    if batch["total_jobs"] > MOST_JOBS and not every_job:
        console.print(f"… the first {MOST_JOBS} of {batch['total_jobs']:,}; --jobs shows all.")
    if batch["failed_items"]:
        print_failures(console, batch, statuses)


def _job_row(job: JobDoc) -> tuple[str, ...]:
    ends = [item.get("status") for item in job["items"].values()]
    done, failed = ends.count("completed"), ends.count("failed")
    status = job["status"]
    if status == "queued" and ends:
        status = "running"
    return job["job_id"], status, f"{done}/{job['total_items']}", str(failed), job["title"]
