"""The command line: what each command takes, and the exit code it ends with."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from launcher import __version__
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
BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="A batch's id.")]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="DIR", help="Folder of the deliverables. [output]"),
]
StatusStore = Annotated[
    str | None,
    typer.Option(
        "--status", metavar="STORE", help="SQLite file of the statuses. [status.db in the output]"
    ),
]
Writer = Annotated[
    str | None,
    typer.Option("--writer", metavar="NAME", help="Who writes: offline or gemini. [offline]"),
]
Speaker = Annotated[
    str | None,
    typer.Option("--voice", metavar="NAME", help="Who speaks: offline or google. [offline]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command()
def run(
    file: RequestFile,
    *,
    batch_id: Annotated[
        str | None,
        typer.Option("--batch_id", metavar="ID", help="Call the batch this, or go on with it."),
    ] = None,
    output: Output = None,
    status: StatusStore = None,
    writer: Writer = None,
    voice: Speaker = None,
    speech_endpoint: Annotated[
        str | None,
        typer.Option(
            "--speech_endpoint", metavar="HOST:PORT", help="Text-to-Speech server, not Google's."
        ),
    ] = None,
    speech_timeout: Annotated[
        float | None,
        typer.Option("--speech_timeout", metavar="SECONDS", help="Of a Google voice's call. [60]"),
    ] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option("--sample_rate", metavar="HZ", help="Google voice; 0 is its own. [0]"),
    ] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option("--max_in_flight", metavar="N", help="Calls at once, each slow step. [100]"),
    ] = None,
    generation_timeout: Annotated[
        float | None,
        typer.Option("--generation_timeout", metavar="S", help="Seconds for a script. [120]"),
    ] = None,
    adaptation_timeout: Annotated[
        float | None,
        typer.Option("--adaptation_timeout", metavar="S", help="Seconds to adapt it. [120]"),
    ] = None,
    attempts: Annotated[
        int | None,
        typer.Option("--attempts", metavar="N", help="Calls, at most, for one answer. [5]"),
    ] = None,
    retry_deadline: Annotated[
        float | None,
        typer.Option("--retry_deadline", metavar="S", help="Seconds, retries included. [600]"),
    ] = None,
    gemini_endpoint: Annotated[
        str | None,
        typer.Option("--gemini_endpoint", metavar="URL", help="Gemini's base URL. [Google's]"),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no table; errors only.")
    ] = False,
    json: AsJson = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what happens, Beam included.")
    ] = False,
) -> None:
    """Make a batch here and now, and show how far it is.

    Running the same request again under the same batch id finishes what is
    missing and leaves alone what is there. Ctrl-C finishes the calls under way
    and says how to go on; Ctrl-C again stops at once.
    """
    from launcher import run as running

    flags = {
        "output": output,
        "status": status,
        "writer": writer,
        "voice": voice,
        "speech_endpoint": speech_endpoint,
        "speech_timeout": speech_timeout,
        "sample_rate": sample_rate,
        "max_in_flight": max_in_flight,
        "generation_timeout": generation_timeout,
        "adaptation_timeout": adaptation_timeout,
        "attempts": attempts,
        "retry_deadline": retry_deadline,
        "gemini_endpoint": gemini_endpoint,
    }
    view = running.View(quiet=quiet, json=json, verbose=verbose)
    _end(running.run, file, batch_id, flags, view)


@app.command()
def validate(file: RequestFile, *, writer: Writer = None, json: AsJson = False) -> None:
    """Check a request and say what it would make.

    Nothing is touched.
    """
    from launcher import validate as validating

    _end(validating.validate, file, {"writer": writer}, json=json)


@app.command("status")
def show_status(
    batch: Annotated[
        str, typer.Argument(metavar="BATCH", help="A batch's id; by default the newest.")
    ] = "",
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay until the batch has ended.")
    ] = False,
    jobs: Annotated[bool, typer.Option("--jobs", help="Every job, not just the first.")] = False,
    output: Output = None,
    status: StatusStore = None,
    json: AsJson = False,
) -> None:
    """Show how far a batch is, job by job."""
    from launcher import status as showing

    flags = {"output": output, "status": status}
    _end(showing.show, batch, flags, watch=watch, every_job=jobs, json=json)


@app.command("list")
def list_batches(
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
    output: Output = None,
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
    _end(listing.show, query, state, {"output": output, "status": status}, json=json)


@app.command()
def download(
    batch: BatchId,
    *,
    to: Annotated[
        str,
        typer.Option("--to", metavar="FILE", help="ZIP to write; - for standard output. [ID.zip]"),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the ZIP if it is there.")] = False,
    output: Output = None,
    status: StatusStore = None,
) -> None:
    """Collect a batch's files in a ZIP with readable names.

    The batch need not have ended: what is finished is in the ZIP, and the
    manifest tells what is not.
    """
    from launcher import download as downloading

    _end(downloading.download, batch, to, {"output": output, "status": status}, replace=force)


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
