"""Fake vendors: implementations of the ports whose answers a test decides; all of them pickle."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import lameenc

from services.ports import Completion, Speech
from services.statuses.coalescing import CoalescingStatusStore
from services.statuses.sqlite import SqliteStatusStore

if TYPE_CHECKING:
    from pathlib import Path

    from domain.prompts import Prompt
    from services.ports import Utterance


@dataclass
class FakeWriter:
    """A TextModel that says what it was asked for.

    Attributes:
        errors: raised instead, by title or by (title, language).
        log: a file that gets a line for each call, because a DoFn is a copy.
    """

    errors: dict[str | tuple[str, str], Exception] = field(default_factory=dict)
    log: Path | None = None

    def __call__(self) -> FakeWriter:
        """Its own factory."""
        return self

    def complete(self, prompt: Prompt) -> Completion:
        """Say title and language."""
        if self.log:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{prompt.task} {prompt.title} {prompt.language}\n")
        for key in (prompt.title, (prompt.title, prompt.language)):
            if key in self.errors:
                raise self.errors[key]
        return Completion(f"{prompt.title} ({prompt.language}).", "fake-writer")


@dataclass
class FakeVoice:
    """A Voice that answers half a second of silence.

    Attributes:
        errors: raised instead, by language.
    """

    errors: dict[str, Exception] = field(default_factory=dict)
    max_bytes: int = 5000
    max_sentence: int = 300

    def __call__(self) -> FakeVoice:
        """Its own factory."""
        return self

    def speak(self, utterance: Utterance) -> Speech:
        """Silence, whatever the text."""
        if error := self.errors.get(utterance.language):
            raise error
        return Speech(silence(), "fake-voice")


@cache
def silence() -> bytes:
    """Half a second of MP3."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(22_050)
    encoder.set_bit_rate(32)
    return bytes(encoder.encode(bytes(22_050)) + encoder.flush())


def sqlite(path: Path) -> CoalescingStatusStore:
    """The store that a local run has."""
    return CoalescingStatusStore(SqliteStatusStore(path))
