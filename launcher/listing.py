"""`roteiro list`: the batches there are."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from domain.status import STATUSES
from launcher import bootstrap
from launcher.consoles import error_console, moment, output_console, plain_table, print_json
from launcher.exits import DONE, BadInput
from launcher.settings import load_settings

if TYPE_CHECKING:
    from domain.status import BatchDoc
    from launcher.settings import Flags, Settings
    from services.ports import BatchQuery


def show(query: BatchQuery, state: str, flags: Flags, *, json: bool) -> int:
    """Print the batches asked for; returns the exit code."""
    if flags.get("status") in STATUSES:  # a store of that name is ./completed
        state, flags = str(flags["status"]), {**flags, "status": None}
    settings = load_settings(flags)
    status = next((known for known in STATUSES if known == state), None)
    if state and status is None:
        raise BadInput(f"--state: {state} is no status; allowed: {', '.join(STATUSES)}")
    found = _find(replace(query, status=status), settings)
    if json:
        print_json(found)
    elif found:
        _print(found)
    else:
        error_console().print(f"no such batch in {settings.store}", soft_wrap=True)
    return DONE


def _find(query: BatchQuery, settings: Settings) -> list[BatchDoc]:
    unknown = BadInput(f"--before: no batch {query.before} in {settings.store}")
    statuses = bootstrap.existing_statuses(settings)
    if statuses is None:
        if query.before:
            raise unknown
        return []
    with closing(statuses):
        if query.before and statuses.batch(query.before) is None:
            raise unknown
        return list(statuses.batches(query))


def _print(found: list[BatchDoc]) -> None:
    table = plain_table("Batch", "Status", "Done>", "Failed>", "Titles>", "Owner", "Created (UTC)")
    for batch in found:
        table.add_row(
            batch["batch_id"],
            batch["status"],
            f"{batch['completed_items']:,}/{batch['total_items']:,}",
            f"{batch['failed_items']:,}",
            f"{batch['total_jobs']:,}",
            batch["owner"],
            moment(batch["created_at"]),
        )
    output_console().print(table)
