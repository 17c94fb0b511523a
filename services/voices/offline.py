"""The offline voice: eSpeak NG through its shared library, encoded by LAME. Real speech, no network."""

from __future__ import annotations

import ctypes
import functools
import threading
from dataclasses import dataclass
from typing import Any, Final

import espeakng_loader
import lameenc
import langcodes

from services.errors import Refused, Unavailable
from services.ports import Speech, Utterance

PREFIX: Final = "espeak-ng:"
WORDS_A_MINUTE: Final = 175
SLOWEST, FASTEST = 80, 450  # words a minute: the bounds eSpeak NG itself keeps to
BIT_RATE: Final = 48  # kbit/s: transparent for this voice at 22,050 Hz mono
QUALITY: Final = 7  # LAME's: twice as fast as 5, and 9 is no faster


class OfflineVoice:
    """Speaks with eSpeak NG: a stand-in that needs no key, no network, no system package.

    The same utterance gives the same bytes, whatever was said before. Synthesis
    is one at a time in a process, because eSpeak NG keeps its state in globals;
    encoding, the longer half, runs beside it. Instances hold nothing and pickle.

    An utterance's voice counts only where it names one of eSpeak NG's, such as
    `espeak-ng:en-gb`; any other name belongs to another vendor's voice and the
    utterance's language decides.
    """

    max_bytes = 5000
    max_sentence = 300

    def speak(self, utterance: Utterance) -> Speech:
        """Speech for one chunk.

        Raises:
            Refused: `empty_text` where nothing can be said, `invalid_argument`
                where the text is over `max_bytes`, `unsupported_language` or
                `unsupported_voice` where eSpeak NG has no such voice.
            Unavailable: where eSpeak NG cannot be started or breaks off.
        """
        text = _plain(utterance.text)
        if not any(character.isalnum() for character in text):
            raise Refused("there is nothing to say in the text", code="empty_text")
        size = len(text.encode())
        if size > self.max_bytes:
            raise Refused(f"the text holds {size:,} bytes; at most {self.max_bytes:,}")
        engine = _engine()
        voice = engine.voice_for(utterance)
        pace = min(max(round(WORDS_A_MINUTE * utterance.rate), SLOWEST), FASTEST)
        samples = engine.synthesize(text, voice, pace)
        return Speech(_encode(samples, engine.sample_rate), PREFIX + voice.name)


def _plain(text: str) -> str:
    """Without control characters: they would be eSpeak NG's embedded commands, or end the text."""
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return printable.encode(errors="ignore").decode()


def _encode(samples: bytes, sample_rate: int) -> bytes:
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(sample_rate)
    encoder.set_channels(1)
    encoder.set_bit_rate(BIT_RATE)
    encoder.set_quality(QUALITY)
    return bytes(encoder.encode(samples)) + bytes(encoder.flush())


@dataclass(frozen=True, slots=True)
class _EspeakVoice:
    """One of eSpeak NG's voices: its language tag, and the file that eSpeak NG knows it by."""

    name: str
    file: str


