"""`status`, `list` and `download` on a store that was filled as a run fills it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tracemalloc
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from domain import keys
from domain.request import BatchRequest, parse_request
from domain.status import STATUSES, timestamp
from launcher.claims import FileClaims
from launcher.download import NAME_BYTES, readable
from services.statuses.sqlite import SqliteStatusStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from domain.status import BatchDoc

DATABASE = Path("output/status.db")


@pytest.fixture
def statuses(folder: Path) -> Iterator[SqliteStatusStore]:
    """The real store, where the command line looks for it; each batch a minute later."""
    assert folder.is_dir()
    minutes = count()
    clock = lambda: datetime(2026, 3, 1, 9, tzinfo=UTC) + timedelta(minutes=next(minutes))  # noqa: E731
    with closing(SqliteStatusStore(DATABASE, clock)) as store:
        yield store


def ask(batch_id: str, *titles: str, owner: str = "ana@example.com") -> BatchRequest:
    document = {
        "batch_id": batch_id,
        "owner": owner,
        "titles": titles or ["Um título"],
        "agent": {"target_languages": ["pt-BR", "en-US"]},
    }
    return parse_request(json.dumps(document).encode())


def fill(
    statuses: SqliteStatusStore,
    request: BatchRequest,
    *,
    languages: tuple[str, ...] = ("pt-BR", "en-US"),
    size: int = 1000,
    failed: tuple[str, ...] = (),
) -> None:
    """Accept a batch, finish the narrations in these languages and let others fail."""
    batch_id = str(request.batch_id)
    statuses.accept(batch_id, request, run_id="run", resume=False)
    for position, title in enumerate(request.titles, 1):
        job = keys.job_id(position, title)
        items: dict[str, Any] = {}
        for language in languages:
            name = f"v1.{language}"
            audio, script = (
                Path("output", keys.deliverable(batch_id, job, name, ending)).absolute()
                for ending in ("mp3", "txt")
            )
            audio.parent.mkdir(parents=True, exist_ok=True)
            with audio.open("wb") as file:
                file.truncate(size)
            script.write_text(f"{title} in {language}", "utf-8")
            items[name] = {
                "status": "completed",
                "stage": "narrate",
                "aspect": "origens e história",
                "audio_uri": str(audio),
                "script_uri": str(script),
                "sha256": "0" * 64,
                "audio_bytes": size,
                "audio_seconds": 60.0,
                "characters": 900,
                "writer": "offline",
                "voice": "espeak",
                "error": None,
            }
        for language in failed:
            error = {"stage": "adapt", "code": "refused_safety", "message": "no", "attempts": 1}
            items[f"v1.{language}"] = {"status": "failed", "stage": "adapt", "error": error}
        statuses.merge_jobs(batch_id, {job: {"items": items}})


def end(statuses: SqliteStatusStore, batch_id: str, status: str) -> None:
    ended = {"status": status, "completed_at": "2026-03-01T10:00:00.000+00:00"}
    statuses.merge_batch(batch_id, ended)


def opened(path: Path | io.BytesIO) -> dict[str, bytes]:
    """A ZIP's files; each is whole."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_status_shows_a_batch_job_by_job(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """Its numbers, times, jobs, and what failed with the remedy."""
    fill(statuses, ask("older", "A", "B"), languages=("pt-BR",), failed=("en-US",))
    end(statuses, "older", "partial")
    result = call("status", "older")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "Batch older of ana@example.com: partial"
    assert lines[1] == "Narrations 2 of 4 (100 %), scripts 2, adaptations 2, 2 failed"
    assert lines[2].endswith(", ended 2026-03-01 10:00:00 UTC"), "no progress of what has ended"
    assert [line.split()[:4] for line in lines[4:6]] == [
        ["0001-a", "partial", "1/2", "1"],
        ["0002-b", "partial", "1/2", "1"],
    ]
    assert "0002-b v1.en-US  adapt  refused_safety  no" in result.stdout
    assert "2 × refused_safety: the model will not write this; reword" in result.stdout


