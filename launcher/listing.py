"""`roteiro list`: the batches there are."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from domain.status import STATUSES, is_stalled, last_progress
from launcher import bootstrap
from launcher.consoles import (
    ago,
    error_console,
    moment,
    output_console,
    plain_table,
    print_json,
)
from launcher.exits import DONE, BadInput
from launcher.settings import load_settings
from launcher.unfinished import PATIENCE, unfinished

if TYPE_CHECKING:
    from domain.status import BatchDoc
    from launcher.settings import Flags, Settings
    from services.ports import BatchQuery, StatusStore


def show(
    query: BatchQuery, state: str, flags: Flags, *, stalled: bool, minutes: float | None, json: bool
) -> int:
    """Print the batches asked for; returns the exit code.

    Args:
        query: which ones, but for their status.
        state: only those in this one.
        flags: of the command line.
        stalled: only those that have not ended and make no progress.
        minutes: how long they have made none.
        json: whether a program reads it.
    """
    if minutes is not None and not stalled:
        raise BadInput(f"{minutes:g}: minutes are for --stalled")
    if flags.get("status") in STATUSES:  # a store of that name is ./completed
        state, flags = str(flags["status"]), {**flags, "status": None}
    settings = load_settings(flags)
    status = next((known for known in STATUSES if known == state), None)
    if state and status is None:
        raise BadInput(f"--state: {state} is no status; allowed: {', '.join(STATUSES)}")
    patience = PATIENCE if minutes is None else timedelta(minutes=minutes)
    found = _find(replace(query, status=status), settings, patience if stalled else None)
    if json:
        print_json(found)
    elif found:
        _print(found, stalled=stalled)
    else:
        error_console().print(f"no such batch in {settings.store}", soft_wrap=True)
    return DONE


def _find(query: BatchQuery, settings: Settings, patience: timedelta | None) -> list[BatchDoc]:
    unknown = BadInput(f"--before: no batch {query.before} in {settings.store}")
    statuses = bootstrap.existing_statuses(settings)
    if statuses is None:
        if query.before:
            raise unknown
        return []
    with closing(statuses):
        if query.before and statuses.batch(query.before) is None:
            raise unknown
        if patience is None:
            return list(statuses.batches(query))
        return stalled_batches(query, statuses, settings, patience)[: query.limit]


def stalled_batches(
    query: BatchQuery, statuses: StatusStore, settings: Settings, patience: timedelta
) -> list[BatchDoc]:
    """Batches without progress for so long, and those that nobody makes any more; newest first."""
    claims, now = bootstrap.claims(settings, statuses), datetime.now(UTC)
    return [
        batch
        for batch in unfinished(statuses, query)
        if query.status in (None, batch["status"])
        and (is_stalled(batch, now, patience) or claims.is_left(batch))
    ]


def _print(found: list[BatchDoc], *, stalled: bool) -> None:
    now = datetime.now(UTC)
    columns = ["Batch", "Status", "Done>", "Failed>", "Titles>", "Owner", "Created (UTC)"]
    table = plain_table(*columns, *(["Last progress"] if stalled else []))
    for batch in found:
        since = (now - last_progress(batch)).total_seconds()
        table.add_row(
            batch["batch_id"],
            batch["status"],
            f"{batch['completed_items']:,}/{batch['total_items']:,}",
            f"{batch['failed_items']:,}",
            f"{batch['total_jobs']:,}",
            batch["owner"],
            moment(batch["created_at"]),
            *([ago(since)] if stalled else []),
        )
    output_console().print(table)
