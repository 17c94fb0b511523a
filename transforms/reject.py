"""Dead letters: messages that will not be worked on, kept with every reason."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import apache_beam as beam
from apache_beam.io import PubsubMessage
from apache_beam.io.gcp.pubsub import WriteToPubSub
from apache_beam.pvalue import PCollection

from domain.letters import DeadLetter, letter_path
from domain.work import Rejected
from services.logs import logger
from services.ports import ArtifactStore

MAX_MESSAGE_BYTES: Final = 10_000_000
"""Of a published message, attributes included; https://cloud.google.com/pubsub/quotas"""
MAX_ATTRIBUTE_BYTES: Final = 1024
"""Of one attribute's value; the same source."""
ROOM_FOR_ATTRIBUTES: Final = 16 * 1024

Kept: TypeAlias = tuple[Rejected, str]
"""What was rejected, and the uri of its dead letter."""

log = logger()


def _now() -> datetime:
    return datetime.now(UTC)


def dead_letter_message(kept: Kept) -> PubsubMessage:
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
    Output:  Kept  once it is stored.

    Args:
        artifacts: makes the ArtifactStore.
        topic: where they are published too; empty for nowhere.
        clock: tells the time, aware.
    """

    def __init__(
        self,
        artifacts: Callable[[], ArtifactStore],
        topic: str = "",
        clock: Callable[[], datetime] = _now,
    ) -> None:
        super().__init__()
        self._dofn = KeepDeadLetter(artifacts, clock)
        self._topic = topic

    def expand(self, rejected: PCollection[Rejected]) -> Any:
        kept = rejected | "Store" >> beam.ParDo(self._dofn)
        if self._topic:
            _ = (
                kept
                | "Encode" >> beam.Map(dead_letter_message).with_output_types(PubsubMessage)
                | "Publish" >> WriteToPubSub(self._topic, with_attributes=True)
            )
        return kept


class KeepDeadLetter(beam.DoFn):
    """Stores one; the same delivery again is the same file."""

    def __init__(
        self, artifacts: Callable[[], ArtifactStore], clock: Callable[[], datetime] = _now
    ) -> None:
        self._connect = artifacts
        self._clock = clock

    def setup(self) -> None:
        self._artifacts = self._connect()

    def process(self, rejected: Rejected) -> list[Kept]:
        letter = DeadLetter.of(rejected, self._clock())
        uri = self._artifacts.write(letter_path(letter.run_id), letter.encoded())
        log.warning("message rejected", uri=uri, problems=[str(p) for p in rejected.problems])
        return [(rejected, uri)]
