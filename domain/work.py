"""The elements: what flows from a batch request to a stored narration."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from domain import keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from domain.request import BatchRequest, Problem

Stage: TypeAlias = Literal["generate", "adapt", "narrate"]

CANCELLED: Final = "cancelled"
"""Code of a failure that nobody is to blame for: its batch was cancelled before the call."""
SUBMISSION: Final = "submission"
"""Attribute of a published request: new each time somebody submits it, the same where that one
submission is sent again."""


@dataclass(frozen=True, slots=True)
class Message:
    """A batch request as it arrived.

    Attributes:
        data: the encoded request.
        batch_id: for a request that names none itself.
        run_id: names this delivery; the same message delivered twice has the same.
        resume: True where the sender means to finish an earlier run of the
            batch, False where a second copy is a mere duplicate.
    """

    data: bytes
    batch_id: str
    run_id: str
    resume: bool = False

    @classmethod
    def published(cls, data: bytes, message_id: str, published_at: datetime) -> Message:
        """One that came by a topic; delivered twice, it is the same message.

        Args:
            data: the encoded request.
            message_id: the topic's name for it.
            published_at: an aware time.
        """
        entropy = hashlib.sha256(message_id.encode()).hexdigest()
        return cls(data, keys.new_batch_id(published_at, entropy), message_id)


@dataclass(frozen=True, slots=True)
class Submission:
    """A message whose request is valid."""

    message: Message
    request: BatchRequest

    @property
    def batch_id(self) -> str:
        """The client's id, or the one that its message was given."""
        return self.request.batch_id or self.message.batch_id


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that will not be worked on: its original bytes and every reason."""

    message: Message
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """A request that the status store knows of; its id is settled.

    Attributes:
        done: job_id → names of the items that an earlier run has finished.
    """

    batch_id: str
    run_id: str
    request: BatchRequest
    done: dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Job:
    """A title's place in its batch; carried by every element made of it.

    The batch's agent is not: see services.agents.

    Attributes:
        position: of the title in its batch, from 1.
        items: narrations of this job in all.
        jobs: jobs of this batch in all.
    """

    batch_id: str
    run_id: str
    job_id: str
    position: int
    items: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Item:
    """One narration to be made: a job's title in one variation and language.

    Attributes:
        variation: from 1.
        index: of this item in its job, from 0.
    """

    job: Job
    variation: int
    language: str
    index: int

    @property
    def name(self) -> str:
        """`v2.pt-BR`: the item's field in its job's document and its file's ending."""
        return item_name(self.variation, self.language)


def item_name(variation: int, language: str) -> str:
    """(2, "pt-BR") → `v2.pt-BR`."""
    return f"v{variation}.{language}"


@dataclass(frozen=True, slots=True)
class ScriptTask:
    """A script to be written: one title × variation.

    Attributes:
        missing: index in the job and language of each narration that waits for it.
    """

    job: Job
    variation: int
    title: str
    missing: tuple[tuple[int, str], ...]

    def items(self) -> Iterator[Item]:
        """The narrations that wait for this script."""
        for index, language in self.missing:
            yield Item(self.job, self.variation, language, index)


@dataclass(frozen=True, slots=True)
class GeneratedScript:
    """A script in the agent's master language, for every language of its task."""

    task: ScriptTask
    text: str
    writer: str

    def scripts(self) -> Iterator[Script]:
        """One for each language; the text is still the master's."""
        for item in self.task.items():
            yield Script(item, self.task.title, self.text, self.writer)


@dataclass(frozen=True, slots=True)
class Script:
    """What one narration says; in the master language until it is adapted."""

    item: Item
    title: str
    text: str
    writer: str

    def with_text(self, text: str, writer: str) -> Script:
        """The same narration in other words."""
        return replace(self, text=text, writer=writer)


@dataclass(frozen=True, slots=True)
class Narration:
    """An MP3 that is stored; a reference to it, never its bytes.

    Attributes:
        audio_uri: where the MP3 is; script_uri: the words beside it.
        sha256: of the MP3's bytes, hexadecimal.
        audio_bytes: size of the MP3.
        audio_seconds: its duration, measured from the frames.
        characters: sent to the voice.
        writer: model that wrote the words; voice: that spoke them.
    """

    item: Item
    audio_uri: str
    script_uri: str
    sha256: str
    audio_bytes: int
    audio_seconds: float
    characters: int
    aspect: str
    writer: str
    voice: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A narration that will not be made in this run, and why.

    Attributes:
        stage: the step that gave up.
        code: stable, for programs; CANCELLED where the call was never made.
        message: for people.
        attempts: calls made.
    """

    item: Item
    stage: Stage
    code: str
    message: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Tick:
    """No more than a moment's notice: the step before is waiting for a slow call.

    Steps answer it by emitting what they have finished, and pass it on. It
    never leaves its bundle.
    """


Outcome: TypeAlias = Narration | Failure
Progress: TypeAlias = GeneratedScript | Script | Outcome
"""What is worth recording of an item, at any stage."""


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """A batch came to an end; the numbers are of its items.

    Attributes:
        run_id: of the delivery that ended it.
        completed_at: ISO 8601, UTC.
    """

    batch_id: str
    run_id: str
    owner: str
    status: str
    completed: int
    failed: int
    cancelled: int
    completed_at: str
    manifest_uri: str
