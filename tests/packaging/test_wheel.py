"""The package as others get it: a wheel, and versions that are known to work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
ROOMS = ("domain", "services", "transforms", "pipeline", "launcher")
DATA = (".toml", ".json", ".yaml", ".txt", ".typed")
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; it must succeed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=clean, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def packages() -> set[str]:
    """Every folder of Python files in the rooms, as a package's name."""
    folders = {path.parent for room in ROOMS for path in (CHECKOUT / room).rglob("*.py")}
    return {".".join(folder.relative_to(CHECKOUT).parts) for folder in folders}


def data_files() -> set[str]:
    """Every file in the rooms that is read at run time besides Python's."""
    return {
        str(path.relative_to(CHECKOUT))
        for room in ROOMS
        for path in (CHECKOUT / room).rglob("*")
        if path.suffix in DATA
    }


def pins(lock: str) -> dict[str, set[str]]:
    """A lock's packages and their versions, of which there may be one a platform."""
    found: dict[str, set[str]] = {}
    for line in (CHECKOUT / lock).read_text("utf-8").splitlines():
        if pinned := re.match(r"([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", line):
            found.setdefault(pinned[1], set()).add(pinned[2])
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout is left alone."""
    copy = tmp_path_factory.mktemp("source") / "roteiro"
    keep = shutil.ignore_patterns("__pycache__", "*.egg-info")
    copy.mkdir()
    for room in ROOMS:
        shutil.copytree(CHECKOUT / room, copy / room, ignore=keep)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copy)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--installer", "uv", "-o", out, cwd=copy)
    (built,) = out.glob("*.whl")
    return built


def test_setup_lists_every_package() -> None:
    """A new folder of Python files is a package that has to be listed."""
    text = (CHECKOUT / "setup.py").read_text("utf-8")
    listed = re.search(r"^PACKAGES = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    assert listed
    assert set(re.findall(r'"([^"]+)"', listed[1])) == packages()


def test_the_wheel_holds_the_rooms_and_their_data(wheel: Path) -> None:
    """Every module and data file of the five rooms is in it, and no test."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {
        str(path.relative_to(CHECKOUT))
        for room in ROOMS
        for path in (CHECKOUT / room).rglob("*.py")
    }
    assert names == sources | data_files()
    assert any(name.startswith("services/writers/templates/") for name in names)
    assert any(name.startswith("domain/prompts/") and name.endswith(".toml") for name in names)


def test_the_wheel_makes_a_batch_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed with the locked versions, it runs the example from an empty folder."""
    environment, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    run(UV, "venv", "-q", "--python", sys.executable, environment, cwd=empty)
    python = environment / "bin" / "python"
    lock = CHECKOUT / "requirements.lock"
    run(UV, "pip", "install", "-q", "--python", python, "-r", lock, wheel, cwd=empty)
    shutil.copy(CHECKOUT / "examples" / "kaffee.json", empty)

    where = run(python, "-c", "import launcher, domain; print(launcher.__file__)", cwd=empty)
    assert "site-packages" in where
    assert Path(where.strip()).is_relative_to(environment)
    assert "roteiro" in run(environment / "bin" / "roteiro", "--version", cwd=empty)

    made = run(environment / "bin" / "roteiro", "run", "kaffee.json", "--json", cwd=empty)
    document: dict[str, Any] = json.loads(made)
    assert (document["status"], document["completed_items"]) == ("completed", 4)
    assert len(list(empty.rglob("*.mp3"))) == 4


def test_the_two_locks_agree() -> None:
    """What tests run with is what is installed, and tools besides."""
    installed, developed = pins("requirements.lock"), pins("requirements-dev.lock")
    assert installed
    assert {name: developed.get(name) for name in installed} == installed


def test_the_extra_with_the_old_sdk_has_a_lock_of_its_own() -> None:
    """google-generativeai is there and nowhere else, beside all that is installed without it."""
    name = "google-generativeai"
    extra = pins("requirements-generativeai.lock")
    assert name in extra
    assert name not in pins("requirements-dev.lock")
    assert not {"apache-beam", "google-genai", "pytest"} - extra.keys()


def test_the_version_is_told_once_for_all() -> None:
    """The package and the command line are of the same version."""
    text = (CHECKOUT / "setup.py").read_text("utf-8")
    told = re.search(r'version="([^"]+)"', text)
    launched = (CHECKOUT / "launcher" / "__init__.py").read_text("utf-8")
    assert told
    assert f'__version__ = "{told[1]}"' in launched
