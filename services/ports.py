"""Ports: what the steps need of the services, whoever the vendor is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from domain.prompts import Prompt
    from domain.request import BatchRequest
    from domain.status import BatchDoc, JobDoc, Patch, Status


@dataclass(frozen=True, slots=True)
class Completion:
    """A text model's answer, with what it cost in tokens (0 where nothing is counted).

    Attributes:
        cached: it was paid for before; its tokens are not to be counted again.
    """

    text: str
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cached: bool = False


class TextModel(Protocol):
    """Writes and adapts scripts. Safe to call from many threads at once."""

    def complete(self, prompt: Prompt) -> Completion:
        """One call; the same prompt may be asked for again.

        Raises:
            ServiceError: the only errors that a caller has to know.
        """
        ...


@dataclass(frozen=True, slots=True)
class Utterance:
    """One request to a voice: a chunk of text within the voice's limits.

    Attributes:
        text: plain text, already cleaned for speech.
        language: BCP-47 tag.
        voice: the voice's name; empty for the language's default.
        rate: 1.0 is the voice's own pace.
    """

    text: str
    language: str
    voice: str = ""
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Speech:
    """A voice's answer: MP3 bytes, and the name of the voice that spoke.

    Attributes:
        cached: it was paid for before.
    """

    audio: bytes
    voice: str
    cached: bool = False


class Voice(Protocol):
    """Speaks text. Safe to call from many threads at once.

    Attributes:
        max_bytes: UTF-8 bytes of one utterance.
        max_sentence: characters of one sentence.
    """

    max_bytes: int
    max_sentence: int

    def speak(self, utterance: Utterance) -> Speech:
        """One call; the same utterance may be asked for again.

        Raises:
            ServiceError: the only errors that a caller has to know.
        """
        ...


class ArtifactStore(Protocol):
    """Files below one root, a folder or a bucket's prefix. Safe for many threads."""

    def check(self) -> None:
        """Ask early, before anything is paid for, whether files can be written.

        Raises:
            ServiceError: where they cannot, saying what is to be done.
        """
        ...

    def uri(self, path: str) -> str:
        """Where a path below the root is, as other programs name it."""
        ...

    def create(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Write a file; under its name there is all of it or what was there before.

        Raises:
            ServiceError: where the store cannot be written.
        """
        ...

    def write(self, path: str, data: bytes) -> str:
        """The same for bytes at hand; returns the uri."""
        ...

    def create_only(self, path: str, data: bytes) -> bool:
        """Write a file where there is none; of several at once, one does.

        Returns:
            False where one is there already, be it by an earlier try of this
            very call; it is left as it is.

        Raises:
            ServiceError: where the store cannot be written.
        """
        ...

    def open(self, uri: str) -> IO[bytes]:
        """Read what a uri names.

        Raises:
            Refused: code `not_found`.
            ServiceError: where the store cannot be read.
        """
        ...

    def existing(self, folder: str) -> Mapping[str, int]:
        """All files below a folder, uri → size in bytes; none where there is no such folder."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as a subscription hands it over.

    Attributes:
        message_id: the topic's name for it; the same when it is delivered again.
        published_at: an aware time.
        receipt: what acknowledges it.
    """

    data: bytes
    message_id: str
    published_at: datetime
    receipt: str = field(repr=False)


class Topic(Protocol):
    """Where messages are published, encoded requests among them. Safe to call from many threads at once."""

    def check(self) -> None:
        """Whether it is there.

        Raises:
            ServiceError: naming the topic and what to do.
        """
        ...

    def publish(self, data: bytes, attributes: Mapping[str, str]) -> str:
        """Publish one message; returns its id once the topic has it.

        Raises:
            ServiceError: naming the topic and what to do.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Subscription(Protocol):
    """Where messages are taken from. Safe to call from many threads at once.

    A message that is not acknowledged comes again.
    """

    def check(self) -> None:
        """Whether it is there.

        Raises:
            ServiceError: naming the subscription and what to do.
        """
        ...

    def receive(self, most: int) -> list[Delivery]:
        """Wait a while for messages; none where none came.

        Raises:
            ServiceError: naming the subscription and what to do.
        """
        ...

    def acknowledge(self, delivery: Delivery) -> None:
        """Take a message off the subscription.

        Raises:
            ServiceError: where that is not sure; it may come again.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not as it should be.

    Attributes:
        what: a property, such as `ack deadline`.
        remedy: what its owner can do where `make` leaves it alone, because
            mending it could lose something; empty where `make` mends it.
    """

    what: str
    wanted: str
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """How a resource was found.

    Attributes:
        differences: of one that is there.
        notes: what is worth telling and no fault, such as what the server does
            not tell.
        applies: False where the server has no such thing, as an emulator.
    """

    there: bool
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    applies: bool = True


class Resource(Protocol):
    """Something that the services need to be there, and that is looked at or made.

    Attributes:
        kind: `topic`, `bucket`, …
        name: as its vendor writes it.
    """

    kind: str
    name: str

    def look(self) -> Finding:
        """How it is; nothing is changed.

        Raises:
            ServiceError: where that cannot be found out, with what to do.
        """
        ...

    def make(self, found: Finding) -> list[str]:
        """Make what is missing and mend what differs, as far as nothing can be lost by it.

        Idempotent: made twice at once, it is there once.

        Returns:
            What was done, a line each.

        Raises:
            ServiceError: where that cannot be done, with what to do.
        """
        ...


Verdict: TypeAlias = Literal["accepted", "duplicate", "conflict"]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a status store says to a request.

    Attributes:
        verdict: "accepted" to be worked on, "duplicate" where it already is or
            was, "conflict" where the id is another request's.
        content_hash: of the request that is stored under this id.
    """

    verdict: Verdict
    content_hash: str


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """Which batches to list, newest first.

    Attributes:
        owner: the whole name; status: exactly.
        text: part of the id or of a title, whatever the case and accents.
        before: list those older than this batch, for the next page.
    """

    owner: str = ""
    status: Status | None = None
    text: str = ""
    before: str = ""
    limit: int = 20


class StatusStore(Protocol):
    """Batches and their jobs as JSON documents. Safe for many threads and processes.

    A batch goes queued → running → completed | partial | failed | cancelled,
    from queued to cancelled where nobody took it up, and from any end back to
    running when a later run takes it up. Every merge
    is idempotent; merges of different fields commute.
    """

    def accept(
        self, batch_id: str, request: BatchRequest, *, run_id: str, resume: bool
    ) -> Acceptance:
        """Make sure that the batch and its jobs exist, and say whose turn it is.

        From nothing or `queued` to `running`. The same run_id again is
        accepted again: a delivery may be retried. Another run_id is accepted
        with `resume`, and a duplicate without. An empty run_id leaves the batch
        `queued`, for the next run to take up.

        Raises:
            ServiceError: where the store is away; nothing is then accepted.
        """
        ...

    def cancel(self, batch_id: str) -> None:
        """Ask a batch to stop; no other change of its status comes in between.

        From `queued` to `cancelled`, so that no run but one that resumes takes
        it up. A running one is asked to stop, see `cancel_requested`, and its
        run writes its end. One that has ended, or that is not there, is left
        alone; asking again changes nothing.

        Raises:
            ServiceError: where the store is away.
        """
        ...

    def merge_batch(self, batch_id: str, patch: Patch) -> None:
        """Merge fields into a batch's document."""
        ...

    def merge_jobs(self, batch_id: str, patches: Mapping[str, Patch]) -> None:
        """Merge fields into documents of its jobs, by job_id; unknown ones are left out."""
        ...

    def flush(self) -> None:
        """Return when all that was merged so far is stored."""
        ...

    def batch(self, batch_id: str) -> BatchDoc | None:
        """The document with its counts as of now; None where there is no such batch."""
        ...

    def cancel_requested(self, batch_id: str) -> bool:
        """Whether somebody wants this batch to stop; cheap enough to ask every second."""
        ...

    def job(self, batch_id: str, job_id: str) -> JobDoc | None:
        """One job's document."""
        ...

    def jobs(self, batch_id: str) -> Iterator[JobDoc]:
        """The jobs' documents in the titles' order, a page at a time."""
        ...

    def batches(self, query: BatchQuery) -> Iterator[BatchDoc]:
        """The batches asked for, newest first."""
        ...

    def close(self) -> None:
        """Flush and let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job of a service that runs pipelines.

    Attributes:
        job_id: the service's; name: ours, which a replacement takes over.
        state: `running`, `draining`, … in the service's words, in lower case.
        created: ISO 8601.
        steps: names of its steps; empty where the service has not told them.
    """

    job_id: str
    name: str
    state: str
    created: str
    region: str
    labels: Mapping[str, str]
    steps: frozenset[str] = frozenset()


class Jobs(Protocol):
    """Jobs of a service that runs pipelines, in one project and region."""

    def list(self, *, ended: bool) -> list[RunningJob]:
        """Streaming jobs, whoever's, newest first; those that have ended too, if asked.

        Raises:
            ServiceError: naming project and region, and what to do.
        """
        ...

    def get(self, job_id: str) -> RunningJob:
        """One job, its steps included.

        Raises:
            Refused: code `not_found`.
        """
        ...

    def drain(self, job_id: str) -> None:
        """Have it take nothing new, finish what it has begun, and end.

        From `running` to `draining` to `drained`; asked twice, it is the same.

        Raises:
            ServiceError: where the service does not accept it.
        """
        ...

    def cancel(self, job_id: str) -> None:
        """End it now; what it has begun is lost.

        Raises:
            ServiceError: where the service does not accept it.
        """
        ...
