"""The command line: what each command takes, and the exit code it ends with."""

from __future__ import annotations

import io
import sys
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from launcher import __version__, flags
from launcher.exits import BAD_INPUT, BadInput
from services.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text copies well, and rich takes a while to import
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Narrated scripts from a list of titles: written, adapted, spoken, stored as MP3.",
    epilog="""Settings: flags over ROTEIRO_* variables over roteiro.toml; see docs/settings.md.

\b
Exit codes:
  0    all done
  1    some narrations were not made, or not found for a download
  2    bad input; nothing was begun
  130  interrupted""",
)

RequestFile = Annotated[
    str, typer.Argument(metavar="FILE", help="Batch request in JSON or YAML; - for standard input.")
]
RunningJob = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, or its name.")]
BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="A batch's id.")]
NewBatchId = Annotated[
    str | None,
    typer.Option("--batch_id", metavar="ID", help="Call the batch this, or go on with it."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, Beam included.")]


@app.command()
def run(
    context: typer.Context,
    file: RequestFile,
    *,
    batch_id: NewBatchId = None,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    writer: flags.Writer = None,
    voice: flags.Speaker = None,
    speech_endpoint: flags.SpeechEndpoint = None,
    speech_timeout: flags.SpeechTimeout = None,
    sample_rate: flags.SampleRate = None,
    max_in_flight: flags.MaxInFlight = None,
    generation_timeout: flags.GenerationTimeout = None,
    adaptation_timeout: flags.AdaptationTimeout = None,
    attempts: flags.Attempts = None,
    retry_deadline: flags.RetryDeadline = None,
    gemini_endpoint: flags.GeminiEndpoint = None,
    api_key_secret: flags.ApiKeySecret = None,
    events_topic: flags.EventsTopic = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no table; errors only.")
    ] = False,
    json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a batch here and now, and show how far it is.

    Running the same request again under the same batch id finishes what is
    missing and leaves alone what is there. Ctrl-C finishes the calls under way
    and says how to go on; Ctrl-C again stops at once.
    """
    from launcher import run as running

    view = running.View(quiet=quiet, json=json, verbose=verbose)
    _end(running.run, file, batch_id, _given(context), view)


@app.command()
def submit(
    context: typer.Context,
    file: RequestFile,
    *,
    batch_id: NewBatchId = None,
    topic: flags.Topic = None,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    writer: flags.Writer = None,
    json: AsJson = False,
) -> None:
    """Ask for a batch: write it down as queued, and publish it.

    Whoever runs `roteiro start` on the topic's subscription makes it. A batch
    that is being made, or is complete, is not published again; one that ended
    with narrations missing is, for those.
    """
    from launcher import submit as submitting

    _end(submitting.submit, file, batch_id, _given(context), json=json)


@app.command(context_settings={"allow_extra_args": True})
def start(
    context: typer.Context,
    *,
    subscription: flags.Subscription = None,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    writer: flags.Writer = None,
    voice: flags.Speaker = None,
    speech_endpoint: flags.SpeechEndpoint = None,
    speech_timeout: flags.SpeechTimeout = None,
    sample_rate: flags.SampleRate = None,
    max_in_flight: flags.MaxInFlight = None,
    generation_timeout: flags.GenerationTimeout = None,
    adaptation_timeout: flags.AdaptationTimeout = None,
    attempts: flags.Attempts = None,
    retry_deadline: flags.RetryDeadline = None,
    gemini_endpoint: flags.GeminiEndpoint = None,
    api_key_secret: flags.ApiKeySecret = None,
    dead_letter_topic: flags.DeadLetterTopic = None,
    events_topic: flags.EventsTopic = None,
    runner: flags.Runner = None,
    max_batches: flags.MaxBatches = None,
    grace: flags.Grace = None,
    project: flags.Project = None,
    region: flags.Region = None,
    temp_location: flags.TempLocation = None,
    staging_location: flags.StagingLocation = None,
    image: flags.Image = None,
    job_name: flags.JobName = None,
    machine_type: flags.MachineType = None,
    max_workers: flags.MaxWorkers = None,
    service_account: flags.ServiceAccount = None,
    network: flags.Network = None,
    subnetwork: flags.Subnetwork = None,
    labels: flags.Labels = None,
    streaming_mode: flags.StreamingMode = None,
    vertex_location: flags.VertexLocation = None,
    dataflow_endpoint: flags.DataflowEndpoint = None,
    verbose: Verbose = False,
) -> None:
    """Make what a subscription asks for, until Ctrl-C or SIGTERM.

    It begins with the batches of the status store that are queued or were left
    unfinished. Stopping finishes the calls under way; what is left then is
    queued for the next start. Ctrl-C again stops at once.

    With --runner dataflow it submits a job, says where it is, and ends; the
    job goes on.
    """
    from launcher import start as starting

    _end(starting.start, _given(context), _job(context), context.args, verbose=verbose)


@app.command(context_settings={"allow_extra_args": True})
@wraps(start, assigned=("__annotations__",))
def update(context: typer.Context, **given: Any) -> None:
    """Replace the job that runs on Dataflow by this version, its state kept.

    The flags are those of `start`. Where the running job has steps that this
    version has not, nothing is touched.
    """
    from launcher import start as starting

    verbose = given["verbose"]
    _end(starting.update, _given(context), _job(context), context.args, verbose=verbose)


@app.command()
def jobs(
    context: typer.Context,
    *,
    project: flags.Project = None,
    region: flags.Region = None,
    dataflow_endpoint: flags.DataflowEndpoint = None,
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    json: AsJson = False,
) -> None:
    """List the jobs of roteiro on Dataflow, newest first."""
    from launcher import jobs as commands

    _end(commands.show, _job(context), every=every, json=json)


@app.command()
def drain(
    context: typer.Context,
    job: RunningJob,
    *,
    project: flags.Project = None,
    region: flags.Region = None,
    dataflow_endpoint: flags.DataflowEndpoint = None,
) -> None:
    """Have a job on Dataflow take nothing new, finish what it has begun, and end."""
    from launcher import jobs as commands

    _end(commands.drain, job, _job(context))


@app.command()
def stop(
    context: typer.Context,
    job: RunningJob,
    *,
    project: flags.Project = None,
    region: flags.Region = None,
    dataflow_endpoint: flags.DataflowEndpoint = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only told.")] = False,
) -> None:
    """Cancel a job on Dataflow: what it has begun is lost, what it has finished is not."""
    from launcher import jobs as commands

    _end(commands.stop, job, _job(context), confirmed=yes)


@app.command()
def deploy(
    context: typer.Context,
    place: Annotated[
        str,
        typer.Argument(metavar="FILE", help="gs://bucket/roteiro.json; - for standard output."),
    ] = "-",
    *,
    image: flags.Image = None,
) -> None:
    """Write the Flex Template, from which others start jobs.

    Nothing is started.
    """
    from launcher import deploying

    _end(deploying.deploy, place, _job(context))


@app.command()
def validate(
    context: typer.Context, file: RequestFile, *, writer: flags.Writer = None, json: AsJson = False
) -> None:
    """Check a request and say what it would make.

    Nothing is touched.
    """
    from launcher import validate as validating

    _end(validating.validate, file, _given(context), json=json)


@app.command("status")
def show_status(
    context: typer.Context,
    batch: Annotated[
        str, typer.Argument(metavar="BATCH", help="A batch's id; by default the newest.")
    ] = "",
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay until the batch has ended.")
    ] = False,
    jobs: Annotated[bool, typer.Option("--jobs", help="Every job, not just the first.")] = False,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    json: AsJson = False,
) -> None:
    """Show how far a batch is, job by job."""
    from launcher import status as showing

    _end(showing.show, batch, _given(context), watch=watch, every_job=jobs, json=json)


@app.command("list")
def list_batches(
    context: typer.Context,
    *,
    owner: Annotated[str, typer.Option("--owner", metavar="NAME", help="Only this owner's.")] = "",
    state: Annotated[
        str,
        typer.Option("--state", metavar="STATE", help="Only those in this status, e.g. partial."),
    ] = "",
    text: Annotated[
        str, typer.Option("--text", metavar="TEXT", help="Only those with this in id or titles.")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1000, help="At most so many. [20]")
    ] = 20,
    before: Annotated[
        str, typer.Option("--before", metavar="BATCH", help="Those older than this batch.")
    ] = "",
    output: flags.Output = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATE|STORE",
            help="Only those in this status, as --state; or the store, as everywhere.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """List batches, newest first."""
    from launcher import listing
    from services.ports import BatchQuery

    query = BatchQuery(owner=owner, text=text, before=before, limit=limit)
    _end(listing.show, query, state, _given(context), json=json)


@app.command()
def download(
    context: typer.Context,
    batch: BatchId,
    *,
    to: Annotated[
        str,
        typer.Option("--to", metavar="FILE", help="ZIP to write; - for standard output. [ID.zip]"),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the ZIP if it is there.")] = False,
    output: flags.Output = None,
    status: flags.StatusStore = None,
) -> None:
    """Collect a batch's files in a ZIP with readable names.

    The batch need not have ended: what is finished is in the ZIP, and the
    manifest tells what is not.
    """
    from launcher import download as downloading

    _end(downloading.download, batch, to, _given(context), replace=force)


def _given(context: typer.Context) -> dict[str, Any]:
    """The settings among a command's options; None for those that were not given."""
    from launcher.settings import Settings

    return {name: value for name, value in context.params.items() if name in Settings.model_fields}


def _job(context: typer.Context) -> dict[str, Any]:
    """The settings of a job among a command's options; None for those that were not given."""
    from launcher.dataflow import DataflowSettings

    fields = DataflowSettings.model_fields
    return {name: value for name, value in context.params.items() if name in fields}


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer's callback
    if wanted:
        typer.echo(f"roteiro {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Narrated scripts from a list of titles."""


def _end(command: Callable[..., int], *args: Any, **kwargs: Any) -> NoReturn:
    """Run a command and exit with its code; what was asked wrongly is told in a line."""
    try:
        code = command(*args, **kwargs)
    except BadInput as error:
        typer.echo(str(error), err=True)
        code = BAD_INPUT
    except ServiceError as error:
        typer.echo(f"roteiro: {error.message}", err=True)
        code = BAD_INPUT
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack a title's letters
            stream.reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
