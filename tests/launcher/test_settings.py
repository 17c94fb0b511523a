"""Settings: flags over variables over the file over defaults, and errors that name their source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from launcher.dataflow import DataflowSettings, load_dataflow
from launcher.exits import BadInput
from launcher.settings import ENV_PREFIX, Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"

pytestmark = pytest.mark.usefixtures("folder")


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each source is used where the ones before it say nothing."""
    assert load_settings({}).max_in_flight == 100
    Path("roteiro.toml").write_text("max_in_flight = 1\noutput = 'from the file'\n")
    assert load_settings({}).max_in_flight == 1
    monkeypatch.setenv("ROTEIRO_MAX_IN_FLIGHT", "2")
    assert load_settings({"max_in_flight": None}).max_in_flight == 2
    settings = load_settings({"max_in_flight": 3})
    assert (settings.max_in_flight, settings.output) == (3, "from the file")


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """ROTEIRO_OUTPUT= leaves the default."""
    monkeypatch.setenv("ROTEIRO_OUTPUT", "")
    assert load_settings({}).output == "output"


@pytest.mark.parametrize(
    ("flags", "variable", "file", "told"),
    [
        ({"max_in_flight": 1001}, "5", "", "--max_in_flight must be less than or equal to 1000"),
        ({}, "many", "", "ROTEIRO_MAX_IN_FLIGHT must be a valid integer"),
        ({}, "0", "max_in_flight = 7", "ROTEIRO_MAX_IN_FLIGHT must be greater than or equal to 1"),
        ({}, "", "max_in_flight = 0", "max_in_flight in roteiro.toml must be greater"),
        (
            {},
            "",
            "writer = 'quill'",
            "writer in roteiro.toml must be 'offline', 'gemini' or 'generativeai' (got 'quill')",
        ),
        ({}, "", "output = 5", "output in roteiro.toml must be a valid string (got 5)"),
        ({}, "", 'output = "a\\u0000b"', "output in roteiro.toml must not hold control"),
        ({}, "", "status = 'redis://x'", "status in roteiro.toml must be a SQLite file"),
        ({}, "", "outputs = 'x'", "outputs in roteiro.toml is not a setting; allowed: output, st"),
        ({}, "", "[run]\noutput = 'x'", "run in roteiro.toml is not a setting"),
        ({}, "", "output = ", "roteiro.toml is not valid TOML"),
        ({}, "", "\udcff", "roteiro.toml cannot be read"),
    ],
)
def test_an_error_names_where_the_value_came_from(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], variable: str, file: str, told: str
) -> None:
    """The message begins with the flag, the variable or the file's field."""
    monkeypatch.setenv("ROTEIRO_MAX_IN_FLIGHT", variable)
    Path("roteiro.toml").write_bytes(file.encode(errors="surrogateescape"))
    with pytest.raises(BadInput, match=f"^{re.escape(told)}"):
        load_settings(flags)