def test_status_without_an_id_shows_the_newest(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """The last batch that was asked for is the one that people mean."""
    for batch_id in ("first", "second"):
        fill(statuses, ask(batch_id))
    assert call("status").stdout.startswith("Batch second of ana@example.com: running")


def test_status_as_json_is_the_batch_with_its_jobs(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """One document, with letters as they are, whether watched to the end or not."""
    fill(statuses, ask("cafe", "A história", "日本"))
    end(statuses, "cafe", "completed")
    result = call("status", "cafe", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    jobs = document.pop("jobs")
    assert document == statuses.batch("cafe")
    assert jobs == list(statuses.jobs("cafe"))
    assert "história" in result.stdout
    assert call("status", "cafe", "--watch", "--json").stdout == result.stdout


def test_status_shows_twenty_jobs_unless_asked_for_all(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """Thousands of jobs do not flood the screen."""
    fill(statuses, ask("long", *map(str, range(30))), languages=())
    some = call("status", "long").stdout
    assert some.count(" 0/2 ") == 20
    assert "… the first 20 of 30; --jobs shows all." in some
    assert call("status", "long", "--jobs").stdout.count(" 0/2 ") == 30


def test_watching_ends_with_the_batch(
    folder: Path, statuses: SqliteStatusStore, start: Callable[..., Any]
) -> None:
    """`status --watch` prints progress as lines, stays while it runs, and then shows the end."""
    fill(statuses, ask("cafe"), languages=("pt-BR",))
    with FileClaims(folder / "output" / "status.db").claim("cafe"):
        process = start("status", "--watch", cwd=folder)
        assert process.stderr.readline() == "Batch cafe of ana@example.com\n"
        assert process.stderr.readline().startswith("Narrations 1 of 2 (50 %)")
        assert process.poll() is None
        end(statuses, "cafe", "cancelled")
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith("Batch cafe of ana@example.com: cancelled\n")


def test_a_batch_whose_process_is_gone_is_told(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """It says `running`, but that nobody is there and how to go on; watching it ends at once."""
    fill(statuses, ask("cafe"), languages=("pt-BR",))
    for words in (["status"], ["status", "--watch"]):
        result = call(*words)
        assert result.exit_code == 0
        assert "Batch cafe of ana@example.com: running" in result.stdout
        assert "No process is making it any more." in result.stdout
        assert "`roteiro retry cafe` goes on with it." in result.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["d-batch", "c-batch", "b-batch", "a-batch"]),
        (["--owner", "rui@example.com"], ["b-batch"]),
        (["--owner", "rui"], []),
        (["--state", "partial"], ["c-batch"]),
        (["--status", "partial"], ["c-batch"]),
        (["--text", "CAFE"], ["d-batch", "a-batch"]),
        (["--text", "b-bat"], ["b-batch"]),
        (["--text", "cafe", "--state", "running"], ["d-batch"]),
        (["--limit", "2"], ["d-batch", "c-batch"]),
        (["--limit", "2", "--before", "c-batch"], ["b-batch", "a-batch"]),
        (["--before", "a-batch"], []),
    ],
)
def test_list_filters_and_pages(
    call: Callable[..., Any], statuses: SqliteStatusStore, words: list[str], found: list[str]
) -> None:
    """By owner, status and text, newest first, a page at a time; tables and JSON agree."""
    fill(statuses, ask("a-batch", "A história do café"))
    fill(statuses, ask("b-batch", owner="rui@example.com"))
    fill(statuses, ask("c-batch"))
    fill(statuses, ask("d-batch", "Chá", "Café"))
    end(statuses, "a-batch", "completed")
    end(statuses, "c-batch", "partial")
    result = call("list", *words)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == found
    assert result.stderr == ("" if found else f"no such batch in {DATABASE}\n")
    listed: list[BatchDoc] = json.loads(call("list", *words, "--json").stdout)
    assert [batch["batch_id"] for batch in listed] == found
    assert all(batch == statuses.batch(batch["batch_id"]) for batch in listed)


def test_list_of_what_is_stalled(call: Callable[..., Any], statuses: SqliteStatusStore) -> None:
    """Unfinished batches without progress for so many minutes, those that are left at once."""
    now = datetime.now(UTC)
    for batch_id in ("a-queued", "b-recent", "c-left", "d-ended"):
        fill(statuses, ask(batch_id), languages=())
    for batch_id, state, minutes in (
        ("a-queued", "queued", 20),
        ("b-recent", "queued", 10),
        ("c-left", "running", 0),
        ("d-ended", "completed", 20),
    ):
        progressed = timestamp(now - timedelta(minutes=minutes))
        statuses.merge_batch(batch_id, {"status": state, "progressed_at": progressed})

    def found(*words: str) -> list[str]:
        lines = call("list", "--stalled", *words).stdout.splitlines()[1:]
        listed = [
            batch["batch_id"]
            for batch in json.loads(call("list", "--stalled", *words, "--json").stdout)
        ]
        assert [line.split()[0] for line in lines] == listed
        return listed

    assert found() == ["c-left", "a-queued"]
    assert found("5") == ["c-left", "b-recent", "a-queued"]
    assert found("5", "--limit", "1") == ["c-left"]
    assert found("30") == ["c-left"]
    assert found("--state", "queued") == ["a-queued"]
    assert found("--before", "b-recent") == ["a-queued"]
    assert found("--owner", "rui@example.com") == []
    assert "20 min ago" in call("list", "--stalled").stdout
    assert "; last progress 10 min ago" in call("status", "b-recent").stdout
    wrong = call("list", "5")
    assert (wrong.exit_code, wrong.stderr) == (2, "5: minutes are for --stalled\n")


@pytest.mark.parametrize("state", STATUSES)
def test_every_status_can_be_listed(call: Callable[..., Any], state: str) -> None:
    """Each status that a batch can have is a value of --state."""
    assert call("list", "--state", state, "--json").stdout == "[]\n"


@pytest.mark.parametrize("command", [["--help"], ["status"], ["list"], ["run", "--help"]])
def test_looking_does_not_import_beam(
    folder: Path, statuses: SqliteStatusStore, command: list[str]
) -> None:
    """Help, status and list answer without what takes seconds to import."""
    fill(statuses, ask("cafe"))
    code = (
        "import sys\nfrom launcher.cli import app\n"
        f"try:\n    app({command!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'apache_beam', 'grpc', 'google.auth', 'google.cloud.texttospeech', 'structlog', 'langcodes', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, check=False, text=True)
    assert done.returncode == 0


def test_a_download_has_readable_names_and_the_manifest(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """Titles in order, variation, aspect and language, the words beside the audio."""
    fill(statuses, ask("cafe", "A história do café", "Chá: uma viagem?", "A história do café"))
    end(statuses, "cafe", "completed")
    result = call("download", "cafe")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "cafe.zip, 0.0 MB: 6 of 6 narrations\n"
    files = opened(Path("cafe.zip"))
    manifest = json.loads(files.pop("cafe/manifest.json"))
    assert len(manifest["items"]) == 6
    assert sorted(files) == sorted(
        f"cafe/{title}/1 origens e história [{language}].{ending}"
        for title in ("1 A história do café", "2 Chá uma viagem", "3 A história do café")
        for language in ("pt-BR", "en-US")
        for ending in ("mp3", "txt")
    )
    text = files["cafe/2 Chá uma viagem/1 origens e história [en-US].txt"]
    assert text.decode() == "Chá: uma viagem? in en-US"
    with zipfile.ZipFile("cafe.zip") as archive:
        assert all(info.date_time[0] > 1980 for info in archive.infolist())
        assert all(info.external_attr >> 16 == 0o644 for info in archive.infolist())


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc/passwd", "etc passwd"),
        ("/etc/passwd", "etc passwd"),
        ("C:\\Windows\\x", "C Windows x"),
        ("...", "untitled"),
        ("a\u202eb\x07c", "a b c"),
        ('What? <b>*|"', "What b"),
        ("日本の物語", "日本の物語"),
        ("Cafe\u0301", "Café"),
        ("x" * 500, "x" * NAME_BYTES),
        ("語" * 500, "語" * (NAME_BYTES // 3)),
        (" . dots and spaces . ", "dots and spaces"),
    ],
)
def test_names_in_a_download_are_safe(title: str, name: str) -> None:
    """Nothing leaves the folder, nothing is too long, and no system is offended."""
    assert readable(title) == name


def test_titles_cannot_lead_out_of_the_zip(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """A title that is a path becomes a name inside the batch's folder."""
    fill(statuses, ask("evil", "../../../etc/passwd", "..x", "CON"))
    assert call("download", "evil").exit_code == 0
    for name in opened(Path("evil.zip")):
        assert name.startswith("evil/")
        assert ".." not in Path(name).parts
        assert "\\" not in name


def test_a_partial_batch_can_be_downloaded(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """What is finished is in the ZIP; the manifest tells of the rest; that is no error."""
    fill(statuses, ask("half", "A", "B"), languages=("pt-BR",), failed=("en-US",))
    result = call("download", "half", "--to", "some.zip")
    assert result.exit_code == 0
    assert result.stderr.startswith("some.zip, ")
    assert result.stderr.endswith(": 2 of 4 narrations; 2 are not made\n")
    files = opened(Path("some.zip"))
    assert sum(name.endswith(".mp3") for name in files) == 2
    manifest = json.loads(files["half/manifest.json"])
    assert [item["status"] for item in manifest["items"]] == ["completed", "failed"] * 2


def test_files_that_are_gone_are_told_and_left_out(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """The rest is in the ZIP, and the exit code is 1 because not all of it is."""
    fill(statuses, ask("cafe", "A", "B"))
    gone = next(Path("output/batches/cafe").rglob("0002-*.en-US.mp3"))
    gone.unlink()
    result = call("download", "cafe")
    assert result.exit_code == 1
    assert f"left out: {gone.absolute()} is not there" in result.stderr
    assert result.stderr.endswith("3 of 4 narrations; files that are gone: 1\n")
    assert sum(name.endswith(".mp3") for name in opened(Path("cafe.zip"))) == 3


def test_a_download_does_not_overwrite_unless_told_to(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """Without --force an existing file is left as it is; nothing half written stays."""
    fill(statuses, ask("cafe"))
    Path("cafe.zip").write_text("mine")
    result = call("download", "cafe")
    assert result.exit_code == 2
    assert "cafe.zip is there already; --force replaces it, --to names another" in result.stderr
    assert Path("cafe.zip").read_text() == "mine"
    assert call("download", "cafe", "--force").exit_code == 0
    assert opened(Path("cafe.zip"))
    assert not list(Path().glob(".*"))


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("none/x.zip", "cannot be written: No such file"),
        ("output", "output is a folder"),
        ("/", ""),
    ],
)
def test_a_zip_that_cannot_be_written_is_told(
    call: Callable[..., Any], statuses: SqliteStatusStore, to: str, told: str
) -> None:
    """The place is named, and no traceback is shown."""
    fill(statuses, ask("cafe"))
    result = call("download", "cafe", "--to", to, "--force")
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_download_goes_through_a_pipe(folder: Path, statuses: SqliteStatusStore) -> None:
    """`--to -` writes the ZIP to standard output and nothing else there."""
    fill(statuses, ask("cafe", "A"))
    roteiro = Path(sys.executable).with_name("roteiro")
    command = [str(roteiro), "download", "cafe", "--to", "-"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    files = opened(io.BytesIO(done.stdout))
    assert sum(name.endswith(".mp3") for name in files) == 2
    assert done.stderr == b"ZIP: 2 of 2 narrations\n"


def test_a_download_is_never_held_in_memory(
    call: Callable[..., Any], statuses: SqliteStatusStore
) -> None:
    """Three hundred megabytes are copied with a few of memory."""
    fill(statuses, ask("large"), languages=("pt-BR",), size=300_000_000)
    import apache_beam.io.filesystems  # noqa: F401 - its modules are not what is measured

    tracemalloc.start()
    try:
        assert call("download", "large", "--to", "large.zip").exit_code == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert Path("large.zip").stat().st_size > 300_000_000
    assert peak < 20_000_000
    Path("large.zip").unlink()


def test_output_that_cannot_show_a_letter_is_no_error(
    folder: Path, statuses: SqliteStatusStore, start: Callable[..., Any]
) -> None:
    """Where the output is ASCII, tables have question marks and JSON has escapes."""
    fill(statuses, ask("cafe", "日本"))
    for words, expected in (((), "??"), (("--json",), r"\u65e5\u672c")):
        process = start("status", *words, cwd=folder, PYTHONIOENCODING="ascii")
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert expected in out
