"""The cache, as people use it: what is paid once, what is asked anew, and how it is pruned."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulators.gemini import GeminiSimulator
from tests.simulators.speech import SpeechSimulator

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

DAY = 86_400
NAME = "0a" + 62 * "b"


class Paid:
    """Both vendors, simulated, and a folder where batches are made with them."""

    def __init__(
        self,
        folder: Path,
        start: Callable[..., subprocess.Popen[str]],
        gemini: GeminiSimulator,
        speech: SpeechSimulator,
    ) -> None:
        self.folder = folder
        self.gemini = gemini
        self.speech = speech
        self._start = start

    @property
    def calls(self) -> tuple[int, int]:
        """How many calls have arrived, by the simulators' own count: of Gemini, of the voice."""
        return len(self.gemini.calls), len(self.speech.calls)

    def run(self, request: dict[str, Any], *words: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of `roteiro run`."""
        services = (
            *("--writer", "gemini", "--gemini_endpoint", self.gemini.url),
            *("--voice", "google", "--speech_endpoint", self.speech.endpoint),
        )
        process = self._start("run", "-", *services, *words, cwd=self.folder, GOOGLE_API_KEY="any")
        try:
            out, err = process.communicate(json.dumps(request), timeout=120)
        finally:
            process.kill()
        assert "Traceback" not in err
        return process.returncode, out, err


@pytest.fixture
def paid(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> Iterator[Paid]:
    with GeminiSimulator() as gemini, SpeechSimulator() as speech:
        yield Paid(tmp_path, start, gemini, speech)


def sounds(folder: Path, batch_id: str) -> dict[str, bytes]:
    """Each deliverable's bytes by its name, an MP3's without its tag, which names the batch."""
    found = {}
    for path in (folder / "output" / "batches" / batch_id).glob("*/*.*"):
        data = path.read_bytes()
        found[path.name] = data[data.index(b"\xff\xf3") :] if path.suffix == ".mp3" else data
    return found


def test_nothing_is_paid_twice(paid: Paid, small: dict[str, Any]) -> None:
    """The same batch again makes no call, nor does it under another id; both are complete."""
    code, out, err = paid.run(small)
    assert code == 0, err
    assert paid.calls == (2, 2)
    assert "from the cache" not in out + err

    code, _, err = paid.run(small)
    assert (code, paid.calls) == (0, (2, 2)), err

    code, out, err = paid.run(small | {"batch_id": "again"})
    assert (code, paid.calls) == (0, (2, 2)), err
    assert "Batch again completed: 2 of 2 narrations" in out
    assert err.splitlines()[-1] == "4 of 4 answers came from the cache."
    assert len(sounds(paid.folder, "small")) == 4
    assert sounds(paid.folder, "again") == sounds(paid.folder, "small")

    (paid.folder / "output" / "status.db").unlink()
    code, out, err = paid.run(small | {"batch_id": "later"}, "--json")
    assert (code, paid.calls) == (0, (2, 2)), err
    assert json.loads(out)["cache"] == {"hits": 4, "misses": 0}


def test_what_is_missing_is_all_that_is_paid(paid: Paid, small: dict[str, Any]) -> None:
    """A further language costs its adaptation and its speech."""
    paid.run(small)
    agent = small["agent"] | {"target_languages": ["pt-BR", "en-US", "es-ES"]}
    code, _, err = paid.run(small | {"batch_id": "wider", "agent": agent})
    assert (code, paid.calls) == (0, (3, 3)), err
    assert err.splitlines()[-1] == "4 of 6 answers came from the cache."
    assert paid.gemini.calls[-1].language == "es-ES"


def test_no_cache_neither_keeps_nor_uses(paid: Paid, small: dict[str, Any]) -> None:
    """Every answer is paid for, and there is no entry."""
    for number, batch_id in enumerate(("one", "two"), 1):
        code, _, err = paid.run(small | {"batch_id": batch_id}, "--no_cache")
        assert (code, paid.calls) == (0, (2 * number, 2 * number)), err
    assert not (paid.folder / "output" / "cache").exists()


def test_how_to_go_on_names_what_was_chosen(paid: Paid, small: dict[str, Any]) -> None:
    """A flag without a value is told as it is typed."""
    paid.gemini.plan("finish:SAFETY*")
    code, _, err = paid.run(small, "--no_cache")
    assert code == 1
    assert err.splitlines()[-1].endswith(" --no_cache")
    code, _, err = paid.run(small | {"batch_id": "other"})
    assert " --no_cache" not in err


def test_refresh_asks_anew_and_keeps_the_answers(paid: Paid, small: dict[str, Any]) -> None:
    """The entries are replaced, and the next batch uses them."""
    paid.run(small | {"batch_id": "one"})
    entries = {
        path: path.stat().st_mtime_ns
        for path in (paid.folder / "output" / "cache").rglob("*")
        if path.is_file()
    }
    code, _, err = paid.run(small | {"batch_id": "two"}, "--refresh")
    assert (code, paid.calls) == (0, (4, 4)), err
    assert len(entries) == 4
    assert all(path.stat().st_mtime_ns > written for path, written in entries.items())
    paid.run(small | {"batch_id": "three"})
    assert paid.calls == (4, 4)


def test_stand_ins_are_not_cached(
    tmp_path: Path, spawn: Callable[..., Any], small: dict[str, Any]
) -> None:
    """They cost nothing, and their speech would take the room twice."""
    assert spawn("run", "-", cwd=tmp_path, stdin=json.dumps(small)).returncode == 0
    assert not (tmp_path / "output" / "cache").exists()


# ── Pruning ───────────────────────────────────────────────────────────────────


def old(path: Path, days: float, *, read: float | None = None) -> Path:
    """A file of ten bytes, written so many days ago, and read so many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(10))
    now = time.time()
    os.utime(path, (now - DAY * (days if read is None else read), now - DAY * days))
    return path


