"""`roteiro retry`: what a batch lacks is made, or all of it again."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from domain.request import build_request, parse_request
from domain.status import timestamp
from launcher.claims import FileClaims
from services.statuses.firestore import FirestoreStatusStore
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import ROTEIRO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from domain.status import BatchDoc
    from services.ports import StatusStore
    from tests.emulators.pubsub import PubsubEmulator

JOB = "0001-a-historia-do-cafe"


def times(folder: Path) -> dict[str, int]:
    """When each MP3 was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.mp3")}


def opened(folder: Path) -> SqliteStatusStore:
    return SqliteStatusStore(folder / "output" / "status.db")


def batch(folder: Path) -> BatchDoc:
    with closing(opened(folder)) as statuses:
        stored = statuses.batch("small")
    assert stored is not None
    return stored


def asked(folder: Path, small: dict[str, Any], status: str = "partial") -> None:
    """The small batch is there; nothing of it is made."""
    with closing(opened(folder)) as statuses:
        statuses.accept("small", build_request(small), run_id="run", resume=False)
        statuses.merge_batch("small", {"status": status})


def fail(folder: Path) -> None:
    """One narration of the small batch failed."""
    error = {"stage": "narrate", "code": "timeout", "message": "no answer", "attempts": 5}
    with closing(opened(folder)) as statuses:
        item = {"status": "failed", "error": error}
        statuses.merge_jobs("small", {JOB: {"items": {"v1.en-US": item}, "status": "partial"}})
        statuses.merge_batch("small", {"status": "partial"})


def test_what_failed_is_made_and_then_all_of_it(
    call: Callable[..., Any], folder: Path, request_file: Path
) -> None:
    """The cost is told first; what is there is left alone, or with --all made again."""
    assert call("run", request_file.name).exit_code == 0
    before = times(folder)
    fail(folder)
    result = call("retry", "small")
    assert result.exit_code == 0
    assert result.stderr.startswith(
        "Batch small: 1 script, 1 adaptation, 1 narration to be made; 1 of 2 narrations are kept.\n"
    )
    assert "Batch small completed: 2 of 2 narrations" in result.stdout
    after = times(folder)
    assert [name for name in after if after[name] != before[name]] == [f"{JOB}.v1.en-US.mp3"]

    complete = call("retry", "small")
    assert (complete.exit_code, complete.stdout) == (0, "")
    assert complete.stderr == "Batch small is complete; `--all` makes all of it again.\n"
    assert times(folder) == after

    result = call("retry", "small", "--all", "--json")
    assert result.exit_code == 0
    assert "1 script, 1 adaptation, 2 narrations to be made; 0 of 2" in result.stderr
    document = json.loads(result.stdout)
    assert (document["status"], document["completed_items"]) == ("completed", 2)
    again = times(folder)
    assert len(again) == 2
    assert all(again[name] != after[name] for name in after)


def test_files_that_are_gone_are_made_again(
    call: Callable[..., Any], folder: Path, request_file: Path
) -> None:
    """A batch that is complete by its status only is told so, and mended."""
    assert call("run", request_file.name).exit_code == 0
    next(folder.rglob("*.pt-BR.mp3")).unlink()
    result = call("retry", "small", "--failed")
    assert result.exit_code == 0
    assert result.stderr.startswith("Batch small: 1 script, 0 adaptations, 1 narration to be made")
    assert len(times(folder)) == 2


def test_a_batch_that_somebody_makes_is_refused(
    folder: Path, small: dict[str, Any], spawn: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """The reason is told with a way on, also where only the claim shows it."""
    asked(folder, small, "running")
    with FileClaims(folder / "output" / "status.db").claim("small"):
        result = spawn("retry", "small", cwd=folder)
        assert result.returncode == 2
        assert "Batch small is being made; last progress just now." in result.stderr
        assert "`roteiro cancel small` stops it" in result.stderr
        with closing(opened(folder)) as statuses:
            statuses.merge_batch("small", {"status": "queued"})
        result = spawn("retry", "small", cwd=folder)
        assert result.returncode == 2
        assert "small is being made by another process" in result.stderr
    assert not times(folder)


def test_a_batch_that_is_left_is_taken_up(
    call: Callable[..., Any], folder: Path, small: dict[str, Any]
) -> None:
    """Its process is gone, so that nobody else makes it."""
    asked(folder, small, "running")
    result = call("retry", "small", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert batch(folder)["status"] == "completed"


def test_a_writer_without_the_language_is_refused(
    call: Callable[..., Any], folder: Path, small: dict[str, Any]
) -> None:
    """Before anything is begun, as by `run`."""
    agent = {**small["agent"], "target_languages": ["ja-JP"]}
    asked(folder, {**small, "agent": agent})
    result = call("retry", "small")
    assert result.exit_code == 2
    assert "agent.target_languages[0]: has no offline templates" in result.stderr
    assert batch(folder)["status"] == "partial"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["mate"], "no batch mate in output/status.db"),
        (["small", "--failed", "--all"], "--failed and --all exclude each other"),
    ],
)
def test_what_cannot_be(
    call: Callable[..., Any],
    folder: Path,
    small: dict[str, Any],
    words: list[str],
    reason: str,
) -> None:
    """It is bad input, and nothing changes."""
    asked(folder, small)
    before = batch(folder)
    result = call("retry", *words)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert batch(folder) == before


