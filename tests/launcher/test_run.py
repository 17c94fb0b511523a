"""`roteiro run`, as people start it: what it prints, what it makes, and what it leaves alone."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import miniaudio
import mutagen.id3
import pytest

from tests.builders import PROGRAM

if TYPE_CHECKING:
    import array
    import subprocess
    from collections.abc import Callable

JOB = "0001-a-historia-do-cafe"
NAMES = [f"{JOB}.v1.en-US", f"{JOB}.v1.pt-BR"]


def sound(path: Path) -> tuple[float, float]:
    """An MP3's length in seconds, and its loudness (RMS of samples up to 32767)."""
    decoded = miniaudio.decode(path.read_bytes(), nchannels=1)
    samples: array.array[int] = decoded.samples
    loudness = math.sqrt(sum(sample * sample for sample in samples) / len(samples))
    return len(samples) / decoded.sample_rate, loudness


def state(folder: Path) -> dict[str, tuple[int, str]]:
    """Each deliverable's time and hash; the manifest is written at the end of each run."""
    return {
        path.name: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*.*")
        if path.suffix in {".mp3", ".txt"}
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small batch."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def made(
    home: Path, spawn: Callable[..., Any], small: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    """The small batch, made with the default view from standard input."""
    done: subprocess.CompletedProcess[str] = spawn("run", "-", cwd=home, stdin=json.dumps(small))
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_shows_progress_in_lines_and_ends_with_a_table(
    home: Path, made: subprocess.CompletedProcess[str]
) -> None:
    """Without a terminal progress is lines on standard error; the table is on standard output."""
    headline, *lines = made.stderr.splitlines()
    assert headline == (
        "Batch small: 1 title × 1 variation × 2 languages = 2 narrations, "
        "written and spoken by the offline stand-in."
    )
    assert lines[-1] == "Narrations 2 of 2 (100 %), scripts 1, adaptations 2, 0 failed"
    head, *rows, ended, where = made.stdout.splitlines()
    assert head.split() == ["File", "Length", "Language", "Aspect"]
    assert sorted(row.split()[0] for row in rows) == [f"{name}.mp3" for name in NAMES]
    assert ended.startswith("Batch small completed: 2 of 2 narrations, ")
    assert where == f"Files and manifest.json are in {home.resolve()}/output/batches/small"
    assert "\x1b" not in made.stdout + made.stderr


@pytest.mark.usefixtures("made")
def test_every_mp3_is_speech_as_the_manifest_says(home: Path) -> None:
    """Each decodes, is not silent, has the length, size, hash and tags that were told of it."""
    manifest = json.loads((home / "output/batches/small/manifest.json").read_text("utf-8"))
    assert {key: manifest[key] for key in ("batch_id", "status", "completed_items")} == {
        "batch_id": "small",
        "status": "completed",
        "completed_items": 2,
    }
    assert [item["item"] for item in manifest["items"]] == ["v1.pt-BR", "v1.en-US"]
    for item in manifest["items"]:
        path = Path(item["uri"])
        assert path.name == f"{JOB}.{item['item']}.mp3"
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == item["sha256"]
        assert len(data) == item["bytes"]
        seconds, loudness = sound(path)
        assert seconds == pytest.approx(item["seconds"], abs=0.1)
        assert loudness > 500
        tags: Any = mutagen.id3.ID3(path)  # type: ignore[no-untyped-call]
        assert tags["TIT2"].text == ["A história do café"]
        assert tags["TALB"].text == ["small"]
        assert tags["TLAN"].text == [{"pt-BR": "por", "en-US": "eng"}[item["language"]]]
        assert Path(item["script_uri"]).read_text("utf-8").strip()


def test_a_batch_that_is_there_is_left_alone_and_one_that_is_not_whole_is_mended(
    tmp_path: Path,
    spawn: Callable[..., Any],
    call: Callable[..., Any],
    small: dict[str, Any],
) -> None:
    """The same request again makes only what is missing; another under its id makes nothing."""
    (tmp_path / "r.json").write_text(json.dumps(small), "utf-8")
    files = tmp_path / "output" / "batches" / "small"

    first = spawn("run", "r.json", "--json", cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    document = json.loads(first.stdout)
    assert (document["status"], document["completed_items"], document["failed_items"]) == (
        "completed",
        2,
        0,
    )
    assert [job["job_id"] for job in document["jobs"]] == [JOB]
    before = state(files)
    assert sorted(before) == sorted(f"{name}.{end}" for name in NAMES for end in ("mp3", "txt"))

    again = spawn("run", "r.json", "--batch_id", "small", cwd=tmp_path)
    assert again.returncode == 0
    assert "Batch small completed: 2 of 2 narrations" in again.stdout
    assert state(files) == before

    gone = files / JOB / f"{NAMES[0]}.mp3"
    gone.unlink()
    leftover = files / JOB / f".{NAMES[0]}.mp3.0123.part"
    leftover.write_bytes(b"of a run that was killed")
    quiet = spawn("run", "r.json", "--quiet", cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    mended = state(files)
    assert mended.pop(gone.name)[1] == before.pop(gone.name)[1]
    text = gone.with_suffix(".txt").name
    assert mended.pop(text)[1] == before.pop(text)[1]
    assert mended == before
    assert not leftover.exists()

    every = {path: path.stat().st_mtime_ns for path in files.rglob("*")}
    other = json.dumps(small | {"variations": 2}).encode()
    conflict = call("run", "-", "--output", str(tmp_path / "output"), stdin=other)
    assert conflict.exit_code == 2
    assert "batch_id: small is another request's already" in conflict.stderr
    assert {path: path.stat().st_mtime_ns for path in files.rglob("*")} == every


def test_a_narration_that_fails_is_told_with_a_remedy_and_made_the_next_time(
    tmp_path: Path, spawn: Callable[..., Any], small: dict[str, Any]
) -> None:
    """Some failed is exit code 1; what breaks off a run is a line; the command goes on."""
    (tmp_path / "r.json").write_text(json.dumps(small), "utf-8")
    files = tmp_path / "out" / "batches" / "small"
    in_the_way = files / JOB / f"{NAMES[0]}.mp3"
    (in_the_way / "folder").mkdir(parents=True)

    some = spawn("run", "r.json", "--output", "out", cwd=tmp_path)
    assert some.returncode == 1
    assert "Batch small partial: 1 of 2 narrations" in some.stdout
    assert f"{JOB} v1.en-US  narrate  storage_unavailable  cannot write" in some.stderr
    assert "1 × storage_unavailable: check that the output folder can be written" in some.stderr
    go_on = f"{PROGRAM} run r.json --batch_id small --output out"
    assert some.stderr.endswith(
        f"1 of 2 narrations are missing; what is finished is kept. Go on with: {go_on}\n"
    )

    (in_the_way / "folder").rmdir()
    in_the_way.rmdir()
    (files / "manifest.json").unlink()
    (files / "manifest.json" / "folder").mkdir(parents=True)
    broken = spawn(*go_on.split()[1:], "--json", cwd=tmp_path)
    assert broken.returncode == 1
    assert "The run broke off: cannot write" in broken.stderr
    document = json.loads(broken.stdout)
    assert (document["status"], document["completed_items"]) == ("partial", 2)
    assert [job["status"] for job in document["jobs"]] == ["completed"]

    (files / "manifest.json" / "folder").rmdir()
    (files / "manifest.json").rmdir()
    whole = spawn(*go_on.split()[1:], cwd=tmp_path)
    assert whole.returncode == 0
    assert "Batch small completed: 2 of 2 narrations" in whole.stdout
    assert (files / "manifest.json").is_file()
