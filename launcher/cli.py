"""The command line: what each command takes, and the exit code it ends with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from launcher import __version__
from launcher.exits import BAD_INPUT, INTERRUPTED

if TYPE_CHECKING:
    from launcher.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Narrated scripts from a list of titles: written, adapted, spoken, stored as MP3.",
    epilog="Settings: flags over ROTEIRO_* variables over roteiro.toml; see docs/settings.md. "
    "Exit codes: 0 all done, 1 some items failed, 2 bad input, 130 interrupted.",
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
    str | None, typer.Option("--writer", metavar="NAME", help="Who writes: offline. [offline]")
]
Speaker = Annotated[
    str | None, typer.Option("--voice", metavar="NAME", help="Who speaks: offline. [offline]")
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
    max_in_flight: Annotated[
        int | None,
        typer.Option("--max_in_flight", metavar="N", help="Calls at once, each slow step. [100]"),
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
    missing and leaves alone what is there.
    """
    from launcher import run as running

    settings = _settings(
        output=output, status=status, writer=writer, voice=voice, max_in_flight=max_in_flight
    )
    view = running.View(quiet=quiet, json=json, verbose=verbose)
    raise typer.Exit(running.run(file, batch_id, settings, view))


@app.command()
def validate(file: RequestFile, *, writer: Writer = None, json: AsJson = False) -> None:
    """Check a request and say what it would make; nothing is touched."""
    from launcher import validate as validating

    raise typer.Exit(validating.validate(file, _settings(writer=writer), json=json))


@app.command("status")
def show_status(
    batch: Annotated[
        str, typer.Argument(metavar="[BATCH]", help="A batch's id; by default the newest.")
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

    settings = _settings(output=output, status=status)
    raise typer.Exit(showing.show(batch, settings, watch=watch, every_job=jobs, json=json))


@app.command("list")
def list_batches(
    *,
    owner: Annotated[str, typer.Option("--owner", help="Only this owner's.")] = "",
    state: Annotated[
        str, typer.Option("--state", help="Only those in this status, such as partial.")
    ] = "",
    text: Annotated[
        str, typer.Option("--text", help="Only those with this in their id or a title.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most.")] = 20,
    before: Annotated[
        str, typer.Option("--before", metavar="BATCH", help="Those older than this batch.")
    ] = "",
    output: Output = None,
    status: StatusStore = None,
    json: AsJson = False,
) -> None:
    """List batches, newest first."""
    from launcher import listing
    from services.ports import BatchQuery

    settings = _settings(output=output, status=status)
    query = BatchQuery(owner=owner, text=text, before=before, limit=limit)
    raise typer.Exit(listing.show(query, state, settings, json=json))


@app.command()
def download(
    batch: BatchId,
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="FILE", help="ZIP to write; - for standard output.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the ZIP if it is there.")] = False,
    output: Output = None,
    status: StatusStore = None,
) -> None:
    """Collect a batch's files, finished or not, in a ZIP with readable names."""
    from launcher import download as downloading

    settings = _settings(output=output, status=status)
    raise typer.Exit(downloading.download(batch, to, settings, replace=force))


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


def _settings(**flags: Any) -> Settings:
    from launcher.settings import SettingsError, load_settings

    try:
        return load_settings(**flags)
    except SettingsError as error:
        _bad_input(str(error))


def _bad_input(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(BAD_INPUT)


def main() -> None:
    """Run the command line; a service that is away is told in a line, never as a traceback."""
    from services.errors import ServiceError

    try:
        app()
    except ServiceError as error:
        typer.echo(f"roteiro: {error.message}", err=True)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        typer.echo("roteiro: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        sys.stderr.close()
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
