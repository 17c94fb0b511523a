"""What every voice must do, over each of them."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import miniaudio
import pytest

from domain.audio import duration
from services.errors import Refused
from services.ports import Utterance, Voice
from services.speaking import narrate
from services.voices.google import GoogleVoice
from services.voices.offline import OfflineVoice
from tests.simulators.speech import SpeechSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

SENTENCE = "O café chegou ao Brasil em 1727, pelas mãos de Francisco de Melo Palheta. "


@pytest.fixture(scope="module", params=["offline", "google"])
def voice(request: pytest.FixtureRequest) -> Iterator[Voice]:
    """Each voice; Google's speaks to a simulator that answers real speech."""
    if request.param == "offline":
        yield OfflineVoice()
        return
    with SpeechSimulator(speech=True) as simulator:
        google = GoogleVoice(simulator.endpoint)
        yield google
        google.close()


def test_it_speaks_and_says_who_spoke(voice: Voice) -> None:
    """An utterance becomes an MP3 that a player can decode, and is heard."""
    speech = voice.speak(Utterance(SENTENCE, "pt-BR"))
    played = miniaudio.mp3_read_s16(speech.audio)
    assert 3 < played.duration < 10
    assert max(played.samples) > 8000
    assert speech.voice


def test_it_travels_to_a_worker(voice: Voice) -> None:
    """A copy that was pickled says the same, also of a voice that has spoken before."""
    said = voice.speak(Utterance("Olá.", "pt-BR"))
    copy = pickle.loads(pickle.dumps(voice))  # noqa: S301 - its own bytes
    assert copy.speak(Utterance("Olá.", "pt-BR")) == said


def test_it_takes_what_its_limits_allow(voice: Voice) -> None:
    """As many bytes as it says in one call, in sentences as long as it says."""
    longest = ("palavra " * voice.max_sentence)[: voice.max_sentence - 2].strip() + "."
    full = " ".join([longest] * (voice.max_bytes // (len(longest) + 1)))
    assert voice.max_bytes - voice.max_sentence < len(full.encode()) <= voice.max_bytes
    assert duration(voice.speak(Utterance(full, "pt-BR", rate=2.0)).audio) > 60


@pytest.mark.parametrize(
    ("text", "language"), [("", "pt-BR"), ("á" * 2501, "pt-BR"), ("Olá", "tlh")]
)
def test_what_cannot_be_spoken_is_refused(voice: Voice, text: str, language: str) -> None:
    """No text, too much of it or a language that is not spoken will never succeed."""
    with pytest.raises(Refused):
        voice.speak(Utterance(text, language))


@pytest.mark.parametrize("name", ["en-US-Chirp3-HD-Aoede", "espeak-tts/x", "Aoede"])
def test_a_voice_of_another_language_or_vendor_is_passed_over(voice: Voice, name: str) -> None:
    """The language decides, where the name means nothing for it."""
    plain = voice.speak(Utterance("Bom dia.", "pt-BR"))
    assert voice.speak(Utterance("Bom dia.", "pt-BR", name)) == plain


def test_the_rate_changes_the_pace(voice: Voice) -> None:
    """Twice the rate is markedly shorter."""
    usual = voice.speak(Utterance(SENTENCE, "pt-BR"))
    fast = voice.speak(Utterance(SENTENCE, "pt-BR", rate=2.0))
    assert duration(fast.audio) < 0.7 * duration(usual.audio)


def test_threads_do_not_mix_their_words(voice: Voice) -> None:
    """Many threads at once get what each would get alone."""
    asked = [Utterance(f"Esta é a frase número {n}.", "pt-BR") for n in range(8)]
    alone = [voice.speak(utterance) for utterance in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(voice.speak, asked * 2)) == alone * 2


def test_it_narrates_a_script_of_several_chunks(voice: Voice) -> None:
    """Chunks spoken side by side are joined in order, as if they had been spoken in turn."""
    script = "".join(f"Frase {n}: o café, e ficou.\n\n" for n in range(300))
    in_turn = narrate(voice, script, language="pt-BR", rate=2.0)
    at_once = narrate(voice, script, language="pt-BR", rate=2.0, concurrency=3)
    assert in_turn.characters > voice.max_bytes
    assert at_once == in_turn
