"""`roteiro cancel`: a batch stops, and what it has finished is kept."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from domain.request import BatchRequest, build_request
from launcher.claims import FileClaims
from services.statuses.sqlite import SqliteStatusStore

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from domain.status import BatchDoc

SLOWLY = {"ROTEIRO_MAX_IN_FLIGHT": "1"}
"""One narration after the other, so that there is something left to cancel."""
PATIENCE = 60.0
"""Seconds to wait for something before a test gives up."""


@pytest.fixture
def database(folder: Path) -> Path:
    return folder / "output" / "status.db"


@pytest.fixture
def statuses(database: Path) -> Iterator[SqliteStatusStore]:
    with closing(SqliteStatusStore(database)) as store:
        yield store


@pytest.fixture
def request_of_two(small: dict[str, Any]) -> BatchRequest:
    return build_request({**small, "titles": ["A", "B"]})


def batch(statuses: SqliteStatusStore) -> BatchDoc:
    stored = statuses.batch("small")
    assert stored is not None
    return stored


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Poll until something is the case; the process must not end before."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_queued_batch_ends_at_once(
    call: Callable[..., Any], statuses: SqliteStatusStore, request_of_two: BatchRequest
) -> None:
    """Nobody else would write its end, nor those of its jobs; again, it says so."""
    statuses.accept("small", request_of_two, run_id="", resume=False)
    result = call("cancel", "small")
    assert result.exit_code == 0
    assert result.stdout.startswith("Batch small of ana@example.com: cancelled\n")
    assert "`roteiro retry small` makes the rest." in result.stderr
    assert batch(statuses)["completed_at"]
    assert [job["status"] for job in statuses.jobs("small")] == ["cancelled"] * 2
    again = call("cancel", "small")
    assert (again.exit_code, again.stderr) == (0, "Batch small is cancelled already.\n")


@pytest.mark.parametrize("words", [[], ["--no_wait"]])
def test_a_batch_whose_process_is_gone_ends_at_once(
    call: Callable[..., Any],
    statuses: SqliteStatusStore,
    request_of_two: BatchRequest,
    words: list[str],
) -> None:
    """What it has finished still counts."""
    statuses.accept("small", request_of_two, run_id="run", resume=False)
    done = {"status": "completed", "audio_seconds": 1.0, "audio_bytes": 1, "characters": 1}
    statuses.merge_jobs("small", {"0001-a": {"items": {"v1.pt-BR": done, "v1.en-US": done}}})
    result = call("cancel", "small", "--json", *words)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["status"], document["completed_items"]) == ("cancelled", 2)
    assert [job["status"] for job in document["jobs"]] == ["completed", "cancelled"]


def test_a_batch_that_ended_is_left_alone(
    call: Callable[..., Any], statuses: SqliteStatusStore, request_of_two: BatchRequest
) -> None:
    """It says how it ended, and that is no error."""
    statuses.accept("small", request_of_two, run_id="run", resume=False)
    statuses.merge_batch("small", {"status": "partial"})
    before = batch(statuses)
    result = call("cancel", "small")
    assert (result.exit_code, result.stderr) == (0, "Batch small is partial already.\n")
    assert json.loads(call("cancel", "small", "--json").stdout)["status"] == "partial"
    assert batch(statuses) == before


def test_a_batch_that_is_not_there(call: Callable[..., Any]) -> None:
    """It is bad input, and nothing is made."""
    result = call("cancel", "mate")
    assert result.exit_code == 2
    assert "no batch mate in output/status.db" in result.stderr


def test_a_running_batch_stops_and_keeps_what_it_has(
    folder: Path,
    database: Path,
    small: dict[str, Any],
    start: Callable[..., subprocess.Popen[str]],
    spawn: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Its own process writes the end; the files so far are whole, and can be downloaded."""
    document = {**small, "titles": [f"Café {n}" for n in range(30)]}
    (folder / "long.json").write_text(json.dumps(document), "utf-8")
    process = start("run", "long.json", cwd=folder, **SLOWLY)
    try:
        wait_until(database.exists, process)
        with closing(SqliteStatusStore(database)) as statuses:
            wait_until(
                lambda: (statuses.batch("small") or {"completed_items": 0})["completed_items"] > 0,
                process,
            )
            result = spawn("cancel", "small", cwd=folder)
            assert result.returncode == 0, result.stderr
            assert "Batch small of ana@example.com: cancelled" in result.stdout
            process.communicate(timeout=PATIENCE)
            assert process.returncode == 1
            ended = batch(statuses)
    finally:
        process.kill()
        process.communicate()
    made = ended["completed_items"]
    assert ended["status"] == "cancelled"
    assert ended.get("manifest_uri")
    assert 0 < made < 60
    assert len(list((folder / "output").rglob("*.mp3"))) == made
    download = spawn("download", "small", cwd=folder)
    assert download.returncode == 0
    assert f"{made} of 60 narrations" in download.stderr


def test_interrupting_stops_watching_only(
    folder: Path,
    database: Path,
    statuses: SqliteStatusStore,
    request_of_two: BatchRequest,
    start: Callable[..., Any],
    spawn: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """While the batch's process lives it is waited for; the wish outlives whoever waits."""
    statuses.accept("small", request_of_two, run_id="run", resume=False)
    with FileClaims(database).claim("small"):
        result = spawn("cancel", "small", "--no_wait", cwd=folder)
        assert result.returncode == 0
        assert "Batch small is told to stop; `roteiro status small` tells" in result.stderr
        # As a run does that takes it up in this moment.
        statuses.accept("small", request_of_two, run_id="run-2", resume=True)
        process = start("cancel", "small", cwd=folder)
        assert process.stderr.readline() == "Batch small of ana@example.com\n"
        wait_until(lambda: statuses.cancel_requested("small"), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "No longer watching; the batch is told to stop all the same." in err
    assert batch(statuses)["status"] == "running"
    assert statuses.cancel_requested("small")
