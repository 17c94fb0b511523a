"""`roteiro dead-letters`: rejected messages are listed, shown, and published again."""

from __future__ import annotations

import posixpath
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from domain.letters import FOLDER, DeadLetter, letter_path
from domain.request import Problem, RequestError, parse_request
from launcher import bootstrap
from launcher.consoles import (
    error_console,
    moment,
    output_console,
    plain_table,
    print_json,
    print_problems,
)
from launcher.exits import BAD_INPUT, DONE, SOME_FAILED, BadInput
from launcher.requests import file_name, load_request
from launcher.settings import load_settings
from launcher.submit import attributes_of, encoded
from services.errors import Refused, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.request import BatchRequest
    from launcher.settings import Flags, Settings
    from services.ports import ArtifactStore, StatusStore, Topic

AT_ONCE: Final = 16
"""Letters read side by side; a bucket takes a while to answer for each."""
ENDING: Final = ".json"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list tells of a letter; its bytes may be megabytes."""

    name: str
    rejected_at: str
    requeued_at: str
    errors: int
    first_error: str
    bytes: int
    batch_id: str

    @classmethod
    def of(cls, name: str, letter: DeadLetter) -> Summary:
        """Of a letter, by its file's name."""
        first = str(letter.problems[0]) if letter.problems else ""
        return cls(
            name,
            letter.rejected_at,
            letter.requeued_at,
            len(letter.problems),
            first,
            len(letter.data),
            letter.batch_id,
        )


def show_list(flags: Flags, *, json: bool) -> int:
    """Print what letters there are, oldest first; returns the exit code."""
    settings = load_settings(flags)
    found = _summaries(bootstrap.artifacts(settings.output))
    if json:
        print_json([asdict(summary) for summary in found])
    elif found:
        table = plain_table(
            "Letter", "Rejected (UTC)", "Requeued", "Batch", "Bytes>", "First error"
        )
        for summary in found:
            more = f" (+{summary.errors - 1:,})" if summary.errors > 1 else ""
            table.add_row(
                summary.name,
                moment(summary.rejected_at),
                moment(summary.requeued_at),
                summary.batch_id,
                f"{summary.bytes:,}",
                summary.first_error + more,
            )
        output_console().print(table)
    else:
        error_console().print(f"no dead letters in {settings.output}", soft_wrap=True)
    return DONE


def show(name: str, flags: Flags, *, json: bool) -> int:
    """Print a letter; returns the exit code."""
    settings = load_settings(flags)
    letter = _letter(name, bootstrap.artifacts(settings.output), settings)
    if json:
        print_json(letter.document())
        return DONE
    console = output_console()
    told = f"Dead letter {letter.run_id}, {len(letter.data):,} bytes"
    told += f", rejected {moment(letter.rejected_at)} UTC" if letter.rejected_at else ""
    told += f", requeued {moment(letter.requeued_at)} UTC" if letter.requeued_at else ""
    console.print(f"{told}:", soft_wrap=True)
    for problem in letter.problems:
        console.print(f"  {problem}", soft_wrap=True)
    console.print()
    console.print(letter.text, soft_wrap=True)
    return DONE


