"""Dead letters: messages that will not be worked on, kept with every reason."""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, TypeAlias

import apache_beam as beam
from apache_beam.io import PubsubMessage
from apache_beam.io.gcp.pubsub import WriteToPubSub
from apache_beam.pvalue import PCollection

from domain.work import Rejected
from services.logs import logger
from services.ports import ArtifactStore

MAX_MESSAGE_BYTES: Final = 10_000_000
"""Of a published message, attributes included; https://cloud.google.com/pubsub/quotas"""
MAX_ATTRIBUTE_BYTES: Final = 1024
"""Of one attribute's value; the same source."""
ROOM_FOR_ATTRIBUTES: Final = 16 * 1024

DeadLetter: TypeAlias = tuple[Rejected, str]
"""What was rejected, and the uri of its dead letter."""

log = logger()


def dead_letter(rejected: Rejected) -> bytes:
    """The stored form: the original bytes in base64, readable text where it is any, all errors."""
    data = rejected.message.data
    document = {
        "run_id": rejected.message.run_id,
        "errors": [asdict(problem) for problem in rejected.problems],
        "text": data.decode("utf-8", errors="replace"),
        "data_base64": base64.b64encode(data).decode("ascii"),
    }
    return json.dumps(document, ensure_ascii=False, indent=2).encode()


def dead_letter_message(kept: DeadLetter) -> PubsubMessage:
    """The published form: the original bytes, and what tells why as attributes.

    Attributes: `dead_letter`, the uri where every error is; `errors`, how many
    there are; `error`, the first of them. Bytes that would not fit beside the
    attributes are left out; they are in the dead letter.
    """
    rejected, uri = kept
    first = str(rejected.problems[0]) if rejected.problems else ""
    attributes = {
        "dead_letter": _cut(uri),
        "errors": str(len(rejected.problems)),
        "error": _cut(first),
        "run_id": _cut(rejected.message.run_id),
    }
    data = rejected.message.data
    fits = len(data) <= MAX_MESSAGE_BYTES - ROOM_FOR_ATTRIBUTES
    return PubsubMessage(data if fits else b"", attributes)


def _cut(text: str) -> str:
    return text.encode()[:MAX_ATTRIBUTE_BYTES].decode(errors="ignore")


class KeepRejected(beam.PTransform[Any, Any]):
    """Stores dead letters below `dead-letters/`, named after their delivery, and publishes them.

    Input:   Rejected
    Output:  DeadLetter  once it is stored.

    Args:
        artifacts: makes the ArtifactStore.
        topic: where they are published too; empty for nowhere.
    """

    def __init__(self, artifacts: Callable[[], ArtifactStore], topic: str = "") -> None:
        super().__init__()
        self._artifacts = artifacts
        self._topic = topic

    def expand(self, rejected: PCollection[Rejected]) -> Any:
        kept = rejected | "Store" >> beam.ParDo(KeepDeadLetter(self._artifacts))
        if self._topic:
            _ = (
                kept
                | "Encode" >> beam.Map(dead_letter_message).with_output_types(PubsubMessage)
                | "Publish" >> WriteToPubSub(self._topic, with_attributes=True)
            )
        return kept


class KeepDeadLetter(beam.DoFn):
    """Stores one; the same delivery again is the same file."""

    def __init__(self, artifacts: Callable[[], ArtifactStore]) -> None:
        self._connect = artifacts

    def setup(self) -> None:
        self._artifacts = self._connect()

    def process(self, rejected: Rejected) -> list[DeadLetter]:
        name = rejected.message.run_id
        uri = self._artifacts.write(f"dead-letters/{name}.json", dead_letter(rejected))
        log.warning("message rejected", uri=uri, problems=[str(p) for p in rejected.problems])
        return [(rejected, uri)]
