"""`roteiro run --writer gemini`, as people start it, against the simulator of Gemini."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from launcher import bootstrap
from launcher.settings import load_settings
from tests.simulators.gemini import GeminiSimulator, answer_text

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "AIza-a-key-that-nobody-may-see"
VARIABLES = (
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_CLOUD_PROJECT",
)


@pytest.fixture
def gemini() -> Iterator[GeminiSimulator]:
    """Gemini, on this machine."""
    with GeminiSimulator() as simulator:
        yield simulator


def run(
    start: Callable[..., subprocess.Popen[str]], gemini: GeminiSimulator, home: Path, *words: str
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a run of `request.json`."""
    words = ("run", "request.json", "--writer", "gemini", "--voice", "offline", *words)
    variables = {**dict.fromkeys(VARIABLES, ""), "GOOGLE_API_KEY": KEY}
    process = start(*words, "--gemini_endpoint", gemini.url, cwd=home, **variables)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, out, err


def test_scripts_are_what_gemini_wrote_and_the_key_is_nowhere(
    start: Callable[..., subprocess.Popen[str]],
    gemini: GeminiSimulator,
    tmp_path: Path,
    small: dict[str, Any],
) -> None:
    """One call a script and one an adaptation, an outage tried again, and nothing told of the key."""
    (tmp_path / "request.json").write_text(json.dumps(small), "utf-8")
    gemini.plan("reset")
    code, out, err = run(start, gemini, tmp_path, "--verbose")
    assert code == 0, err

    tried, written, adapted = gemini.calls
    assert [call.task for call in gemini.calls] == ["variation", "variation", "adaptation"]
    assert tried.body == written.body
    assert written.headers["x-goog-api-key"] == KEY
    title = small["titles"][0]
    told = {
        "pt-BR": answer_text(title, "pt-BR", written.user),
        "en-US": answer_text(title, "en-US", adapted.user),
    }
    assert told["pt-BR"] in adapted.user
    scripts = {path.name.split(".")[-2]: path for path in tmp_path.rglob("*.txt")}
    assert {name: path.read_text("utf-8").strip() for name, path in scripts.items()} == told
    assert len(list(tmp_path.rglob("*.mp3"))) == 2
    assert "written by gemini, spoken by the offline stand-in" in err
    manifest = json.loads(next(tmp_path.rglob("manifest.json")).read_text("utf-8"))
    assert {item["writer"] for item in manifest["items"]} == {"gemini-simulated-001"}

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    assert KEY not in out + err
    assert not [path.name for path in files if KEY.encode() in path.read_bytes()]


def test_a_title_that_is_refused_fails_alone_with_its_code(
    start: Callable[..., subprocess.Popen[str]],
    gemini: GeminiSimulator,
    tmp_path: Path,
    small: dict[str, Any],
) -> None:
    """Its languages are in the table with code and remedy; the other title is made."""
    request = {**small, "titles": ["O chá", "O pão"]}
    (tmp_path / "request.json").write_text(json.dumps(request), "utf-8")
    gemini.plan("finish:SAFETY*", title="O chá")
    code, _, err = run(start, gemini, tmp_path)
    assert code == 1, err
    rows = [line.split() for line in err.splitlines() if line.startswith("0001-o-cha ")]
    assert [row[1:4] for row in rows] == [
        ["v1.pt-BR", "generate", "refused_safety"],
        ["v1.en-US", "generate", "refused_safety"],
    ]
    assert "2 × refused_safety: the model will not write this" in err
    assert len(list(tmp_path.rglob("*.mp3"))) == 2
    assert sorted(call.title for call in gemini.calls) == ["O chá", "O pão", "O pão"]


def test_without_a_key_nothing_is_begun(
    call: Callable[..., Any], request_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, a line that says what to set, and no file."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    result = call("run", request_file.name, "--writer", "gemini")
    assert result.exit_code == 2
    assert result.stderr.startswith("roteiro: Gemini needs a key in GOOGLE_API_KEY or GEMINI")
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in request_file.parent.iterdir()] == [request_file.name]


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://gemini.example.com/proxy/", True),
        ("http://127.0.0.1:8089", True),
        ("http://localhost/x", True),
        ("http://[::1]:80", True),
        ("http://gemini.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://ana:secret@example.com", False),
        ("gemini.example.com", False),
    ],
)
def test_a_key_goes_encrypted_or_stays_on_the_machine(
    call: Callable[..., Any], request_file: Path, url: str, right: bool
) -> None:
    """Any other endpoint is a wrong setting."""
    if right:
        assert load_settings({"gemini_endpoint": url}).gemini_endpoint == url
        return
    result = call("run", request_file.name, "--gemini_endpoint", url)
    assert result.exit_code == 2
    assert result.stderr.startswith("--gemini_endpoint must be https://host, or http:// and this")


def test_gemini_takes_any_language() -> None:
    """Only the offline writer has a list."""
    assert bootstrap.offered_languages(load_settings({"writer": "gemini"})) is None
