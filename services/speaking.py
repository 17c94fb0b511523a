"""Speaking: a whole script becomes one piece of audio, whoever the voice is."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.audio import AudioError, duration, join
from domain.text import chunks, spoken
from services.errors import Refused, Unavailable
from services.ports import Speech, Utterance, Voice

if TYPE_CHECKING:
    from collections.abc import Iterable


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
    voice: Voice,
    text: str,
    *,
    language: str,
    voice_name: str = "",
    rate: float = 1.0,
    concurrency: int = 1,
) -> Narrated:
    """Speak a script from its first word to its last.

    After a chunk has failed no other is begun; those under way are waited for,
    and of several failures the first in the script's order is raised.

    Args:
        voice: says each chunk, within its own limits.
        text: as it was written, Markdown and stage directions included.
        language: BCP-47 tag.
        voice_name: empty for the language's default.
        rate: 1.0 is the voice's own pace.
        concurrency: chunks that are spoken at once.

    Raises:
        Refused: `empty_text` where nothing is left to say; or by the voice.
        Unavailable: `corrupt_audio` where an answer is not whole MP3 audio, or
            the answers do not fit together; or by the voice.
    """
    said = chunks(spoken(text), voice.max_bytes, voice.max_sentence)
    if not said:
        raise Refused("the text leaves nothing to say", code="empty_text")
    asked = [Utterance(chunk, language, voice_name, rate) for chunk in said]
    speeches = _Speaking(voice, asked).done_by(min(concurrency, len(asked)))
    try:
        audio = join(speech.audio for speech in speeches)
        seconds = duration(audio)
    except AudioError as error:
        raise Unavailable(f"the voice's audio: {error}", code="corrupt_audio") from error
    return Narrated(audio, seconds, sum(map(len, said)), speeches[0].voice)


class _Speaking:
    """One script's utterances on their way through a voice, begun in order."""

    def __init__(self, voice: Voice, utterances: Iterable[Utterance]) -> None:
        self._voice = voice
        self._waiting = enumerate(utterances)
        self._lock = threading.Lock()
        self._speeches: dict[int, Speech] = {}
        self._errors: dict[int, Exception] = {}

    def done_by(self, threads: int) -> list[Speech]:
        """The speeches in order; the calling thread is one of the threads, and the others end."""
        helpers = [
            threading.Thread(target=self._work, name="speaking", daemon=True)
            for _ in range(threads - 1)
        ]
        for helper in helpers:
            helper.start()
        self._work()
        for helper in helpers:
            helper.join()
        if self._errors:
            raise self._errors[min(self._errors)]
        return [self._speeches[position] for position in sorted(self._speeches)]

    def _work(self) -> None:
        """Say what is next until nothing is left or something has failed."""
        while True:
            with self._lock:
                following = None if self._errors else next(self._waiting, None)
            if following is None:
                return
            position, utterance = following
            try:
                self._speeches[position] = self._voice.speak(utterance)
            except Exception as error:  # noqa: BLE001 - carried to the thread that asked
                with self._lock:
                    self._errors[position] = error
