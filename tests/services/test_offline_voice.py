"""The offline voice: real speech, the same every time."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import miniaudio
import pytest

from domain.audio import duration
from services.errors import Refused
from services.ports import Utterance, Voice
from services.voices.offline import OfflineVoice

SENTENCE = "O café chegou ao Brasil em 1727, pelas mãos de Francisco de Melo Palheta. "


def speak(text: str, language: str = "pt-BR", voice: str = "", rate: float = 1.0) -> bytes:
    return OfflineVoice().speak(Utterance(text, language, voice, rate)).audio


def test_it_speaks_audibly() -> None:
    """A sentence becomes several seconds of mono MP3 that is not silence."""
    played = miniaudio.mp3_read_s16(speak(SENTENCE))
    assert (played.sample_rate, played.nchannels) == (22_050, 1)
    assert 3 < played.duration < 10
    assert max(played.samples) > 8000


def test_it_is_a_voice() -> None:
    """It offers what the port asks for, and travels to a worker."""
    voice: Voice = OfflineVoice()
    copy = pickle.loads(pickle.dumps(voice))  # noqa: S301 - its own bytes
    assert (copy.max_bytes, copy.max_sentence) == (5000, 300)
    assert copy.speak(Utterance("Olá.", "pt-BR")) == voice.speak(Utterance("Olá.", "pt-BR"))


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        *(("pt-BR", "pt-br"), ("pt-PT", "pt"), ("en-US", "en-us"), ("en-AU", "en-gb")),
        *(("es-ES", "es"), ("es-MX", "es-419"), ("es-AR", "es-419"), ("es", "es")),
        *(("fr-FR", "fr-fr"), ("fr-CA", "fr-fr"), ("de-DE", "de"), ("de", "de"), ("it-IT", "it")),
        *(("zh-CN", "cmn"), ("ja-JP", "ja"), ("nb-NO", "nb"), ("ar-EG", "ar"), ("hi-IN", "hi")),
    ],
)
def test_languages_have_their_voice(language: str, voice: str) -> None:
    """The nearest of eSpeak NG's voices speaks, and says who it is."""
    speech = OfflineVoice().speak(Utterance("1, 2, 3", language))
    assert speech.voice == f"espeak-ng:{voice}"
    assert duration(speech.audio) > 0.5


def test_another_vendors_voice_is_passed_over() -> None:
    """A Google voice's name changes nothing; eSpeak NG's own names do."""
    plain = speak("Bom dia.")
    assert speak("Bom dia.", voice="pt-BR-Chirp3-HD-Aoede") == plain
    named = OfflineVoice().speak(Utterance("Bom dia.", "pt-BR", "espeak-ng:pt"))
    assert named.voice == "espeak-ng:pt"
    assert named.audio != plain


@pytest.mark.parametrize(
    ("utterance", "code"),
    [
        (Utterance("Olá", "tlh"), "unsupported_language"),
        (Utterance("Olá", "not a tag"), "unsupported_language"),
        (Utterance("Olá", "xex"), "unsupported_language"),
        (Utterance("Olá", "pt-BR", "espeak-ng:../../etc/passwd"), "unsupported_voice"),
        (Utterance("Olá", "pt-BR", "espeak-ng:"), "unsupported_voice"),
        (Utterance("", "pt-BR"), "empty_text"),
        (Utterance(" …!? \n", "pt-BR"), "empty_text"),
        (Utterance("á" * 2501, "pt-BR"), "invalid_argument"),
    ],
)
def test_what_cannot_be_spoken_is_refused(utterance: Utterance, code: str) -> None:
    """An unknown language or voice, an empty or over-long text is refused by its code."""
    with pytest.raises(Refused) as refusal:
        OfflineVoice().speak(utterance)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("text", "language"),
    [("Olá, mundo!", "pt-BR"), ("Hej världen", "sv"), ("تاريخ القهوة", "ar"), ("Hello!", "en-US")],
)
def test_what_was_said_before_changes_nothing(text: str, language: str) -> None:
    """The same utterance gives the same bytes after others of any language and pace.

    Swedish and Arabic creak, and so are the ones to give away leftover state.
    """
    first = speak(text, language)
    others = (
        ("Rødgrød med fløde.", "da", 1.0),
        ("AAAH! WOW!", "en-US", 0.3),
        ("Hej", "sv", 2.0),
        ("قهوة", "ar", 1.0),
    )
    for other, tongue, rate in others:
        speak(other, tongue, rate=rate)
        assert speak(text, language) == first


def test_threads_do_not_mix_their_words() -> None:
    """Many threads at once get what each would get alone."""
    texts = [f"Esta é a frase número {n}." for n in range(8)]
    alone = [speak(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(speak, texts * 2)) == alone * 2


def test_the_rate_changes_the_pace() -> None:
    """Twice the rate is markedly shorter, half is longer, and the bounds hold."""
    usual = duration(speak(SENTENCE))
    assert duration(speak(SENTENCE, rate=2.0)) < 0.7 * usual
    assert duration(speak(SENTENCE, rate=0.5)) > 1.5 * usual
    assert speak("Olá.", rate=0.01) == speak("Olá.", rate=0.3)


def test_a_full_chunk_is_spoken_to_its_end() -> None:
    """Five thousand bytes make minutes of speech, as long as their sentences one by one."""
    text = (SENTENCE * (5000 // len(SENTENCE.encode()))).strip()
    sentences = text.count(".")
    one = duration(speak(SENTENCE))
    assert len(text.encode()) > 4900
    assert duration(speak(text)) == pytest.approx(sentences * one, rel=0.1)


def test_control_characters_are_no_commands() -> None:
    """Neither a NUL nor eSpeak NG's embedded commands cut the text short or change the voice."""
    assert speak("Um\0dois \x01+50S três\ud800.") == speak(
        "Um dois +50S três.".replace(" +", "  +")
    )
