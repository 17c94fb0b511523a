"""The list of what a batch has made."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from domain import status
from services.manifest import write_manifest
from tests.builders import batch_request, failure, item, narration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.status import BatchDoc, JobDoc

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
REQUEST = batch_request('O "café"', "珈琲", languages=("pt-BR", "en-US"), variations=2)
BATCH = status.new_batch("cafe", "run-1", REQUEST, NOW)


def jobs() -> Iterator[JobDoc]:
    """The first job with an item made and one failed, the second as it was accepted."""
    first, second = status.new_jobs("cafe", REQUEST)
    for progress in (narration(item("pt-BR", 1)), failure(item("en-US", 2))):
        first = status.merge(first, {"items": dict(status.item_patches(progress))})
    yield first
    yield second


def manifest(batch: BatchDoc, documents: Iterator[JobDoc]) -> Any:
    file = io.BytesIO()
    write_manifest(file, batch, documents)
    return json.loads(file.getvalue())


def test_a_manifest_tells_of_the_batch_and_each_item() -> None:
    """It is JSON: the batch's document, and an entry for every narration asked for."""
    batch: BatchDoc = {**BATCH, "status": "partial", "completed_items": 1, "failed_items": 1}
    made = manifest(batch, jobs())
    entries = made.pop("items")
    assert made == {
        "batch_id": "cafe",
        "owner": "ana@example.com",
        "status": "partial",
        "created_at": "2026-01-01T12:00:00.000+00:00",
        "started_at": "2026-01-01T12:00:00.000+00:00",
        "completed_at": None,
        "total_items": 8,
        "completed_items": 1,
        "failed_items": 1,
        "stats": None,
        "request": BATCH["request"],
    }
    assert len(entries) == made["total_items"]
    assert Counter(entry["status"] for entry in entries) == {
        "completed": 1,
        "failed": 1,
        "queued": 6,
    }
    assert {entry["title"] for entry in entries} == {'O "café"', "珈琲"}
    assert entries == [
        entry for job in jobs() for entry in status.manifest_items(job, BATCH["request"])
    ]


def test_a_manifest_without_jobs_is_valid() -> None:
    """Its list is empty."""
    assert manifest(BATCH, iter(()))["items"] == []


def test_a_manifest_is_written_job_by_job() -> None:
    """What is said of a job is written before the next one is read."""
    file, sizes = io.BytesIO(), []

    def watched() -> Iterator[JobDoc]:
        for job in jobs():
            sizes.append(len(file.getvalue()))
            yield job

    write_manifest(file, BATCH, watched())
    assert 0 < sizes[0] < sizes[1] < len(file.getvalue())


def test_each_item_has_a_line() -> None:
    """A manifest can be searched with grep."""
    file = io.BytesIO()
    write_manifest(file, BATCH, jobs())
    assert len(file.getvalue().decode().splitlines()) == 1 + 8 + 1
