"""What tests of the command line share: a clean folder and environment, and ways to call it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from launcher.cli import app
from tests.builders import ROTEIRO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


SMALL: dict[str, Any] = {
    "batch_id": "small",
    "owner": "ana@example.com",
    "titles": ["A história do café"],
    "variations": 1,
    "agent": {"target_languages": ["pt-BR", "en-US"], "target_minutes": 0.25},
}


@pytest.fixture(autouse=True, scope="session")
def no_settings() -> None:
    """No settings of whoever runs the tests."""
    for name in list(os.environ):
        if name.upper().startswith("ROTEIRO_"):
            del os.environ[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    empty = tmp_path / "here"
    empty.mkdir()
    monkeypatch.chdir(empty)
    return empty


@pytest.fixture
def call(folder: Path) -> Callable[..., Any]:
    """`roteiro` in this process, in the empty folder: words and stdin → Typer's result."""
    assert folder.is_dir()

    def called(*words: str, stdin: bytes | None = None) -> Any:
        result = CliRunner().invoke(app, words, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        assert "Traceback" not in result.output
        return result

    return called


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """`roteiro` as a process: words, its folder and variables → the process, with pipes."""

    def started(*words: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [ROTEIRO, *words],
            cwd=cwd,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    return started


@pytest.fixture(scope="session")
def spawn(
    start: Callable[..., subprocess.Popen[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same until its end: → the completed process."""

    def spawned(*words: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        process = start(*words, cwd=cwd)
        try:
            out, err = process.communicate(stdin, timeout=120)
        finally:
            process.kill()
        assert "Traceback" not in err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    return spawned


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """A small request that is right: one title, two languages."""
    return SMALL


@pytest.fixture
def request_file(folder: Path, small: dict[str, Any]) -> Path:
    """The small request as a file in the empty folder."""
    path = folder / "small.json"
    path.write_text(json.dumps(small), "utf-8")
    return path