def test_pruning_removes_what_was_not_used(folder: Path, call: Callable[..., Any]) -> None:
    """Entries neither written nor read for so long, and what a killed process left of one."""
    cache = folder / "output" / "cache"
    gone = [
        old(cache / "scripts" / "0a" / NAME, 8),
        old(cache / "audio" / "0a" / NAME, 30),
        old(cache / "audio" / "0a" / f".{NAME}.ab12-1-0.part", 8),
    ]
    kept = [
        old(cache / "scripts" / "0b" / NAME, 6),
        old(cache / "scripts" / "0c" / NAME, 30, read=1),
        old(cache / "audio" / "0b" / "notes.txt", 30),
        old(cache / "notes" / "0b" / NAME, 30),
        old(folder / "output" / "batches" / "cafe" / NAME, 30),
    ]
    result = call("cache", "prune", "--older-than", "7d")
    assert (result.exit_code, result.stdout) == (0, "Removed 3 entries, 0.0 MB.\n")
    assert not [path for path in gone if path.exists()]
    assert [path for path in kept if path.exists()] == kept
    assert not (cache / "audio" / "0a").exists()
    assert call("cache", "prune", "--older_than", "1h").stdout == "Removed 2 entries, 0.0 MB.\n"


def test_where_nothing_is_kept_nothing_is_pruned(call: Callable[..., Any]) -> None:
    """An output folder that is not there is no error."""
    result = call("cache", "prune", "--older-than", "0s", "--output", "nowhere")
    assert (result.exit_code, result.stdout) == (0, "Removed 0 entries, 0.0 MB.\n")
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("age", ["7", "d", "-1d", "1.5h", "7 days", ""])
def test_an_age_that_is_none_is_told(call: Callable[..., Any], age: str) -> None:
    """Exit code 2, and how it is written."""
    result = call("cache", "prune", f"--older-than={age}")
    assert result.exit_code == 2
    assert result.stderr.startswith("--older-than must be a number and s, m, h, d or w")


def test_a_bucket_prunes_itself(call: Callable[..., Any]) -> None:
    """Its lifecycle rule does; the command that sets it is told."""
    result = call("cache", "prune", "--older-than", "7d", "--output", "gs://cafe/out")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "gs://cafe/out is pruned by its bucket: gcloud storage buckets update gs://cafe "
        "--lifecycle-file=deploy/lifecycle.json"
    )
    rule = json.loads((Path(__file__).parents[2] / "deploy" / "lifecycle.json").read_bytes())
    assert rule["lifecycle"]["rule"][0]["condition"]["matchesPrefix"] == ["cache/"]
