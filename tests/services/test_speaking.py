"""A whole script becomes one piece of audio."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field

import pytest

from domain.audio import duration
from services.errors import Overloaded, Refused, Unavailable
from services.ports import Speech, Utterance
from services.speaking import narrate
from services.voices.offline import OfflineVoice

FRAME = b"\xff\xf3\x60\xc4".ljust(156, b"\0")
"""Silence: MPEG 2, 48 kbit/s, 22,050 Hz, mono, 576 samples."""


@dataclass
class FakeVoice:
    """Answers each utterance with one frame a word; remembers what it was asked.

    Attributes:
        answers: given instead, in order, where there are any.
    """

    max_bytes: int = 60
    max_sentence: int = 30
    answers: list[bytes] = field(default_factory=list)
    asked: list[Utterance] = field(default_factory=list)

    def speak(self, utterance: Utterance) -> Speech:
        """One frame a word, or the next of the answers."""
        self.asked.append(utterance)
        audio = FRAME * len(utterance.text.split())
        return Speech(self.answers.pop(0) if self.answers else audio, "fake")


def test_a_script_is_spoken_from_its_first_word_to_its_last() -> None:
    """The cleaned text goes out in order, within the voice's limits, and comes back as one."""
    voice = FakeVoice()
    script = "# Café\n\n[música] **Um** dois três. " + "quatro cinco, " * 10 + "fim."
    narrated = narrate(voice, script, language="pt-BR", voice_name="x", rate=1.2)
    said = " ".join(utterance.text for utterance in voice.asked)
    assert said.replace(".", "").replace(",", "").split() == (
        ["Um", "dois", "três", *["quatro", "cinco"] * 10, "fim"]
    )
    assert len(voice.asked) > 1
    assert all(len(utterance.text.encode()) <= 60 for utterance in voice.asked)
    assert {(u.language, u.voice, u.rate) for u in voice.asked} == {("pt-BR", "x", 1.2)}
    assert narrated.audio == FRAME * 24
    assert narrated.seconds == pytest.approx(24 * 576 / 22_050)
    assert narrated.characters == sum(len(utterance.text) for utterance in voice.asked)
    assert narrated.voice == "fake"


@pytest.mark.parametrize("script", ["", "# Só título", "[música]\n\n(pausa) 🎵"])
def test_a_script_without_words_is_refused(script: str) -> None:
    """Where nothing is left to say, no voice is asked."""
    voice = FakeVoice()
    with pytest.raises(Refused) as refusal:
        narrate(voice, script, language="pt-BR")
    assert refusal.value.code == "empty_text"
    assert not voice.asked


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", FRAME[:-1], b"\xff\xf3\x64\xc4".ljust(144, b"\0")]
)
def test_a_corrupt_answer_is_worth_another_try(answer: bytes) -> None:
    """An answer that is no whole MP3, or does not fit the others, is never joined."""
    voice = FakeVoice(answers=[FRAME, answer])
    with pytest.raises(Unavailable) as failure:
        narrate(voice, "Uma frase que é longa assim. " * 4, language="pt-BR")
    assert failure.value.code == "corrupt_audio"


def test_the_voices_own_errors_come_through() -> None:
    """What the voice raises is the caller's to handle."""

    class Busy(FakeVoice):
        def speak(self, utterance: Utterance) -> Speech:
            raise Overloaded(f"not now: {utterance.text}", retry_after=3)

    with pytest.raises(Overloaded, match="not now: Olá"):
        narrate(Busy(), "Olá", language="pt-BR")


def frames_of(audio: bytes) -> list[bytes]:
    """The frames, each of which is of the length of FRAME."""
    return [audio[start : start + len(FRAME)] for start in range(0, len(audio), len(FRAME))]


class Crowd:
    """A voice whose calls are answered when so many are under way, the last begun first.

    Each answer is one frame that holds the number in its text.

    Args:
        together: calls that wait for each other.
        failing: numbers whose call fails with a code that holds the number.
    """

    max_bytes, max_sentence = 20, 20

    def __init__(self, together: int, failing: frozenset[int] = frozenset()) -> None:
        self.asked: list[int] = []
        self._failing = failing
        self._together = threading.Barrier(together, timeout=60)
        self._answered: dict[int, threading.Event] = defaultdict(threading.Event)
        self._size = together

    def speak(self, utterance: Utterance) -> Speech:
        """Wait for the others, and then for the one that was begun after this one."""
        number = int(utterance.text.strip("."))
        self.asked.append(number)
        self._together.wait()
        if (number + 1) % self._size:
            assert self._answered[number + 1].wait(60)
        self._answered[number].set()
        if number in self._failing:
            raise Refused("no", code=f"no_{number}")
        return Speech(FRAME[:-1] + bytes([number]), "crowd")


NUMBERS = [f"{number:018}." for number in range(8)]


def test_chunks_are_spoken_side_by_side_and_joined_in_order() -> None:
    """Four calls are under way at once; whichever is answered first, the order is the script's."""
    before = threading.active_count()
    narrated = narrate(Crowd(4), " ".join(NUMBERS), language="pt-BR", concurrency=4)
    assert [frame[-1] for frame in frames_of(narrated.audio)] == list(range(8))
    assert threading.active_count() == before


@pytest.mark.parametrize("failing", [{1}, {1, 2, 3}, {1, 3}])
def test_the_first_failure_in_order_ends_a_script(failing: set[int]) -> None:
    """Later chunks fail earlier here; the error is the first one's, once all calls have ended."""
    before = threading.active_count()
    voice = Crowd(4, frozenset(failing))
    with pytest.raises(Refused) as refusal:
        narrate(voice, " ".join(NUMBERS[:4]), language="pt-BR", concurrency=4)
    assert refusal.value.code == "no_1"
    assert threading.active_count() == before


def test_nothing_is_begun_after_a_failure() -> None:
    """Of eight chunks, four at once, the four that fail are the only ones asked for."""
    voice = Crowd(4, frozenset(range(4)))
    with pytest.raises(Refused) as refusal:
        narrate(voice, " ".join(NUMBERS), language="pt-BR", concurrency=4)
    assert refusal.value.code == "no_0"
    assert sorted(voice.asked) == [0, 1, 2, 3]


def test_a_single_chunk_is_spoken_where_it_was_asked_for() -> None:
    """No thread is begun for a script that one call can say."""
    spoken_in: list[threading.Thread] = []

    class Here(FakeVoice):
        def speak(self, utterance: Utterance) -> Speech:
            spoken_in.append(threading.current_thread())
            return super().speak(utterance)

    narrate(Here(), "Olá, mundo.", language="pt-BR", concurrency=8)
    assert spoken_in == [threading.current_thread()]


def test_the_offline_voice_narrates_a_script() -> None:
    """Two chunks of real speech are one MP3 of the length that was measured."""
    script = "**Narrador:** O café chegou ao Brasil em 1727, e ficou.\n\n" * 100
    narrated = narrate(OfflineVoice(), script, language="pt-BR", rate=2.0)
    assert narrated.voice == "espeak-ng:pt-br"
    assert narrated.characters > 4000
    assert duration(narrated.audio) == narrated.seconds > 100
