"""Acceptance: a batch exists in the status store before its first paid call."""

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection, TaggedOutput

from domain import keys, status
from domain.request import Problem
from domain.work import Batch, Rejected, Submission
from services.logs import logger
from services.ports import ArtifactStore, StatusStore
from transforms.parse import REJECTED, RejectedOutput

log = logger()


def accept(
    submission: Submission, statuses: StatusStore, artifacts: ArtifactStore
) -> Iterator[Batch | RejectedOutput]:
    """One submission → its batch; nothing for a mere duplicate; REJECTED for a conflict."""
    message, request, batch_id = submission.message, submission.request, submission.batch_id
    answer = statuses.accept(batch_id, request, run_id=message.run_id, resume=message.resume)
    log.info("batch asked for", verdict=answer.verdict, batch_id=batch_id)
    if answer.verdict == "conflict":
        problem = Problem(
            "batch_id",
            f"{batch_id} is another request's already (its hash {answer.content_hash}, "
            f"yours {request.content_hash()}); choose another id",
        )
        yield TaggedOutput(REJECTED, Rejected(message, (problem,)))
    elif answer.verdict == "accepted":
        stored = artifacts.existing(keys.batch_folder(batch_id))
        done, again = {}, {}
        for job in statuses.jobs(batch_id):
            if names := status.whole_items(job, stored):
                done[job["job_id"]] = names
            if patch := status.taken_up_again(job, names):
                again[job["job_id"]] = patch
        statuses.merge_jobs(batch_id, again)
        statuses.flush()
        yield Batch(batch_id, message.run_id, request, done)


class AcceptBatch(beam.DoFn):
    """Makes a batch of a submission, once.

    Input:   Submission  a valid request.
    Output:  Batch       main: to be worked on, with what an earlier run has done.
             Rejected    REJECTED: its id is another request's.

    Args:
        statuses, artifacts: make the stores; called in setup.
    """

    def __init__(
        self, statuses: Callable[[], StatusStore], artifacts: Callable[[], ArtifactStore]
    ) -> None:
        self._connect_statuses = statuses
        self._connect_artifacts = artifacts
        self._accepted = Metrics.counter("roteiro", "batches_accepted")

    def setup(self) -> None:
        self._statuses = self._connect_statuses()
        self._artifacts = self._connect_artifacts()

    def process(self, submission: Submission) -> Iterator[Batch | RejectedOutput]:
        for output in accept(submission, self._statuses, self._artifacts):
            if isinstance(output, Batch):
                self._accepted.inc()
            yield output


class AcceptBatches(beam.PTransform[Any, Any]):
    """Wires AcceptBatch; its outputs are `batches` and REJECTED."""

    def __init__(
        self, statuses: Callable[[], StatusStore], artifacts: Callable[[], ArtifactStore]
    ) -> None:
        super().__init__()
        self._dofn = AcceptBatch(statuses, artifacts)

    def expand(self, submissions: PCollection[Submission]) -> Any:
        return submissions | beam.ParDo(self._dofn).with_outputs(REJECTED, main="batches")
