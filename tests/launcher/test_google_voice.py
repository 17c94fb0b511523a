"""`roteiro run --voice google`, against a simulator of Cloud Text-to-Speech."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import miniaudio
import pytest

from tests.simulators.speech import Fault, SpeechSimulator

if TYPE_CHECKING:
    from collections.abc import Callable

JOB = "0001-a-historia-do-cafe"
AOEDE = "pt-BR-Chirp3-HD-Aoede"


@pytest.fixture
def request_text(small: dict[str, Any]) -> str:
    """The small request with a voice for one of its two languages."""
    agent = small["agent"] | {"voices": {"pt-BR": AOEDE}}
    return json.dumps(small | {"agent": agent})


def run(spawn: Callable[..., Any], simulator: SpeechSimulator, cwd: Path, request: str) -> Any:
    words = f"run - --writer offline --voice google --speech_endpoint {simulator.endpoint}"
    return spawn(*words.split(), cwd=cwd, stdin=request)


def test_google_speaks_a_batch(
    tmp_path: Path, spawn: Callable[..., Any], request_text: str
) -> None:
    """A call a narration, each stored as it was answered, and the manifest names who spoke."""
    with SpeechSimulator(speech=True) as simulator:
        done = run(spawn, simulator, tmp_path, request_text)
    assert done.returncode == 0, done.stderr
    assert "written by the offline stand-in, spoken by google." in done.stderr
    assert {(call.language, call.voice) for call in simulator.calls} == {
        ("pt-BR", AOEDE),
        ("en-US", ""),
    }
    assert [call.outcome for call in simulator.calls] == ["OK", "OK"]
    folder = tmp_path / "output" / "batches" / "small"
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert [(item["item"], item["voice"]) for item in manifest["items"]] == [
        ("v1.pt-BR", AOEDE),
        ("v1.en-US", "google:en-US"),
    ]
    for item in manifest["items"]:
        data = Path(item["uri"]).read_bytes()
        assert miniaudio.mp3_read_s16(data).duration == pytest.approx(item["seconds"], abs=0.1)
        assert any(data.endswith(call.audio) for call in simulator.calls)


def test_a_language_that_always_fails_is_told_and_the_others_are_made(
    tmp_path: Path, spawn: Callable[..., Any], request_text: str
) -> None:
    """Exit code 1, the code and its remedy in the table, and one MP3 of two."""
    with SpeechSimulator(faults=[Fault("permission_denied", language="en-US")]) as simulator:
        done = run(spawn, simulator, tmp_path, request_text)
    assert done.returncode == 1
    assert f"{JOB} v1.en-US  narrate  permission_denied  simulated permission_denied" in done.stderr
    assert "1 × permission_denied: enable the service's API" in done.stderr
    assert "Batch small partial: 1 of 2 narrations" in done.stdout
    assert [path.name for path in tmp_path.rglob("*.mp3")] == [f"{JOB}.v1.pt-BR.mp3"]


def test_missing_credentials_end_a_run_before_it_begins(
    folder: Path,
    call: Callable[..., Any],
    request_text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 2 with the remedy, and nothing is left behind."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "none.json"))
    result = call("run", "-", "--voice", "google", stdin=request_text.encode())
    assert result.exit_code == 2
    assert result.stderr.startswith("roteiro: Google Text-to-Speech needs credentials (File ")
    assert "gcloud auth application-default login" in result.stderr
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--speech_endpoint", "https://x", "--speech_endpoint must be host:port (got 'https://x')"),
        ("--speech_timeout", "0", "--speech_timeout must be greater than 0"),
        ("--sample_rate", "16001", "--sample_rate must be 0 or one of 8000, 11025, "),
    ],
)
def test_a_wrong_option_is_told(
    call: Callable[..., Any], request_text: str, option: str, value: str, told: str
) -> None:
    """An address, a deadline or a sample rate that cannot be is exit code 2."""
    result = call("run", "-", option, value, stdin=request_text.encode())
    assert result.exit_code == 2
    assert result.stderr.startswith(told)


def test_the_simulator_can_be_started_by_hand() -> None:
    """As a module it serves on this machine only, says where, and ends with Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.simulators.speech", "--port", "0", "--silence"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert re.fullmatch(r"Cloud Text-to-Speech, simulated, on 127\.0\.0\.1:\d+\n", line)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
