"""`roteiro submit`: a batch is queued in the status store, and its request published."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from domain.request import MAX_BYTES, parse_request
from services.statuses.sqlite import SqliteStatusStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.emulators.pubsub import PubsubEmulator

pytestmark = pytest.mark.pubsub


def stored(folder: Path, batch_id: str = "small") -> str | None:
    """The batch's status, or None where there is no such batch."""
    with closing(SqliteStatusStore(folder / "output" / "status.db")) as statuses:
        batch = statuses.batch(batch_id)
        return batch["status"] if batch else None


def end(folder: Path, status: str, items: dict[str, Any]) -> None:
    """Write down that the batch `small` ended so."""
    with closing(SqliteStatusStore(folder / "output" / "status.db")) as statuses:
        job_id = next(statuses.jobs("small"))["job_id"]
        statuses.merge_jobs("small", {job_id: {"items": items}})
        statuses.merge_batch("small", {"status": status})


def test_a_request_is_queued_and_published(
    call: Callable[..., Any], request_file: Path, pubsub: PubsubEmulator, small: dict[str, Any]
) -> None:
    """The message is the whole request; its attributes tell whose it is without decoding it."""
    topic, subscription = pubsub.new_topic()
    result = call("submit", str(request_file), "--topic", topic)
    assert result.exit_code == 0
    assert "Batch small is queued: 1 title × 1 variation × 2 languages = 2 narrations" in (
        result.stdout
    )
    assert stored(request_file.parent) == "queued"
    (message,) = pubsub.take(subscription)
    assert parse_request(message.data).titles == tuple(small["titles"])
    attributes = dict(message.attributes)
    assert attributes.pop("submission").startswith("small.")
    assert attributes == {"batch_id": "small", "owner": small["owner"], "version": "1"}


def test_a_batch_without_an_id_gets_one(
    call: Callable[..., Any], folder: Path, pubsub: PubsubEmulator, small: dict[str, Any]
) -> None:
    """It is in the message, so that the store and whoever makes it mean the same batch."""
    topic, subscription = pubsub.new_topic()
    document = json.dumps({**small, "batch_id": None}).encode()
    told = json.loads(call("submit", "-", "--topic", topic, "--json", stdin=document).stdout)
    assert told["published"]
    assert told["total_items"] == 2
    (message,) = pubsub.take(subscription)
    assert parse_request(message.data).batch_id == told["batch_id"]
    assert stored(folder, told["batch_id"]) == "queued"


def test_a_queued_batch_is_published_again(
    call: Callable[..., Any], request_file: Path, pubsub: PubsubEmulator
) -> None:
    """Whoever is not sure that the first was published may ask again."""
    topic, subscription = pubsub.new_topic()
    for _ in range(2):
        assert call("submit", str(request_file), "--topic", topic).exit_code == 0
    assert len(pubsub.take(subscription, 2)) == 2


@pytest.mark.parametrize("status", ["running", "completed"])
def test_what_is_made_or_complete_is_not_published_again(
    call: Callable[..., Any], request_file: Path, pubsub: PubsubEmulator, status: str
) -> None:
    """It says so, and that is no error."""
    topic, subscription = pubsub.new_topic()
    call("submit", str(request_file), "--topic", topic)
    done = {"status": "completed", "audio_seconds": 1.0, "audio_bytes": 1, "characters": 1}
    end(request_file.parent, status, {"v1.pt-BR": done, "v1.en-US": done})
    result = call("submit", str(request_file), "--topic", topic)
    assert result.exit_code == 0
    assert f"Batch small is {status} already; nothing was published." in result.stderr
    assert stored(request_file.parent) == status
    assert len(pubsub.take(subscription, 2, patience=2)) == 1


def test_what_is_missing_is_asked_for_again(
    call: Callable[..., Any], request_file: Path, pubsub: PubsubEmulator
) -> None:
    """A batch that ended with narrations missing is queued once more."""
    topic, subscription = pubsub.new_topic()
    call("submit", str(request_file), "--topic", topic)
    end(request_file.parent, "failed", {"v1.pt-BR": {"status": "failed"}})
    assert call("submit", str(request_file), "--topic", topic).exit_code == 0
    assert stored(request_file.parent) == "queued"
    assert len(pubsub.take(subscription, 2)) == 2


def test_another_request_of_the_same_name(
    call: Callable[..., Any],
    request_file: Path,
    pubsub: PubsubEmulator,
    small: dict[str, Any],
) -> None:
    """It is refused, and nothing is published."""
    topic, subscription = pubsub.new_topic()
    call("submit", str(request_file), "--topic", topic)
    other = json.dumps({**small, "titles": ["Chá"]}).encode()
    result = call("submit", "-", "--topic", topic, stdin=other)
    assert result.exit_code == 2
    assert "another request's already" in result.stderr
    assert len(pubsub.take(subscription, 2, patience=2)) == 1


def test_a_request_that_grows_when_it_is_encoded(
    call: Callable[..., Any], folder: Path, pubsub: PubsubEmulator, small: dict[str, Any]
) -> None:
    """What counts is the size that is published: nothing is queued that cannot be."""
    topic, _ = pubsub.new_topic()
    document = {**small, "titles": [f"{n} {'漢' * 480}" for n in range(7_000)]}
    request = json.dumps(document, ensure_ascii=False).encode("utf-8")
    assert len(request) > MAX_BYTES
    result = call("submit", "-", "--topic", topic, stdin=request)
    assert result.exit_code == 2
    assert "bytes" in result.stderr
    assert not (folder / "output").exists()


@pytest.mark.parametrize("wrong", ["not_there", "projects/roteiro-tests/topics/not-there", None])
def test_a_topic_that_cannot_be_used(
    call: Callable[..., Any], request_file: Path, pubsub: PubsubEmulator, wrong: str | None
) -> None:
    """A name that is none, a topic that is not there, no topic at all: nothing is queued."""
    assert pubsub.host
    words = ("--topic", wrong) if wrong else ()
    result = call("submit", str(request_file), *words)
    assert result.exit_code == 2
    assert "topic" in result.stderr
    assert not (request_file.parent / "output").exists()
