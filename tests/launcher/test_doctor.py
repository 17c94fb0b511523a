"""`roteiro doctor`: every service is asked, each failure is told with its remedy, no key with it."""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from launcher.checks import Check
from launcher.doctor import examined
from services.errors import Unavailable
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.speech import Fault, SpeechSimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.emulators.pubsub import PubsubEmulator

KEY = "AIza-a-key-of-the-tests"
NOBODY = "127.0.0.1:1"
"""An address that nothing listens at."""
QUICK = ("--timeout", "1")


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiSimulator]:
    """Gemini on this machine, and a key for it."""
    for name in ("GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    with GeminiSimulator() as simulator:
        yield simulator


@pytest.fixture
def speech() -> Iterator[SpeechSimulator]:
    """Text-to-Speech, on this machine."""
    with SpeechSimulator() as simulator:
        yield simulator


def told(result: Any) -> dict[str, dict[str, Any]]:
    """The answers by service; no key is among them."""
    assert KEY not in result.output
    return {answer["service"]: answer for answer in json.loads(result.stdout)["checks"]}


def failed(result: Any, service: str) -> dict[str, Any]:
    """The answer of the only service that failed; the exit code says so."""
    answers = told(result)
    assert [name for name in answers if answers[name]["state"] == "failed"] == [service]
    assert result.exit_code == 1
    return answers[service]


# ── On this machine ───────────────────────────────────────────────────────────


def test_the_embedded_services(call: Callable[..., Any], folder: Path) -> None:
    """A word is spoken, folder and SQLite can be written, the rest is not used; nothing is left."""
    result = call("doctor", "--json")
    assert result.exit_code == 0
    states = {name: answer["state"] for name, answer in told(result).items()}
    used = {"eSpeak NG", "output folder", "SQLite"}
    assert {name for name, state in states.items() if state == "ok"} == used
    assert {states[name] for name in states.keys() - used} == {"not used"}
    assert list(folder.iterdir()) == []


def test_a_table_for_people(call: Callable[..., Any]) -> None:
    """Service, state, milliseconds, and what was asked."""
    result = call("doctor")
    assert result.exit_code == 0
    assert "SQLite" in result.stdout
    assert "the newest batch of output/status.db" in result.stdout
    assert not result.stderr


def test_a_folder_that_cannot_be_written(call: Callable[..., Any], folder: Path) -> None:
    """A file is in its way; the message names the flag."""
    (folder / "file").write_text("in the way")
    result = call("doctor", "--output", "file/deliverables", "--status", "status.db", "--json")
    assert "--output names another place" in failed(result, "output folder")["error"]


def test_a_status_store_that_cannot_be_made(call: Callable[..., Any], folder: Path) -> None:
    """The same for the folder of the SQLite file."""
    (folder / "file").write_text("in the way")
    result = call("doctor", "--status", "file/status.db", "--json")
    assert failed(result, "SQLite")["error"]


def test_a_status_store_that_is_broken(call: Callable[..., Any], folder: Path) -> None:
    """It is named with what to do, and the file is left alone."""
    broken = folder / "status.db"
    broken.write_bytes(b"no database" * 1000)
    result = call("doctor", "--status", "status.db")
    assert result.exit_code == 1
    assert "file is not a database; move the file away" in result.stderr
    assert broken.read_bytes() == b"no database" * 1000


def test_a_status_store_with_batches(call: Callable[..., Any], folder: Path) -> None:
    """It is opened and read."""
    with sqlite3.connect(folder / "status.db") as db:
        db.execute("VACUUM")
    db.close()
    assert told(call("doctor", "--status", "status.db", "--json"))["SQLite"]["state"] == "ok"


# ── Gemini and Text-to-Speech ─────────────────────────────────────────────────


def test_gemini_counts_tokens(call: Callable[..., Any], gemini: GeminiSimulator) -> None:
    """One call that costs nothing, to the model that requests name by default."""
    words = ("doctor", "--writer", "gemini", "--gemini_endpoint", gemini.url, "--json")
    answer = told(call(*words))["Gemini"]
    assert answer["state"] == "ok"
    assert answer["milliseconds"] >= 0
    (asked,) = gemini.calls
    assert asked.path.endswith("models/gemini-2.5-flash:countTokens")


@pytest.mark.parametrize(
    ("fault", "code", "said", "remedy"),
    [
        ("bad_key", "unauthenticated", "API key not valid", "check the key"),
        ("suspended", "permission_denied", "has been suspended", "enable the service's API"),
        ("not_found", "not_found", "is not found", "check agent.model"),
        ("quota_day", "quota_exhausted", "exceeded your current quota", "raise the quota"),
        ("reset", "unavailable", "the connection failed", "run again"),
        ("hang", "timeout", "no answer in 1 seconds", "run again"),
    ],
)
def test_gemini_refuses(
    call: Callable[..., Any],
    gemini: GeminiSimulator,
    fault: str,
    code: str,
    said: str,
    remedy: str,
) -> None:
    """Its own words, the code and the remedy, and never the key."""
    gemini.plan(fault)
    words = ("--writer", "gemini", "--gemini_endpoint", gemini.url, *QUICK)
    answer = failed(call("doctor", *words, "--json"), "Gemini")
    assert answer["code"] == code
    assert said in answer["error"]
    assert remedy in answer["remedy"]


def test_no_key(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What to set is said once."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"):
        monkeypatch.delenv(name, raising=False)
    answer = failed(call("doctor", "--writer", "gemini", "--json"), "Gemini")
    assert "GOOGLE_API_KEY" in answer["error"]
    assert not answer["remedy"]


def test_google_says_a_word(call: Callable[..., Any], speech: SpeechSimulator) -> None:
    """Two characters are paid for, and the table says so."""
    result = call("doctor", "--voice", "google", "--speech_endpoint", speech.endpoint, "--json")
    answer = told(result)["Text-to-Speech"]
    assert (answer["state"], result.exit_code) == ("ok", 0)
    assert "costs 2 characters" in answer["asked"]
    assert [asked.text for asked in speech.calls] == ["Oi"]


@pytest.mark.parametrize("kind", ["permission_denied", "unauthenticated", "unavailable", "hang"])
def test_google_does_not_speak(
    call: Callable[..., Any], speech: SpeechSimulator, kind: Any
) -> None:
    """Each failure has its remedy."""
    speech.faults.append(Fault(kind))
    words = ("--voice", "google", "--speech_endpoint", speech.endpoint, *QUICK)
    answer = failed(call("doctor", *words, "--json"), "Text-to-Speech")
    assert answer["code"] == {"hang": "timeout"}.get(kind, kind)
    assert answer["remedy"]


def test_no_credentials(
    call: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how to get them."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "none.json"))
    answer = failed(call("doctor", "--voice", "google", "--json"), "Text-to-Speech")
    assert "gcloud auth application-default login" in answer["error"]
    assert answer["code"] == "unauthenticated"


# ── Pub/Sub, Cloud Storage, Firestore ─────────────────────────────────────────


@pytest.mark.pubsub
def test_topics_and_a_subscription(call: Callable[..., Any], pubsub: PubsubEmulator) -> None:
    """Each is asked for; what is not named is not used."""
    topic, subscription = pubsub.new_topic()
    words = ("--topic", topic, "--events_topic", topic, "--subscription", subscription)
    result = call("doctor", *words, "--json")
    assert result.exit_code == 0
    states = {name: answer["state"] for name, answer in told(result).items()}
    assert [states[name] for name in ("topic", "events_topic", "subscription")] == ["ok"] * 3
    assert states["dead_letter_topic"] == "not used"


@pytest.mark.pubsub
@pytest.mark.parametrize(
    ("setting", "kind"), [("topic", "topics"), ("subscription", "subscriptions")]
)
def test_what_is_not_there(
    call: Callable[..., Any], pubsub: PubsubEmulator, setting: str, kind: str
) -> None:
    """It is named with what to do."""
    assert pubsub.host
    name = f"projects/roteiro-tests/{kind}/not-there"
    answer = failed(call("doctor", f"--{setting}", name, "--json"), setting)
    assert name in answer["error"]
    assert "create it, or correct its name" in answer["error"]


def test_pubsub_is_away(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told within the time for an answer."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", NOBODY)
    words = ("--topic", "projects/roteiro-tests/topics/t", *QUICK)
    answer = failed(call("doctor", *words, "--json"), "topic")
    assert answer["code"] in {"unavailable", "timeout"}
    assert "check the network" in answer["remedy"]


def test_a_bucket(call: Callable[..., Any], bucket: str) -> None:
    """It can be listed and written, and nothing is left in it; one that is missing is told."""
    words = ("--status", "status.db", "--json")
    assert call("doctor", "--output", f"gs://{bucket}/a", *words).exit_code == 0
    answer = failed(call("doctor", "--output", f"gs://{bucket}-not/a", *words), "Cloud Storage")
    assert answer["code"] == "not_found"
    assert "is not there" in answer["error"]


def test_storage_is_away(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is the network's."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{NOBODY}")
    words = ("--output", "gs://radio", "--status", "status.db", *QUICK, "--json")
    assert "check the network" in failed(call("doctor", *words), "Cloud Storage")["remedy"]


def test_firestore(call: Callable[..., Any], firestore_project: str) -> None:
    """A document is read that need not be there."""
    result = call("doctor", "--status", f"firestore://{firestore_project}", "--json")
    assert result.exit_code == 0
    assert told(result)["Firestore"]["state"] == "ok"


def test_firestore_is_away(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is the network's."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", NOBODY)
    words = ("--status", "firestore://radio-tests", *QUICK, "--json")
    assert "check the network" in failed(call("doctor", *words), "Firestore")["remedy"]


# ── All together ──────────────────────────────────────────────────────────────


def test_one_failure_does_not_hide_another(
    call: Callable[..., Any], gemini: GeminiSimulator, speech: SpeechSimulator, folder: Path
) -> None:
    """Each has a line of its own, and what is well is told too."""
    gemini.plan("bad_key")
    speech.faults.append(Fault("permission_denied"))
    (folder / "file").write_text("in the way")
    words = ["--writer", "gemini", "--gemini_endpoint", gemini.url, "--output", "file/a"]
    words += ["--voice", "google", "--speech_endpoint", speech.endpoint, "--status", "status.db"]
    result = call("doctor", *words)
    assert result.exit_code == 1
    services = [line.split(":")[0] for line in result.stderr.splitlines()]
    assert services == ["Gemini", "Text-to-Speech", "output folder"]
    assert KEY not in result.output


def test_an_answer_that_never_comes() -> None:
    """It is given up, and the others are told."""
    never = threading.Event()

    def wait() -> None:
        never.wait()

    checks = [
        Check("deaf", "anything", wait),
        Check("well", "anything", lambda: None),
        Check("idle", "anything", None),
    ]
    deaf, well, idle = examined(checks, 0.1, grace=0.1)
    never.set()
    assert (deaf.state, deaf.code, deaf.milliseconds) == ("failed", "timeout", None)
    assert (well.state, idle.state) == ("ok", "not used")


def test_a_fault_of_our_own_is_a_failure_too() -> None:
    """It does not end unseen in a thread, and its text, which may hold anything, is not shown."""

    def broken() -> None:
        raise KeyError(KEY)

    def away() -> None:
        raise Unavailable("away")

    fault, outage = examined([Check("a", "b", broken), Check("c", "d", away)], 10)
    assert (fault.code, fault.error) == ("internal", "a fault of Roteiro: KeyError")
    assert "check the network" in outage.remedy
