"""`roteiro start` as a process: what comes by a subscription is made, and nothing is lost."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from domain.status import TERMINAL
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import encoded
from tests.simulators.gemini import GeminiSimulator

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from domain.status import BatchDoc
    from tests.emulators.pubsub import PubsubEmulator

pytestmark = pytest.mark.pubsub

PATIENCE = 60.0
"""Seconds to wait for something before a test gives up."""
SLOWLY = {"ROTEIRO_MAX_IN_FLIGHT": "1"}
"""One narration after the other, so that there is something left to interrupt."""


class Station:
    """A folder, a topic, and the processes that a test starts there."""

    def __init__(
        self, folder: Path, pubsub: PubsubEmulator, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        self.folder = folder
        self.pubsub = pubsub
        self.topic, self.subscription = pubsub.new_topic()
        self._start = start
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """`roteiro start` on the topic's subscription."""
        words = ("start", "--subscription", self.subscription, *words)
        process = self._start(*words, cwd=self.folder, **variables)
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End whatever a failed test left."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def batch(self, batch_id: str) -> BatchDoc | None:
        """The batch's document; None while there is none."""
        database = self.folder / "output" / "status.db"
        if not database.exists():
            return None
        with closing(SqliteStatusStore(database)) as statuses:
            return statuses.batch(batch_id)

    def ended(self, batch_id: str) -> bool:
        """Whether the batch has come to an end."""
        batch = self.batch(batch_id)
        return batch is not None and batch["status"] in TERMINAL

    def completed(self, batch_id: str) -> int:
        """Its finished narrations so far."""
        batch = self.batch(batch_id)
        return batch["completed_items"] if batch else 0


@pytest.fixture
def station(
    tmp_path: Path, pubsub: PubsubEmulator, start: Callable[..., subprocess.Popen[str]]
) -> Iterator[Station]:
    with closing(Station(tmp_path, pubsub, start)) as opened:
        yield opened


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Poll until something is the case; the process must not end before."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> str:
    """Its standard error after a signal; it must end well, without a traceback."""
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return err


def request(small: dict[str, Any], **fields: Any) -> bytes:
    return encoded({**small, **fields})


def long(small: dict[str, Any], batch_id: str) -> bytes:
    """A request of forty narrations."""
    return request(small, batch_id=batch_id, titles=[f"Café {n}" for n in range(20)])


def test_batches_are_made_and_poison_is_kept(station: Station, small: dict[str, Any]) -> None:
    """Two owners' batches are made side by side; what is no request delays neither."""
    poison_topic, poison = station.pubsub.new_topic()
    events_topic, events = station.pubsub.new_topic()
    publish = station.pubsub.publish
    publish(station.topic, request(small, batch_id="cafe-one"))
    poison_id = publish(station.topic, b"\xfe no request")
    publish(station.topic, request(small, batch_id="cafe-two", owner="bia@example.com"))
    process = station.start("--dead_letter_topic", poison_topic, "--events_topic", events_topic)
    wait_until(lambda: station.ended("cafe-one") and station.ended("cafe-two"), process)

    (letter,) = station.pubsub.take(poison)
    assert letter.data == b"\xfe no request"
    assert "UTF-8" in letter.attributes["error"]
    stored = json.loads((station.folder / f"output/dead-letters/{poison_id}.json").read_bytes())
    assert letter.attributes["dead_letter"].endswith(f"dead-letters/{poison_id}.json")
    assert stored["errors"][0]["message"] == letter.attributes["error"]

    told = {event.attributes["ce-subject"]: event for event in station.pubsub.take(events, 2)}
    assert set(told) == {"cafe-one", "cafe-two"}
    event = told["cafe-two"]
    assert event.attributes["ce-type"] == "roteiro.batch.ended.v1"
    assert event.attributes["content-type"] == "application/json"
    assert json.loads(event.data) == {
        "batch_id": "cafe-two",
        "owner": "bia@example.com",
        "status": "completed",
        "completed_items": 2,
        "failed_items": 0,
        "cancelled_items": 0,
        "manifest_uri": str(station.folder / "output/batches/cafe-two/manifest.json"),
    }

    err = stopped(process)
    assert "Batch cafe-one of ana@example.com: 2 narrations." in err
    assert "Batch cafe-two completed: 2 of 2 narrations" in err
    assert station.pubsub.take(station.subscription, patience=2) == []
    assert len(list((station.folder / "output").rglob("*.mp3"))) == 4


