"""Recording: what becomes of each item is merged into its job's document."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from domain.status import Patch, item_patches
from domain.work import CANCELLED, Failure, GeneratedScript, Job, Narration, Progress, Tick
from services.ports import StatusStore

JobKey: TypeAlias = tuple[str, str, str]
"""batch_id, run_id, job_id."""
JobMarks: TypeAlias = tuple[int, int, bytes]
"""The job's position, the jobs of its batch, and a mark for each of its items."""

UNMARKED, MARK_CANCELLED, MARK_FAILED, MARK_COMPLETED = range(4)
"""Marks grow with what they are worth: of two for one item the greater stays."""


def job_of(progress: Progress) -> Job:
    """The job that an element belongs to."""
    return progress.task.job if isinstance(progress, GeneratedScript) else progress.item.job


def mark_of(outcome: Narration | Failure) -> int:
    """What an outcome counts as."""
    if isinstance(outcome, Narration):
        return MARK_COMPLETED
    return MARK_CANCELLED if outcome.code == CANCELLED else MARK_FAILED


def job_key(job: Job) -> JobKey:
    """The key under which a job's outcomes meet; another run counts anew."""
    return (job.batch_id, job.run_id, job.job_id)


class RecordItem(beam.DoFn):
    """Merges progress into job documents and counts outcomes.

    Input:   Progress                 a script, an adaptation, a narration or a failure.
    Output:  (JobKey, JobMarks)       one a job and bundle, for the outcomes in it.

    The merges are stored before the bundle is committed.

    Args:
        statuses: makes the StatusStore; called in setup.
    """

    def __init__(self, statuses: Callable[[], StatusStore]) -> None:
        self._connect = statuses

    def setup(self) -> None:
        self._statuses = self._connect()

    def start_bundle(self) -> None:
        self._marks: dict[JobKey, tuple[Job, bytearray]] = {}

    def process(self, progress: Progress | Tick) -> None:
        if isinstance(progress, Tick):
            return
        job = job_of(progress)
        patch: Patch = {"items": dict(item_patches(progress))}
        self._statuses.merge_jobs(job.batch_id, {job.job_id: patch})
        if isinstance(progress, Narration | Failure):
            key = job_key(job)
            if key not in self._marks:
                self._marks[key] = (job, bytearray(job.items))
            self._marks[key][1][progress.item.index] = mark_of(progress)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Store what waits, then let the counts go on."""
        self._statuses.flush()
        for key, (job, marks) in self._marks.items():
            counted = (key, (job.position, job.jobs, bytes(marks)))
            yield GlobalWindows.windowed_value(counted)
        self._marks = {}


class RecordItems(beam.PTransform[Any, Any]):
    """Records each kind of progress beside the step that makes it.

    Input:   a dict of PCollections of Progress, by the label of their branch.
    Output:  (JobKey, JobMarks)

    They are recorded before they are flattened: a Flatten would hold them
    back until the whole bundle is done on runners that materialise it.

    Args:
        statuses: makes the StatusStore; called in setup.
    """

    def __init__(self, statuses: Callable[[], StatusStore]) -> None:
        super().__init__()
        self._statuses = statuses

    def expand(self, branches: Any) -> Any:
        recorded = [
            progress
            | f"Record {label}"
            >> beam.ParDo(RecordItem(self._statuses)).with_output_types(tuple[JobKey, JobMarks])
            for label, progress in branches.items()
        ]
        return recorded | "Gather counts" >> beam.Flatten()
