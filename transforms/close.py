"""Closing: exact counts, the end of a job, the end of a batch and its manifest."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.coders import BytesCoder, TupleCoder, VarIntCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from domain import keys, status
from domain.work import Batch, BatchEnd, item_name
from services.logs import logger
from services.manifest import write_manifest
from services.ports import ArtifactStore, StatusStore
from transforms import expand
from transforms.record import (
    MARK_CANCELLED,
    MARK_COMPLETED,
    MARK_FAILED,
    UNMARKED,
    JobKey,
    JobMarks,
    job_key,
)

BatchKey: TypeAlias = tuple[str, str]
"""batch_id, run_id."""
JobEnd: TypeAlias = tuple[int, int, int, int, int]
"""The job's position, the jobs of its batch; items completed, failed and cancelled."""

log = logger()


def _now() -> datetime:
    return datetime.now(UTC)


def earlier_marks(batch: Batch) -> Iterator[tuple[JobKey, JobMarks]]:
    """What earlier runs have finished counts in this one too."""
    agent, variations = batch.request.agent, range(1, batch.request.variations + 1)
    for job in expand.jobs(batch):
        if done := batch.done.get(job.job_id):
            marks = bytes(
                MARK_COMPLETED if item_name(variation, language) in done else UNMARKED
                for variation in variations
                for language in agent.target_languages
            )
            yield job_key(job), (job.position, job.jobs, marks)


class CloseJob(beam.DoFn):
    """Ends a job once each of its items has come to an end.

    Input:   (JobKey, JobMarks)  in any order, repeated or not.
    Output:  (BatchKey, JobEnd)  once a job; again where marks come after its end, since a
             job's state goes with it. CloseBatch counts a job once.

    Args:
        statuses: makes the StatusStore; called in setup.
        clock: tells the time, aware.
    """

    MARKS = ReadModifyWriteStateSpec("marks", BytesCoder())

    def __init__(
        self, statuses: Callable[[], StatusStore], clock: Callable[[], datetime] = _now
    ) -> None:
        self._connect = statuses
        self._clock = clock

    def setup(self) -> None:
        self._statuses = self._connect()

    def process(
        self,
        counted: tuple[JobKey, JobMarks],
        state: Any = beam.DoFn.StateParam(MARKS),  # noqa: B008 - Beam's way to ask for it
    ) -> Iterator[tuple[BatchKey, JobEnd]]:
        (batch_id, run_id, job_id), (position, jobs, new) = counted
        marks = new
        if UNMARKED in new:  # else the whole job was in one bundle, and state need not be asked
            marks = bytes(map(max, new, state.read() or new))
            if UNMARKED in marks:
                state.write(marks)
                return
            state.clear()
        completed, failed, cancelled = (
            marks.count(mark) for mark in (MARK_COMPLETED, MARK_FAILED, MARK_CANCELLED)
        )
        final = status.final_status(completed=completed, failed=failed, cancelled=cancelled)
        ended = {"status": final, "completed_at": status.timestamp(self._clock())}
        self._statuses.merge_jobs(batch_id, {job_id: ended})
        yield (batch_id, run_id), (position, jobs, completed, failed, cancelled)

    def finish_bundle(self) -> None:
        """Store the ends before they count."""
        self._statuses.flush()


class CloseBatch(beam.DoFn):
    """Ends a batch once each of its jobs has ended.

    Input:   (BatchKey, JobEnd)  in any order, repeated or not.
    Output:  BatchEnd            at its end, its manifest stored; again only where all of its
             ends come again, and then the same. None where another run has taken the batch up.

    Args:
        statuses, artifacts: make the stores; called in setup.
        clock: tells the time, aware.
    """

    # A bit for each job that has ended; items completed, failed, cancelled.
    COUNTS = ReadModifyWriteStateSpec(
        "counts", TupleCoder((BytesCoder(), VarIntCoder(), VarIntCoder(), VarIntCoder()))
    )

    def __init__(
        self,
        statuses: Callable[[], StatusStore],
        artifacts: Callable[[], ArtifactStore],
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._connect_statuses = statuses
        self._connect_artifacts = artifacts
        self._clock = clock

    def setup(self) -> None:
        self._statuses = self._connect_statuses()
        self._artifacts = self._connect_artifacts()

    def process(
        self,
        ended: tuple[BatchKey, JobEnd],
        state: Any = beam.DoFn.StateParam(COUNTS),  # noqa: B008 - Beam's way to ask for it
    ) -> Iterator[BatchEnd]:
        key, (position, jobs, *counts) = ended
        seen, *before = state.read() or (bytes(jobs // 8 + 1), 0, 0, 0)
        bits = int.from_bytes(seen, "big")
        if bits >> position - 1 & 1:
            return
        bits |= 1 << position - 1
        totals = [old + new for old, new in zip(before, counts, strict=True)]
        if bits.bit_count() < jobs:
            state.write((bits.to_bytes(len(seen), "big"), *totals))
            return
        state.clear()
        yield from self._close(key, *totals)

    def _close(
        self, key: BatchKey, completed: int, failed: int, cancelled: int
    ) -> Iterator[BatchEnd]:
        batch_id, run_id = key
        final = status.final_status(completed=completed, failed=failed, cancelled=cancelled)
        path = keys.manifest(batch_id)
        patch = status.ended(final, self._artifacts.uri(path), self._clock())
        batch = self._statuses.batch(batch_id)
        if batch is None:
            raise LookupError(f"batch {batch_id} has vanished from the status store")
        if batch["run_id"] != run_id:
            log.warning("a batch goes on in another run", batch_id=batch_id)
            return
        with self._artifacts.create(path) as file:
            write_manifest(file, status.merge(batch, patch), self._statuses.jobs(batch_id))
        self._statuses.merge_batch(batch_id, patch)
        log.info("batch ended", status=final, batch_id=batch_id, completed=completed, failed=failed)
        yield BatchEnd(
            batch_id=batch_id,
            run_id=run_id,
            owner=batch["owner"],
            status=final,
            completed=completed,
            failed=failed,
            cancelled=cancelled,
            completed_at=patch["completed_at"],
            manifest_uri=patch["manifest_uri"],
        )
