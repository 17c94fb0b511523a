"""Manifests: the list of what a batch has made, written item by item."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from domain.status import manifest_items

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.status import BatchDoc, JobDoc


def write_manifest(file: IO[bytes], batch: BatchDoc, jobs: Iterable[JobDoc]) -> None:
    """Write one JSON object whose `items` has a line for each narration asked for.

    It holds one job at a time, because a batch may have 200,000 items.
    """
    head = {
        key: batch.get(key)
        for key in (
            "batch_id",
            "owner",
            "status",
            "created_at",
            "started_at",
            "completed_at",
            "total_items",
            "completed_items",
            "failed_items",
            "stats",
            "request",
        )
    }
    file.write(_line(head).removesuffix(b"}") + b',"items":[')
    separator = b"\n"
    for job in jobs:
        for entry in manifest_items(job, batch["request"]):
            file.write(separator + _line(entry))
            separator = b",\n"
    file.write(b"\n]}\n")


def _line(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
