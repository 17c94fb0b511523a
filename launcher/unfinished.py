"""Unfinished: the batches that wait to be made, or are being made."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.ports import BatchQuery

if TYPE_CHECKING:
    from domain.status import BatchDoc, Status
    from services.ports import StatusStore

UNFINISHED: Final[tuple[Status, ...]] = ("queued", "running")
PAGE: Final = 200
PATIENCE: Final = timedelta(minutes=15)
"""Without progress; a batch counts as stalled then, where nothing else is said."""


def unfinished(statuses: StatusStore, query: BatchQuery | None = None) -> list[BatchDoc]:
    """All of them, newest first.

    Args:
        statuses: where they are.
        query: for some of them only; its status and limit do not matter.
    """
    found: list[BatchDoc] = []
    for status in UNFINISHED:
        wanted = replace(query or BatchQuery(), status=status, limit=PAGE)
        while page := list(statuses.batches(wanted)):
            found += page
            wanted = replace(wanted, before=page[-1]["batch_id"])
    return sorted(found, key=lambda batch: (batch["created_at"], batch["batch_id"]), reverse=True)
