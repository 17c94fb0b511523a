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
  1    some narrations were not made, or not found for a download; something is not
       as it should be
  2    bad input; nothing was begun
  130  interrupted""",
)

letters = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Messages that were rejected: list, show, and publish them again.",
)
app.add_typer(letters, name="dead-letters")

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
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no table; errors only.")
]
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
    store_patience: flags.StorePatience = None,
    gemini_endpoint: flags.GeminiEndpoint = None,
    no_cache: flags.NoCache = None,
    refresh: flags.Refresh = None,
    api_key_secret: flags.ApiKeySecret = None,
    events_topic: flags.EventsTopic = None,
    quiet: Quiet = False,
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
    store_patience: flags.StorePatience = None,
    gemini_endpoint: flags.GeminiEndpoint = None,
    no_cache: flags.NoCache = None,
    refresh: flags.Refresh = None,
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
    minutes: Annotated[
        float | None,
        typer.Argument(metavar="MINUTES", min=0, help="Of no progress, with --stalled. [15]"),
    ] = None,
    *,
    stalled: Annotated[
        bool,
        typer.Option("--stalled", help="Only those that have not ended and make no progress."),
    ] = False,
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
    """List batches, newest first.

    With --stalled those that are queued or running without progress for some
    minutes, and those that nobody makes any more.
    """
    from launcher import listing
    from services.ports import BatchQuery

    query = BatchQuery(owner=owner, text=text, before=before, limit=limit)
    _end(listing.show, query, state, _given(context), stalled=stalled, minutes=minutes, json=json)


@app.command()
def cancel(
    context: typer.Context,
    batch: BatchId,
    *,
    no_wait: Annotated[
        bool, typer.Option("--no_wait", help="Do not stay until the batch has ended.")
    ] = False,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    json: AsJson = False,
) -> None:
    """Stop a batch: calls under way are finished, and none is begun.

    It stays until the batch has ended; Ctrl-C stops watching only. What is
    finished is kept and can be downloaded; `retry` makes the rest.
    """
    from launcher import cancel as cancelling

    _end(cancelling.cancel, batch, _given(context), wait=not no_wait, json=json)


@app.command()
def retry(
    context: typer.Context,
    batch: BatchId,
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="Make what failed or is missing. [default]")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Make all of it again, and replace its files.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to begin.")] = False,
    topic: flags.Topic = None,
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
    events_topic: flags.EventsTopic = None,
    quiet: Quiet = False,
    json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make what a batch lacks, and say beforehand how many calls that takes.

    With a topic its request is published again, as `submit` does; without one,
    or with --topic '', it is made here and now, as `run` does. A batch that
    somebody makes is refused; one that is left or stalled is taken up.
    """
    from launcher import retry as retrying
    from launcher.run import View

    if failed and everything:
        raise typer.BadParameter("--failed and --all exclude each other")
    view = View(quiet=quiet, json=json, verbose=verbose)
    _end(retrying.retry, batch, _given(context), view, everything=everything, sure=yes)


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


@app.command()
def provision(
    context: typer.Context,
    *,
    create: Annotated[
        bool,
        typer.Option("--create/--check", help="Make what is missing, or only look."),
    ] = False,
    topic: flags.Topic = None,
    subscription: flags.Subscription = None,
    dead_letter_topic: flags.DeadLetterTopic = None,
    events_topic: flags.EventsTopic = None,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    writer: flags.Writer = None,
    voice: flags.Speaker = None,
    runner: flags.Runner = None,
    location: Annotated[
        str,
        typer.Option("--location", metavar="PLACE", help="Of new buckets and databases."),
    ] = "US",
    project: Annotated[
        str,
        typer.Option("--project", metavar="ID", help="Of a new bucket. [that of the topics]"),
    ] = "",
    account: Annotated[
        str,
        typer.Option("--account", metavar="EMAIL", help="Service account. [a new one: roteiro]"),
    ] = "",
    json: AsJson = False,
) -> None:
    """Look at the topics, bucket and database that the settings name, or make them.

    What is missing is made; what differs is mended where nothing can be lost by
    it, and told otherwise. The roles that are needed are printed, not granted.
    """
    from launcher import provision as provisioning

    wishes = provisioning.Wishes(create, location, project, account)
    _end(provisioning.provision, _given(context), wishes, json=json)


@app.command()
def doctor(
    context: typer.Context,
    *,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    writer: flags.Writer = None,
    gemini_endpoint: flags.GeminiEndpoint = None,
    voice: flags.Speaker = None,
    speech_endpoint: flags.SpeechEndpoint = None,
    topic: flags.Topic = None,
    subscription: flags.Subscription = None,
    dead_letter_topic: flags.DeadLetterTopic = None,
    events_topic: flags.EventsTopic = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=0.1, max=600, help="For each answer."),
    ] = 10,
    json: AsJson = False,
) -> None:
    """Ask each service that the settings name one thing, and say what it answers.

    With the credentials that a batch would use. Nothing is made; one word of
    speech is paid for, where the voice is Google's.
    """
    from launcher import doctor as examining

    _end(examining.doctor, _given(context), timeout, json=json)


cache = typer.Typer(no_args_is_help=True, help="Answers that were paid for, and are kept.")
app.add_typer(cache, name="cache")


@cache.command()
def prune(
    context: typer.Context,
    *,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than",
            "--older_than",
            metavar="AGE",
            help="Those not used for so long: 90m, 12h, 7d, 2w.",
        ),
    ],
    output: flags.Output = None,
) -> None:
    """Remove kept answers that were not used for a while.

    In a bucket its lifecycle rule does that: see docs/cache.md.
    """
    from launcher import pruning

    _end(pruning.prune, older_than, _given(context))


@letters.command("list")
def list_letters(
    context: typer.Context,
    *,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    json: AsJson = False,
) -> None:
    """List dead letters, oldest first."""
    from launcher import dead_letters

    _end(dead_letters.show_list, _given(context), json=json)


@letters.command("show")
def show_letter(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `list` names it.")],
    *,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    json: AsJson = False,
) -> None:
    """Show a dead letter: every error, and the message."""
    from launcher import dead_letters

    _end(dead_letters.show, name, _given(context), json=json)


@letters.command("requeue")
def requeue_letters(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `list` names it.")] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="All that were not requeued yet.")] = False,
    file: Annotated[
        str,
        typer.Option("--file", metavar="FILE", help="Publish this corrected request in its place."),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Even if it would be rejected, or was requeued.")
    ] = False,
    topic: flags.Topic = None,
    output: flags.Output = None,
    status: flags.StatusStore = None,
    writer: flags.Writer = None,
    json: AsJson = False,
) -> None:
    """Publish dead letters again, byte for byte, and mark them as requeued.

    What would still be rejected is told and not sent.
    """
    from launcher import dead_letters

    given = _given(context)
    _end(dead_letters.requeue, name, given, every=every, file=file, force=force, json=json)


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
