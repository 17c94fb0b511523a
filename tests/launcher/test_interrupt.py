"""Interrupts: finished files are whole, the status is true, and the way on is told."""

from __future__ import annotations

import shlex
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import miniaudio
import pytest
import yaml

from services.ports import BatchQuery
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import PROGRAM

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from domain.status import BatchDoc

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciencia.yaml"
SLOWLY = {"ROTEIRO_MAX_IN_FLIGHT": "1"}
"""One narration after the other, so that there is something left to interrupt."""
PATIENCE = 60.0
"""Seconds to wait for something before the test gives up."""


@pytest.fixture
def shorter(tmp_path: Path) -> Path:
    """The example of ten titles with short scripts: sixty narrations."""
    document = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    document["num_variacoes"] = 2
    document["agente_config"]["target_minutes"] = 0.25
    path = tmp_path / "ciencia curta.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    return path


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Poll until something is the case; the process must not end before."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def batch(folder: Path) -> BatchDoc:
    """The document of the only batch there is, or of none."""
    none: BatchDoc = {"status": "queued", "completed_items": 0}
    database = folder / "output" / "status.db"
    if not database.exists():
        return none
    with closing(SqliteStatusStore(database)) as statuses:
        return next(statuses.batches(BatchQuery(limit=1)), none)


def audio(folder: Path) -> dict[str, int]:
    """Every MP3 and when it was written; each must decode."""
    files = {path.name: path for path in (folder / "output" / "batches").rglob("*.mp3")}
    for path in files.values():
        assert miniaudio.decode(path.read_bytes()).num_frames > 0
    return {name: path.stat().st_mtime_ns for name, path in files.items()}


def ended(process: subprocess.Popen[str]) -> str:
    """Standard error of an interrupted run, which has told no traceback."""
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    return err


def go_on(err: str) -> list[str]:
    """The words of the command that the last line tells."""
    return shlex.split(err.splitlines()[-1].partition(" with: ")[2])[1:]


def test_an_interrupted_batch_is_completed_by_the_command_that_it_tells(
    tmp_path: Path, shorter: Path, start: Callable[..., Any], spawn: Callable[..., Any]
) -> None:
    """Ctrl-C keeps what is finished, and the told command makes the rest and nothing else."""
    process = start("run", shorter.name, cwd=tmp_path, **SLOWLY)
    wait_until((tmp_path / "output" / "status.db").exists, process)
    second = spawn("run", shorter.name, cwd=tmp_path)
    assert second.returncode == 2
    assert "batch_id: ciencia is being made by another process" in second.stderr

    wait_until(lambda: batch(tmp_path)["completed_items"] > 0, process)
    process.send_signal(signal.SIGINT)
    err = ended(process)
    assert "Stopping: calls under way are finished" in err
    stopped, files = batch(tmp_path), audio(tmp_path)
    assert stopped["status"] == "cancelled"
    assert 0 < stopped["completed_items"] == len(files) < 60
    missing = 60 - len(files)
    assert f"Interrupted. {missing} of 60 narrations are missing; what is finished is kept" in err
    assert not list(tmp_path.rglob("*.part"))

    words = go_on(err)
    assert words == ["run", shorter.name, "--batch_id", "ciencia"]
    completed = spawn(*words, cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert batch(tmp_path)["status"] == "completed"
    after = audio(tmp_path)
    assert len(after) == 60
    assert {name: after[name] for name in files} == files


def test_sigterm_stops_too_and_a_second_signal_stops_at_once(
    tmp_path: Path, shorter: Path, start: Callable[..., Any]
) -> None:
    """Both signals count; after the second nothing is waited for, and files are whole still."""
    process = start("run", shorter.name, cwd=tmp_path, **SLOWLY)
    wait_until(lambda: batch(tmp_path)["completed_items"] > 0, process)
    process.terminate()
    assert "Interrupted. " in ended(process)
    assert batch(tmp_path)["status"] == "cancelled"

    process = start("run", shorter.name, cwd=tmp_path, **SLOWLY)
    wait_until(lambda: batch(tmp_path)["status"] == "running", process)
    process.terminate()
    wait_until(lambda: bool(batch(tmp_path).get("cancel_requested_at")), process)
    process.send_signal(signal.SIGINT)
    err = ended(process)
    assert go_on(err) == ["run", shorter.name, "--batch_id", "ciencia"]
    stopped = batch(tmp_path)
    assert stopped["status"] == "cancelled"
    assert stopped["completed_items"] <= len(audio(tmp_path)) < 60


def test_an_interrupt_before_the_first_call_makes_nothing(
    tmp_path: Path, shorter: Path, start: Callable[..., Any]
) -> None:
    """While the pipeline is still being made ready, a run can be stopped without a trace."""
    process = start("run", shorter.name, cwd=tmp_path)
    assert process.stderr.readline().startswith("Batch ciencia: 10 titles")
    wait_until((tmp_path / "output" / "status.db").exists, process)
    process.send_signal(signal.SIGINT)
    err = ended(process)
    assert err.endswith(
        "Interrupted. Nothing was made. Begin with: "
        f"{PROGRAM} run '{shorter.name}' --batch_id ciencia\n"
    )
    assert "batch_id" not in batch(tmp_path)