def test_a_message_without_an_id_is_one_batch(station: Station, small: dict[str, Any]) -> None:
    """It is called after its message, so that a second delivery is the same batch."""
    station.pubsub.publish(station.topic, request(small, batch_id=None))
    process = station.start()
    folder = station.folder / "output" / "batches"
    wait_until(lambda: any(folder.glob("*/manifest.json")), process)
    err = stopped(process)
    (batch,) = folder.iterdir()
    assert f"Batch {batch.name} completed: 2 of 2 narrations" in err


def test_what_is_queued_needs_no_message(
    station: Station, small: dict[str, Any], spawn: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A message that was lost after `submit` had queued its batch: the batch is made all the same."""
    (station.folder / "small.json").write_bytes(request(small))
    spawn("submit", "small.json", "--topic", station.topic, cwd=station.folder)
    assert len(station.pubsub.take(station.subscription)) == 1
    process = station.start()
    wait_until(lambda: station.ended("small"), process)
    stopped(process)
    assert station.completed("small") == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_calls_and_leaves_the_rest(
    station: Station, small: dict[str, Any], number: int
) -> None:
    """It exits with 0; the batch is queued again, and the next start makes what is missing only."""
    station.pubsub.publish(station.topic, long(small, "cafe"))
    process = station.start(**SLOWLY)
    wait_until(lambda: station.completed("cafe") > 0, process)
    err = stopped(process, number)
    assert "Batches left for the next start: cafe." in err
    batch = station.batch("cafe")
    assert batch
    assert (batch["status"], batch["failed_items"]) == ("queued", 0)
    made = {path: path.stat().st_mtime_ns for path in (station.folder / "output").rglob("*.mp3")}
    assert 0 < len(made) < 40
    assert not list((station.folder / "output").rglob("*.part"))

    process = station.start()
    wait_until(lambda: station.ended("cafe"), process)
    stopped(process)
    assert station.completed("cafe") == 40
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())


def test_a_stop_loses_no_script_that_was_paid_for(station: Station, small: dict[str, Any]) -> None:
    """SIGTERM while a script is being written: it is finished and kept, and adapted by the next."""
    station.pubsub.publish(station.topic, request(small))
    with GeminiSimulator() as gemini:
        words = ("--writer", "gemini", "--gemini_endpoint", gemini.url)
        gemini.hold()
        process = station.start(*words, GOOGLE_API_KEY="any")
        wait_until(lambda: bool(gemini.calls), process)
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        said = iter(process.stderr.readline, "")
        assert any("Stopping: calls under way are finished" in line for line in said)
        gemini.go_on()
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        assert "Batches left for the next start: small." in err
        assert [call.task for call in gemini.calls] == ["variation"]
        assert not list((station.folder / "output").rglob("*.mp3"))

        process = station.start(*words, GOOGLE_API_KEY="any")
        wait_until(lambda: station.ended("small"), process)
        stopped(process)
    assert [call.task for call in gemini.calls] == ["variation", "adaptation"]
    assert station.completed("small") == 2


def test_what_a_killed_process_left_is_taken_up(station: Station, small: dict[str, Any]) -> None:
    """SIGKILL after the message was acknowledged: the store knows of the batch."""
    station.pubsub.publish(station.topic, long(small, "cafe"))
    process = station.start(**SLOWLY)
    wait_until(lambda: station.completed("cafe") > 0, process)
    process.kill()
    process.communicate()
    process = station.start()
    wait_until(lambda: station.ended("cafe"), process)
    stopped(process)
    assert station.completed("cafe") == 40


def test_a_queued_batch_that_was_cancelled_is_not_made(
    station: Station, small: dict[str, Any], spawn: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Neither by its message, which comes later, nor because it is in the store."""
    (station.folder / "small.json").write_bytes(request(small))
    spawn("submit", "small.json", "--topic", station.topic, cwd=station.folder)
    assert spawn("cancel", "small", cwd=station.folder).returncode == 0
    station.pubsub.publish(station.topic, request(small, batch_id="cafe-two"))
    process = station.start()
    wait_until(lambda: station.ended("cafe-two"), process)
    stopped(process)
    batch = station.batch("small")
    assert batch
    assert batch["status"] == "cancelled"
    assert not (station.folder / "output" / "batches" / "small").exists()
    assert station.pubsub.take(station.subscription, patience=2) == []


def test_a_batch_of_a_worker_is_cancelled(
    station: Station, small: dict[str, Any], spawn: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """The worker goes on with others; `retry` has it finish the rest."""
    station.pubsub.publish(station.topic, long(small, "cafe"))
    process = station.start(**SLOWLY)
    wait_until(lambda: station.completed("cafe") > 0, process)
    result = spawn("cancel", "cafe", cwd=station.folder)
    assert result.returncode == 0, result.stderr
    batch = station.batch("cafe")
    assert batch
    assert batch["status"] == "cancelled"
    assert 0 < batch["completed_items"] < 40
    # The batch has ended a moment before its worker lets go of it.
    retry = ("retry", "cafe", "--topic", station.topic)
    wait_until(lambda: spawn(*retry, cwd=station.folder).returncode == 0, process)
    wait_until(lambda: station.completed("cafe") == 40, process)
    stopped(process)


def test_what_was_to_stop_when_its_process_died_is_not_taken_up(
    station: Station, small: dict[str, Any]
) -> None:
    """The next start writes its end."""
    station.pubsub.publish(station.topic, long(small, "cafe"))
    process = station.start(**SLOWLY)
    wait_until(lambda: station.completed("cafe") > 0, process)
    process.kill()
    process.communicate()
    with closing(SqliteStatusStore(station.folder / "output" / "status.db")) as statuses:
        statuses.cancel("cafe")
    made = station.completed("cafe")
    process = station.start()
    wait_until(lambda: station.ended("cafe"), process)
    stopped(process)
    batch = station.batch("cafe")
    assert batch
    assert (batch["status"], batch["completed_items"]) == ("cancelled", made)


def test_a_request_that_comes_again_makes_no_second_batch(
    station: Station, small: dict[str, Any]
) -> None:
    """A duplicate is taken off the subscription; another request of the same id is a dead letter."""
    station.pubsub.publish(station.topic, request(small))
    process = station.start()
    wait_until(lambda: station.batch("small") is not None, process)
    for data in (request(small), request(small, titles=["Chá"])):
        station.pubsub.publish(station.topic, data)
    letters = station.folder / "output" / "dead-letters"
    wait_until(lambda: station.ended("small") and any(letters.glob("*.json")), process)
    stopped(process)
    (letter,) = letters.iterdir()
    assert "another request's already" in json.loads(letter.read_bytes())["errors"][0]["message"]
    assert station.completed("small") == 2
    assert station.pubsub.take(station.subscription, patience=2) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--subscription", "projects/roteiro-tests/subscriptions/not-there"], "create it"),
        (["--runner", "NoSuchRunner"], "--runner"),
        (["--events_topic", "projects/roteiro-tests/topics/not-there"], "create it"),
        (["--output", "/proc/nowhere"], "cannot be written"),
    ],
)
def test_a_start_that_cannot_be(station: Station, words: list[str], reason: str) -> None:
    """It ends with exit code 2 and the reason, before anything is taken."""
    process = station.start(*words)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, err
    assert reason in err
    assert "Traceback" not in err


def test_a_streaming_pipeline_that_breaks_off_is_told(station: Station) -> None:
    """A subscription that goes away ends it, and that is no success."""
    gone = f"{station.subscription}-gone"
    process = station.start("--runner", "BundleBasedDirectRunner", "--subscription", gone)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, err
    assert "The pipeline broke off: NotFound" in err


def test_the_streaming_pipeline_runs_on_other_runners(
    station: Station, small: dict[str, Any]
) -> None:
    """The graph on Beam's own streaming runner reads from the subscription by itself."""
    publish = station.pubsub.publish
    publish(station.topic, request(small, batch_id="cafe-one"))
    process = station.start("--runner", "BundleBasedDirectRunner", "--grace", "0")
    wait_until(lambda: station.ended("cafe-one"), process)
    publish(station.topic, request(small, batch_id="cafe-two"))
    publish(station.topic, b"{")
    letters = station.folder / "output" / "dead-letters"
    wait_until(lambda: station.ended("cafe-two") and any(letters.glob("*.json")), process)
    stopped(process)
    assert station.completed("cafe-two") == 2
