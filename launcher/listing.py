"""`roteiro list`: the batches there are."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from domain.status import STATUSES
from launcher import bootstrap
from launcher.consoles import error_console, output_console, plain_table, print_json
from launcher.exits import BAD_INPUT, DONE

if TYPE_CHECKING:
    from launcher.settings import Settings
    from services.ports import BatchQuery


def show(query: BatchQuery, state: str, settings: Settings, *, json: bool) -> int:
    """Print the batches asked for; returns the exit code."""
    status = next((known for known in STATUSES if known == state), None)
    if state and status is None:
        allowed = ", ".join(STATUSES)
        error_console().print(f"--state: {state} is no status; allowed: {allowed}", soft_wrap=True)
        return BAD_INPUT
    found = []
    if settings.database.exists():
        with closing(bootstrap.statuses(settings)) as statuses:
            found = list(statuses.batches(replace(query, status=status)))
    if json:
        print_json(found)
        return DONE
    table = plain_table("Batch", "Status", "Done>", "Failed>", "Jobs>", "Owner", "Created")
    for batch in found:
        table.add_row(
            batch["batch_id"],
            batch["status"],
            f"{batch['progress_percentage']:g} %",
            str(batch["failed_items"]),
            str(batch["total_jobs"]),
            batch["owner"],
            batch["created_at"][:19].replace("T", " "),
        )
    output_console().print(table if found else f"no such batch in {settings.database}")
    return DONE
