"""Speaking: a whole script becomes one piece of audio, whoever the voice is."""

from __future__ import annotations

from dataclasses import dataclass

from domain.audio import AudioError, duration, join
from domain.text import chunks, spoken
from services.errors import Refused, Unavailable
from services.ports import Speech, Utterance, Voice


@dataclass(frozen=True, slots=True)
class Narrated:
    """A narration, untagged.

    Attributes:
        audio: MP3.
        seconds: how long it lasts, counted in its frames.
        characters: of text that was sent to the voice.
        voice: the name of the voice that spoke.
    """

    audio: bytes
    seconds: float
    characters: int
    voice: str


def narrate(
    voice: Voice, text: str, *, language: str, voice_name: str = "", rate: float = 1.0
) -> Narrated:
    """Speak a script from its first word to its last.

    Args:
        voice: says each chunk, within its own limits.
        text: as it was written, Markdown and stage directions included.
        language: BCP-47 tag.
        voice_name: empty for the language's default.
        rate: 1.0 is the voice's own pace.

    Raises:
        Refused: `empty_text` where nothing is left to say; or by the voice.
        Unavailable: `corrupt_audio` where an answer is not whole MP3 audio, or
            the answers do not fit together; or by the voice.
    """
    said = chunks(spoken(text), voice.max_bytes, voice.max_sentence)
    if not said:
        raise Refused("the text leaves nothing to say", code="empty_text")
    speeches: list[Speech] = [
        voice.speak(Utterance(chunk, language, voice_name, rate)) for chunk in said
    ]
    try:
        audio = join(speech.audio for speech in speeches)
        seconds = duration(audio)
    except AudioError as error:
        raise Unavailable(f"the voice's audio: {error}", code="corrupt_audio") from error
    return Narrated(audio, seconds, sum(map(len, said)), speeches[0].voice)