def requeue(
    name: str, flags: Flags, *, every: bool, file: str = "", force: bool = False, json: bool = False
) -> int:
    """Publish letters again; returns the exit code.

    Args:
        name: of one; empty for all that were not requeued yet.
        flags: of the command line.
        every: whether all are meant.
        file: a request file that is published in its place; empty for the original bytes.
        force: also what would be rejected again, or was requeued already.
        json: whether a program reads it.
    """
    if bool(name) == every:
        raise BadInput("requeue needs the NAME of a dead letter, or --all")
    if file and every:
        raise BadInput("--file replaces one letter: name it, without --all")
    settings = load_settings(flags)
    if not settings.topic:
        raise BadInput("requeue needs --topic projects/<project>/topics/<topic>")
    artifacts = bootstrap.artifacts(settings.output)
    replacement: BatchRequest | None = None
    if file:
        try:
            replacement = load_request(file, bootstrap.offered_languages(settings))
            encoded(replacement)
        except RequestError as error:
            print_problems(file_name(file), error.problems)
            return BAD_INPUT
    elif name and (at := _letter(name, artifacts, settings).requeued_at) and not force:
        raise BadInput(f"{name} was requeued {moment(at)} UTC already; --force sends it again")
    names = (
        [name] if name else [found.name for found in _summaries(artifacts) if not found.requeued_at]
    )
    with ExitStack() as stack:
        topic = stack.enter_context(closing(bootstrap.topic(settings.topic)))
        statuses = bootstrap.existing_statuses(settings)
        if statuses:
            stack.enter_context(closing(statuses))
        desk = _Desk(settings, artifacts, statuses, topic, force=force)
        results = [desk.requeue(each, replacement) for each in names]
    if json:
        print_json(results)
    elif not results:
        error_console().print(f"no dead letters to requeue in {settings.output}", soft_wrap=True)
    failed = any(result["message_id"] is None for result in results)
    return (BAD_INPUT if name else SOME_FAILED) if failed else DONE


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where letters are published again, one after the other."""

    settings: Settings
    artifacts: ArtifactStore
    statuses: StatusStore | None
    topic: Topic
    force: bool

    def requeue(self, name: str, replacement: BatchRequest | None) -> dict[str, Any]:
        """Publish one and mark it; what would be rejected again is told instead."""
        letter = _letter(name, self.artifacts, self.settings)
        attributes: dict[str, str] = {}
        data = letter.data
        problems: tuple[Problem, ...] = ()
        try:
            request = replacement or parse_request(
                letter.data, bootstrap.offered_languages(self.settings)
            )
            attributes = attributes_of(request)
            data = encoded(replacement) if replacement else letter.data
            problems = tuple(self._conflict(request))
        except RequestError as error:
            problems = error.problems
        if problems and not self.force:
            print_problems(f"Dead letter {name} would be rejected again", problems)
            error_console().print(
                "--force publishes it all the same; --file names a corrected request.",
                soft_wrap=True,
            )
            return {"name": name, "message_id": None, "problems": [asdict(p) for p in problems]}
        message_id = self.topic.publish(data, attributes)
        self._mark(name, letter)
        error_console().print(f"{name} was published as message {message_id}.", soft_wrap=True)
        return {"name": name, "message_id": message_id, "problems": [asdict(p) for p in problems]}

    def _conflict(self, request: BatchRequest) -> Iterator[Problem]:
        """The id may be another request's, which only the status store knows."""
        if self.statuses is None or request.batch_id is None:
            return
        stored = self.statuses.batch(request.batch_id)
        if stored and stored["content_hash"] != request.content_hash():
            yield Problem(
                "batch_id", f"{request.batch_id} is another request's already; choose another id"
            )

    def _mark(self, name: str, letter: DeadLetter) -> None:
        try:
            self.artifacts.write(letter_path(name), letter.requeued(datetime.now(UTC)).encoded())
        except ServiceError as error:
            reason = f"{name} was published, but could not be marked as requeued"
            raise type(error)(f"{reason}: {error.message}", code=error.code) from error


def _summaries(artifacts: ArtifactStore) -> list[Summary]:
    """All letters, oldest first; a file that is none is told and left out."""
    names = [
        posixpath.basename(uri).removesuffix(ENDING)
        for uri in artifacts.existing(FOLDER)
        if uri.endswith(ENDING)
    ]

    def summary(name: str) -> Summary | str:
        try:
            return Summary.of(name, _read(name, artifacts))
        except ValueError as error:
            return f"{name}: {error}"

    with ThreadPoolExecutor(AT_ONCE) as threads:
        read = list(threads.map(summary, names))
    for told in read:
        if isinstance(told, str):
            error_console().print(f"left out: {told}", soft_wrap=True)
    found = [each for each in read if isinstance(each, Summary)]
    return sorted(found, key=lambda each: (each.rejected_at, each.name))


def _letter(name: str, artifacts: ArtifactStore, settings: Settings) -> DeadLetter:
    """One letter by its name; raises BadInput where there is none."""
    unknown = BadInput(
        f"no dead letter {name} in {settings.output}; `roteiro dead-letters list` shows what there is"
    )
    if "/" in name or "\\" in name:
        raise unknown
    try:
        return _read(name, artifacts)
    except Refused as error:
        if error.code != "not_found":
            raise
        raise unknown from None
    except ValueError as error:
        raise BadInput(f"{name}: {error}") from None


def _read(name: str, artifacts: ArtifactStore) -> DeadLetter:
    with artifacts.open(artifacts.uri(letter_path(name))) as file:
        return DeadLetter.decode(file.read())
