"""Bad input: every error with its path and what is allowed, exit code 2, nothing touched."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from domain.request import parse_request
from services.statuses.sqlite import SqliteStatusStore

if TYPE_CHECKING:
    from collections.abc import Callable

AGENT = '"agent": {"target_languages": ["pt-BR"]}'
YAML_AGENT = "agent: {target_languages: [pt-BR]}\n"
OFFLINE = "allowed: de-DE, en-US, es-ES, fr-FR, it-IT, pt-BR"

JSON = {
    "unknown field": (
        f'{{"titles": ["x"], "variation": 2, {AGENT}}}',
        ["variation: is not a field; did you mean variations?", "allowed: agent, batch_id, owner"],
    ),
    "unknown field of the agent": (
        '{"titles": ["x"], "agent": {"target_languages": ["pt-BR"], "tone": "warm"}}',
        ["agent.tone: is not a field", "instructions", "voices"],
    ),
    "no titles": (f'{{"titles": [], {AGENT}}}', ["titles: needs at least 1, has 0"]),
    "titles left out": (f"{{{AGENT}}}", ["titles: is required"]),
    "control characters": (
        f'{{"titles": ["good", "\\u0000\\u0007"], {AGENT}}}',
        ["titles[1]: holds no letter or number that could be spoken", r'"\u0000\u0007"'],
    ),
    "empty title": (f'{{"titles": [""], {AGENT}}}', ["titles[0]: must not be empty"]),
    "unknown language": (
        '{"titles": ["x"], "agent": {"target_languages": ["pt-BR", "klingonish"]}}',
        ["agent.target_languages[1]: is not a known BCP-47 language tag; write it like pt-BR"],
    ),
    "no templates": (
        '{"titles": ["x"], "agent": {"target_languages": ["ja-JP"]}}',
        ["agent.target_languages[0]: has no offline templates", OFFLINE],
    ),
    "no templates for the master": (
        '{"titles": ["x"], "agent": {"master_language": "ko", "target_languages": ["pt-BR"]}}',
        ["agent.master_language: has no offline templates", OFFLINE],
    ),
    "wrong types": (
        '{"titles": "x", "variations": "2", "owner": 5, "agent": []}',
        [
            "titles: must be a list",
            "variations: must be a whole number, without quotes",
            "owner: must be text; put it in quotes (got 5)",
            "agent: must be an object",
        ],
    ),
    "a list": ("[1, 2]", ["must be an object with titles and agent"]),
    "out of range": (
        f'{{"titles": ["x"], "variations": 21, {AGENT}}}',
        ["variations: must be less than or equal to 20 (got 21)"],
    ),
    "bad id": (
        f'{{"batch_id": "../up", "titles": ["x"], {AGENT}}}',
        ["batch_id: must be 3 to 63 of a-z, 0-9 and -", '"../up"'],
    ),
    "another version": (f'{{"version": 2, "titles": ["x"], {AGENT}}}', ["version: must be 1"]),
    "field twice": (f'{{"titles": ["x"], "titles": ["y"], {AGENT}}}', ["titles: is given twice"]),
    "not closed": ('{"titles": ["x"]', ["is not valid JSON", "line 1, column"]),
    "not a number": (f'{{"titles": ["x"], "variations": NaN, {AGENT}}}', ["NaN is no number"]),
    "endless number": (f'{{"titles": ["x"], "variations": 1e999, {AGENT}}}', ["variations"]),
    "half a character": (f'{{"titles": ["\\ud800"], {AGENT}}}', ["titles[0]"]),
    "deep": ('{"titles": ' + "[" * 200_000, ["nested too deeply"]),
    "empty": ("", ["is empty; examples/ holds requests"]),
    "blank": (" \n\t\n", ["is empty"]),
}

YAML = {
    "no, yes and dates are text; numbers and nothing are not": (
        f"titles: [no, yes, 2026-03-01, 12:30, 010, ~, 5, Café: 1]\n{YAML_AGENT}",
        [
            "4 problems",
            "titles[4]: must be text; put it in quotes (got 10)",
            "titles[5]: must be text; put it in quotes (got null)",
            "titles[6]: must be text; put it in quotes (got 5)",
            "titles[7]: must be text; put it in quotes (got an object)",
        ],
    ),
    "anchor": (
        f"titles: &all [x]\n{YAML_AGENT}",
        ["anchors and aliases are not accepted; write it out at line 1, column 9"],
    ),
    "bomb": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntitles: *c\n",
        ["anchors and aliases are not accepted"],
    ),
    "key twice": (f"titles: [x]\ntitles: [y]\n{YAML_AGENT}", ["titles is given twice at line 1"]),
    "tab": (f"titles:\n\t- x\n{YAML_AGENT}", ["found character '\\t'", "line 2, column 1"]),
    "unknown language": (
        "titles: [x]\nagent:\n  target_languages: [no-such-tag-at-all]\n",
        ["agent.target_languages[0]: is not a known BCP-47 language tag"],
    ),
    "octal": (f"titles: [x]\nvariations: 08.5\n{YAML_AGENT}", ["variations: must be a whole"]),
    "long number": (f"titles: [x]\nvariations: {'9' * 5000}\n{YAML_AGENT}", ["too long a one"]),
    "endless number": (f"titles: [x]\nvariations: 1e999\n{YAML_AGENT}", ["is no number"]),
    "object": ('!!python/object/apply:os.system ["id"]', ["could not determine a constructor"]),
    "date by tag": (f"titles: [!!timestamp 2026-01-01]\n{YAML_AGENT}", ["line 1, column 10"]),
    "bytes by tag": (f"titles: [!!binary aGk=]\n{YAML_AGENT}", ["line 1, column 10"]),
    "number by tag": (f"titles: [!!int abc]\n{YAML_AGENT}", ["abc is no whole number"]),
    "boolean by tag": (f"titles: [!!bool abc]\n{YAML_AGENT}", ["abc is neither true nor false"]),
    "list as key": ("? [a, b]\n: 1\n", ["found unhashable key"]),
    "numbers as keys": (f"1: x\ntitles: [x]\n{YAML_AGENT}", ["1: is not a field"]),
    "two documents": ("a: 1\n---\nb: 2\n", ["expected a single document"]),
    "control character": (f"titles: [a\0b]\n{YAML_AGENT}", ["character 10 is 0x00"]),
    "deep": ("- " * 5000, ["nested too deeply"]),
    "text": ("only words", ["must be an object with titles and agent", '"only words"']),
    "comment": ("# nothing yet\n", ["must be an object with titles and agent"]),
}

TABLE = [
    *((f"request{number}.json", *case) for number, case in enumerate(JSON.values())),
    *((f"request{number}.yaml", *case) for number, case in enumerate(YAML.values())),
]
CASES = pytest.mark.parametrize(
    ("name", "text", "told"), TABLE, ids=[*JSON, *(f"YAML: {key}" for key in YAML)]
)


def _there(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@CASES
@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_wrong_request_is_explained_and_touches_nothing(
    call: Callable[..., Any], folder: Path, command: str, name: str, text: str, told: list[str]
) -> None:
    """Each problem is told with its path and what is allowed; no folder and no file is made."""
    Path(name).write_text(text, "utf-8")
    result = call(command, name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{name}: ")
    assert "nothing was touched" in result.stderr
    for fragment in told:
        assert fragment in result.stderr
    assert result.stdout == ""
    assert _there(folder) == {name}


def test_all_problems_are_told_at_once(call: Callable[..., Any], folder: Path) -> None:
    """A request with a problem in each part lists each of them, and counts them."""
    Path("r.json").write_text('{"titels": ["x"], "variations": 0, "agent": {"top_k": 0}}', "utf-8")
    result = call("validate", "r.json")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0] == f"r.json: {len(lines) - 1} problems; nothing was touched."
    for path in ("titles", "titels", "variations", "agent.top_k", "agent.target_languages"):
        assert any(line.startswith(f"  {path}: ") for line in lines)
    assert _there(folder) == {"r.json"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ('{"titles": ["ação"]}'.encode("latin-1"), "byte 14 is 0xe7; save as UTF-8"),
        ("titles: [ação]".encode("utf-16"), "byte 0 is 0xff; save as UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "byte 0 is 0x89"),
        (b"a: \x80", "byte 3 is 0x80"),
    ],
)
def test_a_file_that_is_not_utf8_says_where(
    call: Callable[..., Any], data: bytes, told: str
) -> None:
    """The first byte that is no UTF-8 is named, whatever the format."""
    Path("r.json").write_bytes(data)
    result = call("run", "r.json")
    assert result.exit_code == 2
    assert f"is not UTF-8 text: {told}" in result.stderr


@pytest.mark.parametrize(
    ("name", "told"), [("none.json", "No such file"), (".", "Is a directory"), ("a/b", "No such")]
)
def test_a_file_that_cannot_be_read_is_named(
    call: Callable[..., Any], folder: Path, name: str, told: str
) -> None:
    """A missing file and a folder are told as such."""
    result = call("run", name)
    assert result.exit_code == 2
    assert f"{name}: 1 problem; nothing was touched.\n  cannot be read: {told}" in result.stderr
    assert _there(folder) == set()


def test_standard_input_is_named(call: Callable[..., Any], folder: Path) -> None:
    """Problems of a request from standard input say so."""
    result = call("run", "-", stdin=b"{}")
    assert result.exit_code == 2
    assert "standard input: 2 problems" in result.stderr
    assert _there(folder) == set()


def test_a_file_that_is_too_large_is_refused(call: Callable[..., Any]) -> None:
    """More than 9 MB are not even parsed."""
    Path("r.yaml").write_bytes(b"a" * 9_000_001)
    result = call("validate", "r.yaml")
    assert result.exit_code == 2
    assert "holds more than 9,000,000 bytes" in result.stderr


def test_titles_that_look_like_something_else_are_text_in_yaml(call: Callable[..., Any]) -> None:
    """What YAML 1.1 would take for booleans, dates and times are titles."""
    Path("r.yaml").write_text(f"titles: [no, On, 2026-03-01, 12:30, 0x1F, 1_000]\n{YAML_AGENT}")
    result = call("validate", "r.yaml", "--json")
    assert result.exit_code == 0
    titles = ["no", "On", "2026-03-01", "12:30", "0x1F", "1_000"]
    assert json.loads(result.stdout)["titles"] == titles


def test_equal_titles_are_two_jobs(call: Callable[..., Any]) -> None:
    """The same title twice is a request for two scripts."""
    Path("r.json").write_text(f'{{"titles": ["x", "x"], {AGENT}}}')
    result = call("validate", "r.json")
    assert result.exit_code == 0
    assert "2 titles × 1 variation × 1 language = 2 narrations" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--output", "small.json"], "output: small.json cannot be written: Not a directory"),
        (["--output", "small.json/below"], "output: small.json/below cannot be written"),
        (["--output", "new/\u0301" + "n" * 300], "File name too long"),
        (["--output", "new/folder", "--status", "small.json/s.db"], "status: small.json cannot"),
        (["--output", "new/folder", "--status", "small.json"], "small.json: the status store"),
        (["--output", "new/folder", "--status", "."], "the status store cannot be used"),
        (["--output", ""], "--output must have at least 1 character"),
        (["--output", "ftp://host/x"], "--output must be a folder"),
        (["--status", "firestore2://x"], "--status must be a SQLite file"),
        (
            ["--writer", "quill"],
            "--writer must be 'offline', 'gemini' or 'generativeai' (got 'quill')",
        ),
        (["--voice", "mine"], "--voice must be 'offline' or 'google' (got 'mine')"),
        (["--max_in_flight", "0"], "--max_in_flight must be greater than or equal to 1 (got 0)"),
        (["--max_in_flight", "many"], "--max_in_flight"),
        (["--batch_id", "No Good"], "batch_id: must be 3 to 63 of a-z, 0-9 and -"),
        (["--batchid", "x"], "No such option: --batchid"),
    ],
)
def test_a_wrong_flag_touches_nothing(
    call: Callable[..., Any], folder: Path, request_file: Path, words: list[str], told: str
) -> None:
    """The flag is named with what is allowed, and folders made on the way are taken back."""
    result = call("run", request_file.name, *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert _there(folder) == {request_file.name}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root may fill")
def test_an_output_folder_that_cannot_be_written_is_told(
    call: Callable[..., Any], request_file: Path
) -> None:
    """The folder is tried before any work, and the remedy is named."""
    result = call("run", request_file.name, "--output", "/proc/self/x")
    assert result.exit_code == 2
    assert "Batch small: 1 problem; nothing was touched." in result.stderr
    assert "output: /proc/self/x cannot be written" in result.stderr
    assert "--output names another place" in result.stderr


def test_the_id_of_another_request_is_refused(
    call: Callable[..., Any], folder: Path, request_file: Path, small: dict[str, Any]
) -> None:
    """A conflict is found before anything is made, the new output folder included."""
    other = json.dumps(small | {"titles": ["Another title"]}).encode()
    with closing(SqliteStatusStore("old.db")) as statuses:
        statuses.accept("small", parse_request(other), run_id="r", resume=False)
        before = statuses.batch("small")
    result = call("run", request_file.name, "--status", "old.db", "--output", "new/folder")
    assert result.exit_code == 2
    assert "batch_id: small is another request's already; choose another id" in result.stderr
    assert _there(folder) == {request_file.name, "old.db"}
    with closing(SqliteStatusStore("old.db")) as statuses:
        assert statuses.batch("small") == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["status"], "no batch yet in output/status.db"),
        (["status", "none"], "no batch none in output/status.db"),
        (["status", "none", "--watch", "--json"], "no batch none"),
        (["download", "none"], "no batch none in output/status.db"),
        (["list", "--state", "done"], "allowed: queued, running, completed, partial, failed"),
        (["list", "--before", "none"], "--before: no batch none"),
        (["list", "--limit", "0"], "--limit"),
        (["list", "--status", "here/there.db", "--before", "x"], "no batch x in here/there.db"),
        (["status", "--output", "s4://x"], "--output must be a folder"),
        (["nonsense"], "No such command 'nonsense'"),
        (["run"], "Missing argument"),
        ([], "Usage: "),
    ],
)
def test_asking_for_what_is_not_there_makes_nothing(
    call: Callable[..., Any], folder: Path, words: list[str], told: str
) -> None:
    """Looking at an unknown batch or store is exit code 2 and leaves no file."""
    result = call(*words)
    assert result.exit_code == 2
    assert told in result.output
    assert _there(folder) == set()