@pytest.mark.parametrize(("interrupt", "code"), [(False, 2), (True, 130)])
def test_a_terminal_is_asked(
    folder: Path, small: dict[str, Any], interrupt: bool, code: int
) -> None:
    """Whoever says no, or nothing, begins nothing."""
    asked(folder, small)
    before = batch(folder)
    terminal, inner = pty.openpty()
    process = subprocess.Popen(
        [ROTEIRO, "retry", "small"],
        cwd=folder,
        stdin=inner,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert told.startswith("Batch small: 1 script, 1 adaptation, 2 narrations to be made")
        assert process.stderr.read(len("Begin? [y/N]:")) == "Begin? [y/N]:"
        if interrupt:
            process.send_signal(signal.SIGINT)
        else:
            os.write(terminal, b"n\n")
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
        os.close(terminal)
        os.close(inner)
    assert process.returncode == code
    assert batch(folder) == before


@pytest.mark.pubsub
def test_with_a_topic_the_request_is_published_again(
    call: Callable[..., Any], folder: Path, small: dict[str, Any], pubsub: PubsubEmulator
) -> None:
    """The batch waits, what it has is kept or with --all forgotten, and the message is submit's."""
    topic, subscription = pubsub.new_topic()
    asked(folder, small)
    result = call("retry", "small", "--topic", topic)
    assert result.exit_code == 0
    assert result.stdout.startswith("Batch small is queued.")
    (message,) = pubsub.take(subscription)
    assert parse_request(message.data) == build_request(small)
    assert message.attributes["batch_id"] == "small"
    assert (batch(folder)["status"], batch(folder)["run_id"]) == ("queued", "")

    fail(folder)
    told = json.loads(call("retry", "small", "--all", "--topic", topic, "--json").stdout)
    assert told == {
        "batch_id": "small",
        "published": True,
        "scripts": 1,
        "adaptations": 1,
        "narrations": 2,
    }
    with closing(opened(folder)) as statuses:
        assert next(statuses.jobs("small"))["items"] == {}
    assert len(pubsub.take(subscription)) == 1


@pytest.mark.pubsub
def test_with_a_topic_that_is_not_there_nothing_changes(
    call: Callable[..., Any], folder: Path, small: dict[str, Any], pubsub: PubsubEmulator
) -> None:
    """The topic is looked for before the batch is touched."""
    assert pubsub.host
    asked(folder, small)
    before = batch(folder)
    result = call("retry", "small", "--all", "--topic", "projects/roteiro-tests/topics/not-there")
    assert result.exit_code == 2
    assert "create it" in result.stderr
    assert batch(folder) == before


@pytest.mark.pubsub
def test_a_batch_of_a_runner_without_claims_is_taken_up_once_it_is_stalled(
    call: Callable[..., Any],
    small: dict[str, Any],
    firestore_project: str,
    pubsub: PubsubEmulator,
) -> None:
    """Until then it is taken for alive; afterwards it looks neither held nor left."""
    topic, subscription = pubsub.new_topic()
    words = ("--status", f"firestore://{firestore_project}/(default)", "--topic", topic)
    with closing(FirestoreStatusStore(firestore_project)) as statuses:
        statuses.accept("small", build_request(small), run_id="run", resume=False)
        assert "is being made" in call("retry", "small", *words).stderr
        long_ago = timestamp(datetime.now(UTC) - timedelta(minutes=16))
        statuses.merge_batch(
            "small", {"created_at": long_ago, "started_at": long_ago, "progressed_at": long_ago}
        )
        assert call("retry", "small", *words).exit_code == 0
        assert len(pubsub.take(subscription)) == 1
        assert _state(statuses) == ("queued", None)


def _state(statuses: StatusStore) -> tuple[str, str | None]:
    stored = statuses.batch("small")
    assert stored is not None
    return stored["status"], stored.get("held_until")
