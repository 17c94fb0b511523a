"""What the graph publishes: dead letters, and the ends of batches."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from apache_beam.io import PubsubMessage

from domain.request import Problem
from domain.work import Message, Rejected
from pipeline.sources import message_of
from tests.builders import batch_end
from transforms.announce import ended_event
from transforms.reject import MAX_ATTRIBUTE_BYTES, MAX_MESSAGE_BYTES, dead_letter_message


def rejected(data: bytes, *problems: Problem) -> Rejected:
    return Rejected(Message(data, "given", "run-1"), problems)


def size(message: PubsubMessage) -> int:
    attributes = sum(len(f"{name}{value}".encode()) for name, value in message.attributes.items())
    return len(message.data) + attributes


def test_a_dead_letter_is_the_message_and_its_first_error() -> None:
    """The bytes are as they came; where all errors are stands beside them."""
    problems = (Problem("titles", "is required"), Problem("agent", "is required"))
    message = dead_letter_message((rejected(b"\xfe{", *problems), "gs://b/dead-letters/run-1.json"))
    assert message.data == b"\xfe{"
    assert message.attributes == {
        "dead_letter": "gs://b/dead-letters/run-1.json",
        "error": "titles: is required",
        "errors": "2",
        "run_id": "run-1",
    }


def test_a_dead_letter_can_always_be_published() -> None:
    """Long errors are cut between characters, and bytes that do not fit are left where they are."""
    problem = Problem("titles", "é" * MAX_ATTRIBUTE_BYTES)
    message = dead_letter_message((rejected(b"x" * MAX_MESSAGE_BYTES, problem), "u" * 2_000))
    assert message.data == b""
    assert all(len(value.encode()) <= MAX_ATTRIBUTE_BYTES for value in message.attributes.values())
    assert size(message) <= MAX_MESSAGE_BYTES
    largest = MAX_MESSAGE_BYTES - 16 * 1024
    message = dead_letter_message((rejected(b"x" * largest, problem), "u" * 2_000))
    assert len(message.data) == largest
    assert size(message) <= MAX_MESSAGE_BYTES


def test_the_end_of_a_batch_is_a_cloud_event() -> None:
    """Context attributes beside JSON data; of one run there is one id, however often it comes."""
    event = ended_event(batch_end(owner="josé@example.com"))
    assert event.attributes == {
        "ce-specversion": "1.0",
        "ce-id": "cafe.run-1",
        "ce-source": "/roteiro/batches",
        "ce-type": "roteiro.batch.ended.v1",
        "ce-subject": "cafe",
        "ce-time": "2026-01-01T12:00:00.000+00:00",
        "content-type": "application/json",
    }
    assert json.loads(event.data) == {
        "batch_id": "cafe",
        "owner": "josé@example.com",
        "status": "partial",
        "completed_items": 4,
        "failed_items": 2,
        "cancelled_items": 0,
        "manifest_uri": "out/manifest.json",
    }


def test_a_published_message_is_named_by_its_topic() -> None:
    """Delivered twice it is the same, id included; another message is another batch."""
    moment = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)

    def published(message_id: str) -> PubsubMessage:
        return PubsubMessage(b"{}", {}, message_id=message_id, publish_time=moment)

    first, again, other = (message_of(published(name)) for name in ("7", "7", "8"))
    assert first == again
    assert first.run_id == "7"
    assert first.batch_id.startswith("20260301-093000-")
    assert first.batch_id != other.batch_id
    assert not first.resume