class _VoiceRecord(ctypes.Structure):
    """`espeak_VOICE` of speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),  # (priority byte, tag, NUL)…, NUL
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_COLLECT: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_SYNCHRONOUS: Final = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples to the callback, in the calling thread
_BUFFER: Final = (
    1000  # milliseconds of samples a callback; the default of 60 calls Python more often
)
_DONT_EXIT: Final = (
    0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data, do not end the process
)
_UTF8: Final = 1  # espeakCHARS_UTF8
_RATE: Final = 1  # espeakRATE

_VARIANT: Final = "+michel"
"""A tone without flutter: flutter is a wobble in pitch whose phase outlives an utterance."""

_PROBE: Final = "Hej världen", "gmq/sv", WORDS_A_MINUTE
"""Swedish accents show, and move on, the one other state that outlives an utterance."""
_PROBE_STATES: Final = 4

_UNFINISHED: Final = frozenset({"fo", "kaa", "xex"})
"""Languages that eSpeak NG 1.52 lists without the dictionary they would need."""


class _Engine:
    """eSpeak NG, which a process has once. Safe to call from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples = bytearray()
        self._out_of_memory = False
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            *(ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
            *(ctypes.c_void_p, ctypes.c_void_p),
        )
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate: int = self._library.espeak_Initialize(
            _SYNCHRONOUS, _BUFFER, data, _DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise Unavailable("eSpeak NG could not be started: its data is missing or damaged")
        self._callback = _COLLECT(self._collect)  # kept: eSpeak NG holds only its address
        self._library.espeak_SetSynthCallback(self._callback)
        self._voices = self._list_voices()
        self._rested = self._say(*_PROBE)

    def voice_for(self, utterance: Utterance) -> _EspeakVoice:
        """The voice that is asked for by name, or else the language's."""
        if utterance.voice.startswith(PREFIX):
            name = utterance.voice.removeprefix(PREFIX)
            if voice := self._voices.get(name.lower()):
                return voice
            raise Refused(f"eSpeak NG has no voice {name!r}", code="unsupported_voice")
        for tag in _tags(utterance.language):
            if voice := self._voices.get(tag):
                return voice
        message = f"eSpeak NG does not speak {utterance.language!r}"
        raise Refused(message, code="unsupported_language")

    def synthesize(self, text: str, voice: _EspeakVoice, pace: int) -> bytes:
        """16-bit mono samples of the text, at so many words a minute."""
        with self._lock:
            self._rest()
            return self._say(text, voice.file, pace)

    def _rest(self) -> None:
        """Bring the state that utterances leave behind to where it was at the start.

        A count of glottal cycles, modulo four, goes on from one utterance to the
        next and is heard in creaky vowels; so does the automatic gain. The probe
        settles the gain and moves the count on by an odd number; what it sounds
        like tells where the count was. It takes some two milliseconds.
        """
        for _ in range(_PROBE_STATES):
            if self._say(*_PROBE) == self._rested:
                return

    def _say(self, text: str, file: str, pace: int) -> bytes:
        self._samples.clear()
        self._out_of_memory = False
        if self._library.espeak_SetVoiceByName(f"{file}{_VARIANT}".encode()):
            raise Refused(f"eSpeak NG cannot load its voice {file}", code="unsupported_language")
        self._library.espeak_SetParameter(_RATE, pace, 0)
        encoded = text.encode() + b"\0"
        status = self._library.espeak_Synth(encoded, len(encoded), 0, 0, 0, _UTF8, None, None)
        if status or self._out_of_memory:
            raise Unavailable("eSpeak NG broke off while it was speaking")
        return bytes(self._samples)

    def _collect(self, wave: int | None, count: int, _events: int | None) -> int:
        """Called from C, through which no exception may pass; 1 stops the synthesis."""
        try:
            if wave and count > 0:
                self._samples += ctypes.string_at(wave, count * 2)
        except MemoryError:
            self._out_of_memory = True
            return 1
        return 0

    def _list_voices(self) -> dict[str, _EspeakVoice]:
        """By lower-case tag; where several voices claim one, the lowest priority number wins."""
        ranked: dict[str, tuple[int, _EspeakVoice]] = {}
        records = self._library.espeak_ListVoices(None)
        for index in range(10_000):
            if not records[index]:
                break
            record: Any = records[index].contents
            languages = _languages(record.languages)
            voice = _EspeakVoice(languages[0][1], record.identifier.decode())
            for priority, tag in languages:
                if tag not in ranked or priority < ranked[tag][0]:
                    ranked[tag] = priority, voice
        return {tag: voice for tag, (_, voice) in ranked.items() if voice.name not in _UNFINISHED}


def _languages(address: int) -> list[tuple[int, str]]:
    """The list of (priority, tag), ended by a priority of 0."""
    found = []
    while priority := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        found.append((priority, tag.decode().lower()))
        address += len(tag) + 2
    return found


def _tags(language: str) -> list[str]:
    """pt-BR → pt-br, pt: what to look for among eSpeak NG's voices, nearest first."""
    tags = [language.lower()]
    if langcodes.tag_is_valid(language):
        subtag = langcodes.Language.get(language).language or ""
        if subtag == "es":  # one voice for Spain, one for all of the Americas
            tags.append(langcodes.closest_match(language, ["es", "es-419"])[0])
        tags.append(subtag)
    return tags


_starting: Final = threading.Lock()


def _engine() -> _Engine:
    """The process's own, started by the first call."""
    with _starting:
        return _start()


@functools.cache
def _start() -> _Engine:
    return _Engine()
