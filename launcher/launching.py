"""Launching: the streaming graph is handed to Dataflow, which runs it from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.work import SUBMISSION
from launcher import __version__, bootstrap
from launcher.bootstrap import cloud
from launcher.consoles import output_console
from launcher.dataflow import BEAM_NAMES, LABEL, RUNNER, beam_flags, check, require
from launcher.exits import DONE, BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from launcher.dataflow import DataflowSettings
    from launcher.settings import Settings
    from services.ports import RunningJob

CONSOLE = "https://console.cloud.google.com/dataflow/jobs"


def launch(
    settings: Settings, job: DataflowSettings, given: Sequence[str], *, update: bool = False
) -> int:
    """Submit the job and tell where it is; whatever it does then, it is not waited for.

    Args:
        settings: of the work.
        job: of the job.
        given: further flags of Beam's, which go before ours.
        update: replace the running job of this name.

    Raises:
        BadInput: where something is missing; nothing was submitted.
        ServiceError: where Google does not accept it.
    """
    require(job, "project", "region", "temp_location", "image")
    check(settings, job)
    cloud.check_service_account("Dataflow")
    bootstrap.subscription(settings).close()
    for name in filter(None, (settings.dead_letter_topic, settings.events_topic)):
        bootstrap.topic(name).close()
    running = _same_name(job)
    if running and not update:
        raise BadInput(
            f"{job.job_name} is {running.state} already in {job.region} ({running.job_id}): "
            "`roteiro update` replaces it, --job_name names another"
        )
    replaced = _replaceable(job, running) if update else None
    pipeline = streaming_pipeline(settings, job, [*given, *(["--update"] if update else [])])
    if replaced:
        _check_steps(job, replaced, pipeline, given)
    tell(run(pipeline), job, replaced)
    return DONE


def streaming_pipeline(settings: Settings, job: DataflowSettings, given: Sequence[str] = ()) -> Any:
    """The graph, ready to run.

    Raises:
        BadInput: where Beam does not accept an option.
    """
    import apache_beam as beam

    from pipeline.graph import NarrateBatches
    from pipeline.options import streaming
    from pipeline.sources import narrate_subscription

    vertex = (job.project, job.vertex_location) if job.vertex_location else None
    flags = [*beam_flags(settings, job, __version__), *given]
    try:
        pipeline = beam.Pipeline(options=streaming(RUNNER, *flags))
    except ValueError as error:
        raise BadInput(str(error)) from None
    flow = NarrateBatches(bootstrap.services(settings, vertex=vertex))
    narrate_subscription(pipeline, settings.subscription, flow, id_label=SUBMISSION)
    return pipeline


def run(pipeline: Any) -> str:
    """Submit a pipeline; returns the job's id, empty where a template was written instead.

    Raises:
        BadInput: where there is a job of this name by now.
        ServiceError: where Google does not accept it.
    """
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError

    try:
        with cloud.googles_errors("Dataflow"):
            result = pipeline.run()
    except DataflowJobAlreadyExistsError as error:
        raise BadInput(str(error)) from None
    return str(result.job_id()) if result.has_job else ""


def tell(job_id: str, job: DataflowSettings, replaced: RunningJob | None) -> None:
    """Say where the job is."""
    if not job_id:
        return
    instead = f" in place of {replaced.job_id}" if replaced else ""
    print_ = output_console().print
    print_(f"Job {job.job_name} is submitted: {job_id}{instead}.", soft_wrap=True)
    print_(f"{CONSOLE}/{job.region}/{job_id}?project={job.project}", soft_wrap=True)


def _same_name(job: DataflowSettings) -> RunningJob | None:
    """The active job of this name, whoever started it."""
    jobs = cloud.jobs(job.project, job.region, job.dataflow_endpoint)
    return next((found for found in jobs.list(ended=False) if found.name == job.job_name), None)


def _replaceable(job: DataflowSettings, running: RunningJob | None) -> RunningJob:
    """The job to be replaced; Beam itself would look for its name for ever.

    Raises:
        BadInput: where there is none, where it is not running, or not ours.
    """
    if running is None:
        raise BadInput(f"no job {job.job_name} runs in {job.region}: `roteiro start` begins one")
    if running.state != "running":
        raise BadInput(f"{job.job_name} ({running.job_id}) is {running.state}, not running")
    if LABEL not in running.labels:
        raise BadInput(f"{job.job_name} ({running.job_id}) is no job of roteiro's")
    return running


def _check_steps(
    job: DataflowSettings, replaced: RunningJob, pipeline: Any, given: Sequence[str]
) -> None:
    """Look whether the running job can hand its state over.

    Raises:
        BadInput: naming the steps that have gone.
    """
    jobs = cloud.jobs(job.project, job.region, job.dataflow_endpoint)
    running = _ours(jobs.get(replaced.job_id).steps)
    if gone := sorted(running - step_names(pipeline) - _mapped(given)):
        raise BadInput(
            f"the running job has steps that this version has not: {', '.join(gone)}. Map them "
            'behind --: --transform_name_mapping=\'{"old": "new"}\', an empty name for none; '
            "or drain the job and start another"
        )


def _mapped(given: Sequence[str]) -> set[str]:
    from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

    options = PipelineOptions(list(given)).view_as(GoogleCloudOptions)
    return set(options.transform_name_mapping or {})


def _ours(names: Iterable[str]) -> set[str]:
    """Steps as we name them: what Beam makes of one is its own affair."""
    return {"/".join(name.split("/")[:2]) for name in names}


def step_names(pipeline: Any) -> set[str]:
    """Names of the steps as we name them, without those inside of them."""
    from apache_beam.pipeline import PipelineVisitor

    found: set[str] = set()

    class Names(PipelineVisitor):
        def enter_composite_transform(self, node: Any) -> None:
            self.visit_transform(node)

        def visit_transform(self, node: Any) -> None:
            if node.full_label:
                found.add(node.full_label)

    pipeline.visit(Names())
    return _ours(found)


def from_beam(flags: Sequence[str]) -> dict[str, str]:
    """Settings of the job among flags of Beam's, under our names."""
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(list(flags)).get_all_options(drop_default=True)
    return {ours: str(options[beam]) for ours, beam in BEAM_NAMES.items() if options.get(beam)}
