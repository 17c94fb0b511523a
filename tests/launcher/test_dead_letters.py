"""`roteiro dead-letters`: rejected messages are listed, shown, and published again."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from domain.letters import DeadLetter, letter_path
from domain.request import RequestError, build_request, parse_request
from domain.work import Message, Rejected
from services.artifacts.bucket import BucketArtifactStore
from services.artifacts.folder import FolderArtifactStore
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import encoded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.ports import ArtifactStore
    from tests.emulators.pubsub import PubsubEmulator

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WRONG = encoded({"batch_id": "wrong-one", "titles": [], "variations": 0})


def keep(artifacts: ArtifactStore, name: str, data: bytes, minutes: int = 0) -> None:
    """A dead letter as the pipeline keeps it; a conflict where the request is right."""
    try:
        parse_request(data)
        problems: tuple[Any, ...] = ()
    except RequestError as error:
        problems = error.problems
    rejected = Rejected(Message(data, "given", name), problems)
    letter = DeadLetter.of(rejected, NOON + timedelta(minutes=minutes))
    artifacts.write(letter_path(name), letter.encoded())


@pytest.fixture
def artifacts(folder: Path) -> FolderArtifactStore:
    """The output, where the command line looks for it."""
    return FolderArtifactStore(str(folder / "output"))


def test_letters_are_listed_and_shown(
    call: Callable[..., Any], artifacts: FolderArtifactStore
) -> None:
    """Oldest first, with the first error; one alone with all errors and its text."""
    keep(artifacts, "17", WRONG, minutes=5)
    keep(artifacts, "18", b"\xfe no request")
    artifacts.write(letter_path("19"), b"{}")
    result = call("dead-letters", "list")
    assert result.exit_code == 0
    heading, first, second = result.stdout.splitlines()
    assert heading.split() == [
        "Letter",
        "Rejected",
        "(UTC)",
        "Requeued",
        "Batch",
        "Bytes",
        "First",
        "error",
    ]
    assert first.split()[:3] == ["18", "2026-01-01", "12:00:00"]
    assert "is not UTF-8 text" in first
    assert second.split()[:4] == ["17", "2026-01-01", "12:05:00", "wrong-one"]
    assert "(+2)" in second
    assert "left out: 19: it is no dead letter" in result.stderr

    listed = json.loads(call("dead-letters", "list", "--json").stdout)
    assert [each["name"] for each in listed] == ["18", "17"]
    assert listed[1] | {"first_error": ""} == {
        "name": "17",
        "rejected_at": "2026-01-01T12:05:00.000+00:00",
        "requeued_at": "",
        "errors": 3,
        "first_error": "",
        "bytes": len(WRONG),
        "batch_id": "wrong-one",
    }

    shown = call("dead-letters", "show", "17").stdout
    assert shown.startswith(
        f"Dead letter 17, {len(WRONG)} bytes, rejected 2026-01-01 12:05:00 UTC:"
    )
    for path in ("titles: ", "variations: ", "agent: "):
        assert f"\n  {path}" in shown
    assert shown.endswith(f"\n{WRONG.decode()}\n")
    assert json.loads(call("dead-letters", "show", "17", "--json").stdout)["text"] == WRONG.decode()


def test_no_letters(call: Callable[..., Any]) -> None:
    """That is no error, and no folder is made to find out."""
    result = call("dead-letters", "list")
    assert (result.exit_code, result.stderr) == (0, "no dead letters in output\n")
    assert json.loads(call("dead-letters", "list", "--json").stdout) == []


def test_letters_in_a_bucket(call: Callable[..., Any], bucket: str) -> None:
    """They are found there, too."""
    output = f"gs://{bucket}/out"
    with closing(BucketArtifactStore(output)) as artifacts:
        keep(artifacts, "17", WRONG)
    words = ("--output", output, "--status", "status.db")
    assert "wrong-one" in call("dead-letters", "list", *words).stdout
    assert "variations: " in call("dead-letters", "show", "17", *words).stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["show", "mate"], "no dead letter mate in output"),
        (["show", "../status"], "no dead letter ../status in output"),
        (["requeue"], "needs the NAME of a dead letter, or --all"),
        (["requeue", "17", "--all"], "needs the NAME of a dead letter, or --all"),
        (["requeue", "--all", "--file", "x.json"], "--file replaces one letter"),
        (["requeue", "17"], "requeue needs --topic"),
    ],
)
def test_what_cannot_be(call: Callable[..., Any], words: list[str], reason: str) -> None:
    """It is bad input, told in a line."""
    result = call("dead-letters", *words)
    assert result.exit_code == 2
    assert reason in result.stderr


@pytest.mark.pubsub
def test_all_are_requeued_once(
    call: Callable[..., Any],
    folder: Path,
    artifacts: FolderArtifactStore,
    small: dict[str, Any],
    pubsub: PubsubEmulator,
) -> None:
    """Byte for byte; what would be rejected again stays, unless it is forced."""
    topic, subscription = pubsub.new_topic()
    right = b" " + encoded(small)
    keep(artifacts, "17", right)
    keep(artifacts, "18", WRONG)
    keep(artifacts, "19", encoded({**small, "batch_id": "taken"}))
    with closing(SqliteStatusStore(folder / "output" / "status.db")) as statuses:
        other = build_request({**small, "batch_id": "taken", "titles": ["Chá"]})
        statuses.accept("taken", other, run_id="run", resume=False)

    words = ("dead-letters", "requeue", "--topic", topic)
    result = call(*words, "--all", "--json")
    assert result.exit_code == 1
    assert "Dead letter 18 would be rejected again: 3 problems" in result.stderr
    assert "batch_id: taken is another request's already" in result.stderr
    results = {each["name"]: each for each in json.loads(result.stdout)}
    (message,) = pubsub.take(subscription)
    assert (message.data, message.message_id) == (right, results["17"]["message_id"])
    assert message.attributes["batch_id"] == "small"
    assert results["18"]["message_id"] is None
    assert len(results["18"]["problems"]) == 3

    again = call(*words, "--all", "--json")
    assert [each["name"] for each in json.loads(again.stdout)] == ["18", "19"]
    assert "requeued" in call("dead-letters", "show", "17").stdout
    once = call(*words, "17")
    assert (once.exit_code, once.stdout) == (2, "")
    assert "17 was requeued" in once.stderr
    assert pubsub.take(subscription, patience=2) == []

    assert call(*words, "17", "--force").exit_code == 0
    assert call(*words, "18").exit_code == 2
    assert call(*words, "18", "--force").exit_code == 0
    assert {taken.data for taken in pubsub.take(subscription, 2)} == {right, WRONG}


@pytest.mark.pubsub
def test_a_corrected_request_goes_in_its_place(
    call: Callable[..., Any],
    folder: Path,
    artifacts: FolderArtifactStore,
    request_file: Path,
    small: dict[str, Any],
    pubsub: PubsubEmulator,
) -> None:
    """The file is checked as by `run`; then the letter counts as requeued."""
    topic, subscription = pubsub.new_topic()
    keep(artifacts, "18", WRONG)
    (folder / "wrong.json").write_bytes(WRONG)
    words = ("dead-letters", "requeue", "18", "--topic", topic, "--file")
    result = call(*words, "wrong.json")
    assert result.exit_code == 2
    assert "wrong.json: 3 problems; nothing was touched." in result.stderr
    assert call(*words, request_file.name).exit_code == 0
    (message,) = pubsub.take(subscription)
    assert parse_request(message.data) == build_request(small)
    (letter,) = json.loads(call("dead-letters", "list", "--json").stdout)
    assert letter["requeued_at"]
