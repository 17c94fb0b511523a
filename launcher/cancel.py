"""`roteiro cancel`: a batch stops, and what it has finished is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.request import RequestError
from domain.status import TERMINAL
from launcher import bootstrap
from launcher.consoles import error_console, output_console, print_json_with
from launcher.exits import DONE, INTERRUPTED, BadInput
from launcher.making import end
from launcher.settings import load_settings
from launcher.status import print_status, stored_batch, watched

if TYPE_CHECKING:
    from domain.status import BatchDoc
    from launcher.claims import Claims
    from launcher.settings import Flags, Settings
    from services.ports import StatusStore


def cancel(batch_id: str, flags: Flags, *, wait: bool, json: bool) -> int:
    """Cancel a batch; returns the exit code."""
    settings, errors = load_settings(flags), error_console()
    with stored_batch(batch_id, settings) as (batch, statuses):
        if batch["status"] in TERMINAL:
            if json:
                print_json_with(batch, "jobs", statuses.jobs(batch_id))
            errors.print(f"Batch {batch_id} is {batch['status']} already.", soft_wrap=True)
            return DONE
        try:
            latest = _cancelled(batch, statuses, settings, wait=wait, silent=json)
        except KeyboardInterrupt:
            errors.print("No longer watching; the batch is told to stop all the same.")
            return INTERRUPTED
        if json:
            print_json_with(latest, "jobs", statuses.jobs(batch_id))
        elif latest["status"] in TERMINAL:
            print_status(output_console(), latest, statuses)
            if latest["status"] == "cancelled":
                errors.print(
                    f"What is finished is kept: `roteiro download {batch_id}` collects it, "
                    f"`roteiro retry {batch_id}` makes the rest.",
                    soft_wrap=True,
                )
        else:
            errors.print(
                f"Batch {batch_id} is told to stop; `roteiro status {batch_id}` tells when it has.",
                soft_wrap=True,
            )
    return DONE


def _cancelled(
    batch: BatchDoc, statuses: StatusStore, settings: Settings, *, wait: bool, silent: bool
) -> BatchDoc:
    """Have a batch stop; returns it as it is in the end, or without waiting as it is now."""
    claims, batch_id = bootstrap.claims(settings, statuses), batch["batch_id"]

    def ask(latest: BatchDoc) -> None:
        # Who takes up a batch takes back the wish, too, where it came a moment before.
        if latest["status"] not in TERMINAL and not latest.get("cancel_requested_at"):
            statuses.cancel(batch_id)

    ask(batch)
    while True:
        latest = statuses.batch(batch_id) or batch
        if latest["status"] == "cancelled" and not latest["run_id"]:  # it waited
            end(latest, statuses, cancelled=True)
        elif claims.is_left(latest):
            _end_left(latest, statuses, claims)
            continue
        elif wait and latest["status"] not in TERMINAL:
            watched(latest, statuses, settings, silent=silent, at_each_look=ask)
            continue
        return statuses.batch(batch_id) or latest


def _end_left(batch: BatchDoc, statuses: StatusStore, claims: Claims) -> None:
    """Write the end that a dead process cannot; unless somebody takes the batch up just now."""
    batch_id = batch["batch_id"]
    try:
        with claims.claim(batch_id):
            latest = statuses.batch(batch_id)
            if latest and (latest["run_id"], latest["status"]) == (batch["run_id"], "running"):
                end(latest, statuses, cancelled=True)
    except RequestError as error:
        latest = statuses.batch(batch_id)
        if latest and claims.is_left(latest):  # it is the claim that cannot be written
            raise BadInput(str(error)) from None
