"""Jobs of Dataflow: which there are, and what state they are asked to reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.api_core.client_options import ClientOptions
from google.cloud import dataflow_v1beta3 as dataflow

from services.googleapi import RETRY, TIMEOUT, Remedies, told
from services.ports import RunningJob

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDIES: Final[Remedies] = {
    "permission_denied": "the account needs roles/dataflow.developer in the project",
}
_PREFIX: Final = "JOB_STATE_"


class DataflowJobs:
    """The jobs of one project and region; see the port Jobs.

    Args:
        project: of Google Cloud.
        region: such as `southamerica-east1`.
        endpoint: URL of a server in Dataflow's place; empty for Dataflow.
    """

    def __init__(self, project: str, region: str, endpoint: str = "") -> None:
        self._place: dict[str, Any] = {"project_id": project, "location": region}
        self._name = f"Dataflow in {project}, {region}"
        # Unencrypted servers speak HTTP, and Dataflow gRPC.
        transport = "rest" if endpoint.startswith("http://") else None
        options = ClientOptions(api_endpoint=endpoint or None)
        with told(self._name, REMEDIES):
            self._client = dataflow.JobsV1Beta3Client(transport=transport, client_options=options)

    def list(self, *, ended: bool) -> list[RunningJob]:
        """See Jobs; a summary need not carry labels, so that a job without is asked for itself."""
        kind = dataflow.ListJobsRequest.Filter
        request = dataflow.ListJobsRequest(filter=kind.ALL if ended else kind.ACTIVE, **self._place)
        with told(self._name, REMEDIES):
            pages = self._client.list_jobs(request, timeout=TIMEOUT, retry=RETRY)
            found = list(self._labelled(pages))
        return sorted(found, key=lambda job: job.created, reverse=True)

    def _labelled(self, summaries: Any) -> Iterator[RunningJob]:
        for summary in summaries:
            if summary.type_ != dataflow.JobType.JOB_TYPE_STREAMING:
                continue
            job = _job(summary)
            yield job if job.labels else self.get(job.job_id)

    def get(self, job_id: str) -> RunningJob:
        """See Jobs."""
        request = dataflow.GetJobRequest(
            job_id=job_id, view=dataflow.JobView.JOB_VIEW_ALL, **self._place
        )
        with told(f"{self._name}: {job_id}", REMEDIES):
            return _job(self._client.get_job(request, timeout=TIMEOUT, retry=RETRY))

    def drain(self, job_id: str) -> None:
        """See Jobs."""
        self._ask_for(job_id, dataflow.JobState.JOB_STATE_DRAINED)

    def cancel(self, job_id: str) -> None:
        """See Jobs."""
        self._ask_for(job_id, dataflow.JobState.JOB_STATE_CANCELLED)

    def _ask_for(self, job_id: str, state: Any) -> None:
        request = dataflow.UpdateJobRequest(
            job_id=job_id, job=dataflow.Job(requested_state=state), **self._place
        )
        with told(f"{self._name}: {job_id}", REMEDIES):
            self._client.update_job(request, timeout=TIMEOUT, retry=RETRY)


def _job(job: Any) -> RunningJob:
    steps = job.pipeline_description.original_pipeline_transform
    return RunningJob(
        job_id=job.id,
        name=job.name,
        state=job.current_state.name.removeprefix(_PREFIX).lower(),
        created=job.create_time.isoformat(),
        region=job.location,
        labels=dict(job.labels),
        steps=frozenset(step.name for step in steps if step.name),
    )