def test_every_wrong_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of several sources come together."""
    Path("roteiro.toml").write_text("voice = 'mine'\n")
    monkeypatch.setenv("ROTEIRO_MAX_IN_FLIGHT", "0")
    with pytest.raises(BadInput) as caught:
        load_settings({"writer": "quill"})
    told = str(caught.value).splitlines()
    assert {line.split(" must")[0] for line in told} == {
        "--writer",
        "voice in roteiro.toml",
        "ROTEIRO_MAX_IN_FLIGHT",
    }


@pytest.mark.parametrize("command", ["run", "validate", "status", "list", "download"])
def test_each_command_tells_a_wrong_setting(call: Callable[..., Any], command: str) -> None:
    """Wherever settings are read, a wrong one is exit code 2."""
    Path("roteiro.toml").write_text("speed = 3\n")
    result = call(command, *(["x"] if command in {"run", "validate", "download"} else []))
    assert result.exit_code == 2
    assert result.stderr.startswith("speed in roteiro.toml is not a setting; allowed: output")


@pytest.mark.parametrize(
    ("output", "status", "database"),
    [
        ("out", "", "out/status.db"),
        ("out", "other.db", "other.db"),
        ("out", "sqlite:///var/other.db", "/var/other.db"),
    ],
)
def test_the_status_store_is_beside_the_output_unless_named(
    output: str, status: str, database: str
) -> None:
    """Without --status the database is in the output folder."""
    assert load_settings({"output": output, "status": status}).database == Path(database)


def test_every_setting_is_documented() -> None:
    """docs/settings.md has a row for each, with its flag, variable and default."""
    rows = [line.strip("| ").split(" | ") for line in DOCS.read_text("utf-8").splitlines()]
    table = {row[0].strip("`"): row for row in rows if len(row) == 5 and row[0].startswith("`")}
    assert list(table) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        _, flag, variable, default, meaning = table[name]
        assert f"`--{name}`" in flag
        assert variable == f"`{ENV_PREFIX}{name.upper()}`"
        written = str(field.default).lower() if field.annotation is bool else field.default
        assert default == (f"`{written}`" if written != "" else "none")
        assert meaning


def test_every_setting_of_a_job_is_documented() -> None:
    """docs/dataflow.md has each, with its default."""
    text = DOCS.with_name("dataflow.md").read_text("utf-8")
    for name, field in DataflowSettings.model_fields.items():
        row = re.search(rf"^\|[^|]*`{name}`[^|]*\|([^|]*)\|[^|]+\|$", text, re.MULTILINE)
        assert row, name
        assert field.default == "" or f"`{field.default}`" in row[1]


def test_a_jobs_settings_are_a_table_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class takes what is its own, and says what nobody knows."""
    Path("roteiro.toml").write_text("max_in_flight = 7\n[dataflow]\nregion = 'here'\n")
    monkeypatch.setenv("ROTEIRO_MAX_WORKERS", "3")
    assert load_settings({}).max_in_flight == 7
    job = load_dataflow({"project": "ours"})
    assert (job.project, job.region, job.max_workers) == ("ours", "here", 3)
    Path("roteiro.toml").write_text("dataflow = 3\n")
    with pytest.raises(BadInput, match=r"dataflow in roteiro\.toml is not a setting"):
        load_settings({})
    Path("roteiro.toml").write_text("[dataflow]\nzone = 'x'\n")
    with pytest.raises(BadInput, match=r"zone in roteiro\.toml is not a setting; allowed: project"):
        load_dataflow({})


def test_every_setting_is_a_flag_with_its_default(call: Callable[..., Any]) -> None:
    """The help of the commands shows each setting, and the default that is used."""
    commands = ("run", "submit", "start")
    shown = " ".join(" ".join(call(name, "--help").output.split()) for name in commands)
    for name, field in (Settings.model_fields | DataflowSettings.model_fields).items():
        assert f"--{name} " in shown
        if field.default:
            assert f"[{field.default}]" in shown


@pytest.mark.parametrize(
    ("status", "place"),
    [
        ("firestore://my-project", ("my-project", "(default)")),
        ("firestore://my-project/statuses", ("my-project", "statuses")),
        ("status.db", None),
    ],
)
def test_statuses_may_be_in_firestore(status: str, place: tuple[str, str] | None) -> None:
    """A project alone has its default database."""
    settings = load_settings({"status": status})
    assert settings.firestore == place
    assert (settings.database is None) == (place is not None)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("status", "firestore://X", "must be firestore://project/database"),
        ("status", "gs://bucket", "must be a SQLite file or firestore://project/database"),
        ("output", "gs:///prefix", "must be gs://bucket or gs://bucket/prefix"),
        ("output", "s3://bucket", "must be a folder or gs://bucket/prefix"),
        ("topic", "requests", "must be projects/<project>/topics/<name>"),
        ("subscription", "projects/a/topics/b", "must be projects/<project>/subscriptions/<name>"),
    ],
)
def test_places_in_the_cloud_are_named_in_full(name: str, value: str, reason: str) -> None:
    """A name that cannot be right is refused with the form that would be."""
    with pytest.raises(BadInput, match=re.escape(f"--{name} {reason}")):
        load_settings({name: value})


def test_a_bucket_needs_a_status_store() -> None:
    """SQLite cannot live in a bucket, so that the store must be named."""
    with pytest.raises(BadInput, match="--status is missing"):
        load_settings({"output": "gs://bucket"})
    assert load_settings({"output": "gs://bucket", "status": "status.db"}).database


def test_a_cache_is_left_alone_or_refreshed() -> None:
    """Not both; either as a variable, too."""
    with pytest.raises(BadInput, match="choose one"):
        load_settings({"no_cache": True, "refresh": True})
    assert load_settings({"no_cache": True, "refresh": None}).no_cache


def test_help_lists_the_exit_codes(call: Callable[..., Any]) -> None:
    """Whoever scripts it finds the codes where they look first."""
    shown = call("--help").output
    for code, meaning in ((0, "all done"), (1, "some narrations"), (2, "bad"), (130, "interr")):
        assert re.search(rf"^\s+{code}\s+{meaning}", shown, re.MULTILINE)
