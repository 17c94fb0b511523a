"""Caching: an answer that was paid for is kept under what determined it, and never paid for again."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from domain.audio import AudioError, duration
from services.errors import Refused, ServiceError
from services.logs import logger
from services.ports import Completion, Speech

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.prompts import Prompt
    from services.ports import ArtifactStore, TextModel, Utterance, Voice

SCRIPTS: Final = "cache/scripts"
AUDIO: Final = "cache/audio"

Document: TypeAlias = Mapping[str, Any]
"""JSON: all that determines an answer."""

Answer = TypeVar("Answer", bound=Completion | Speech)

log = logger()


def canonical(document: Document) -> bytes:
    """The one way to write a document as JSON: sorted, without spaces, UTF-8."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")  # and so does json.loads


def entry(folder: str, document: Document) -> str:
    """Where the answer to a document is: `cache/scripts/ab/ab12…`, by its SHA-256."""
    key = hashlib.sha256(canonical(document)).hexdigest()
    return f"{folder}/{key[:2]}/{key}"


class Tally:
    """How many answers came from the cache, and how many had to be asked for.

    Attributes:
        hits: answers that were not paid for, because they were before.
        misses: answers of the service; errors are none.
    """

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self._lock = threading.Lock()

    def count(self, *, hit: bool) -> None:
        """One more answer."""
        with self._lock:
            self.hits += hit
            self.misses += not hit


@dataclass(frozen=True)
class Cache:
    """Where answers are kept, and how they are used.

    Attributes:
        store: holds them, below `cache/`.
        refresh: ask in any case, and replace what is kept.
        tally: counts what is answered.
    """

    store: ArtifactStore
    refresh: bool = False
    tally: Tally = field(default_factory=Tally)


class CachedText:
    """A TextModel that asks another one only for what no entry holds.

    An entry is a JSON document: the completion, and `determined_by`, which
    tells a person why it was found. See `_Answers` for what is promised.

    Args:
        model: is asked, retries included.
        cache: where its answers are kept.
        vendor: what of the model no prompt says, such as its vendor's name and
            endpoint; part of the key.
    """

    def __init__(self, model: TextModel, cache: Cache, vendor: Document) -> None:
        self._model = model
        self._vendor = vendor
        self._answers = _Answers(cache, SCRIPTS, _pack_text, _unpack_text)

    def complete(self, prompt: Prompt) -> Completion:
        """The kept answer to the prompt, or else a call's."""
        agent = prompt.agent
        document = {
            **self._vendor,
            "model": agent.model,
            "temperature": agent.temperature,
            "top_p": agent.top_p,
            "top_k": agent.top_k,
            "max_output_tokens": agent.max_output_tokens,
            "thinking_budget": agent.thinking_budget,
            "system": prompt.system,
            "user": prompt.user,
        }
        return self._answers.to(document, lambda: self._model.complete(prompt))


class CachedVoice:
    """A Voice that asks another one only for what no entry holds.

    An entry is the MP3 under an ID3 tag, so that a player plays it; the tag's
    one frame, TXXX `roteiro`, is a JSON document with the voice, the audio's
    SHA-256 and `determined_by`. One file, and no reader ever sees half of it.
    See `_Answers` for what is promised. Audio that is not whole is handed on
    and not kept.

    Args:
        voice: is asked, retries included.
        cache: where its answers are kept.
        vendor: what of the voice no utterance says, such as its vendor's name,
            endpoint and the audio's parameters; part of the key.
    """

    def __init__(self, voice: Voice, cache: Cache, vendor: Document) -> None:
        self.max_bytes = voice.max_bytes
        self.max_sentence = voice.max_sentence
        self._voice = voice
        self._vendor = vendor
        self._answers = _Answers(cache, AUDIO, _pack_speech, _unpack_speech)

    def speak(self, utterance: Utterance) -> Speech:
        """The kept answer to the utterance, or else a call's."""
        document = {
            **self._vendor,
            "text": utterance.text,
            "language": utterance.language,
            "voice": utterance.voice,
            "rate": utterance.rate,
        }
        return self._answers.to(document, lambda: self._voice.speak(utterance))


class _Flight(Generic[Answer]):
    """An answer that is being fetched, and those who wait for it."""

    __slots__ = ("answer", "error", "landed")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.answer: Answer | None = None
        self.error: ServiceError | None = None


class _Answers(Generic[Answer]):
    """Answers by what determines them. Safe for many threads.

    Who asks for what another thread is fetching waits for it. Its error is
    told to all who waited: the call under it has been retried for as long as
    is worth while, and turns taken after that would put its deadlines in line.
    Whoever asks later begins anew; errors are never kept. Where it was a fault
    of the program, the next one who waited tries.

    A damaged entry counts as none and is replaced. Where the store is away,
    the call is made all the same, and a warning says so once.

    Args:
        cache: where they are kept.
        folder: below the store's root.
        pack: an answer and its document → an entry; None for what is not worth keeping.
        unpack: the way back; raises ValueError, LookupError, TypeError or struct.error where
            the entry is damaged, or another document's.
    """

    def __init__(
        self,
        cache: Cache,
        folder: str,
        pack: Callable[[Answer, Document], bytes | None],
        unpack: Callable[[bytes, Document], Answer],
    ) -> None:
        self._cache = cache
        self._folder = folder
        self._pack = pack
        self._unpack = unpack
        self._flights: dict[str, _Flight[Answer]] = {}
        self._lock = threading.Lock()
        self._warned = False

    def to(self, document: Document, call: Callable[[], Answer]) -> Answer:
        """The answer to a document; `call` is made where there is none."""
        path = entry(self._folder, document)
        while True:
            with self._lock:
                flight = self._flights.get(path)
                if flight is None:
                    mine = self._flights[path] = _Flight[Answer]()
            if flight is None:
                return self._fetch(mine, path, document, call)
            flight.landed.wait()
            if flight.error is not None:
                raise copy.copy(flight.error)
            if flight.answer is not None:
                self._cache.tally.count(hit=True)
                return replace(flight.answer, cached=True)

    def _fetch(
        self, flight: _Flight[Answer], path: str, document: Document, call: Callable[[], Answer]
    ) -> Answer:
        try:
            flight.answer = self._kept_or_asked(path, document, call)
        except ServiceError as error:
            flight.error = copy.copy(error)
            raise
        finally:
            with self._lock:
                del self._flights[path]
            flight.landed.set()
        self._cache.tally.count(hit=flight.answer.cached)
        return flight.answer

    def _kept_or_asked(self, path: str, document: Document, call: Callable[[], Answer]) -> Answer:
        kept = None if self._cache.refresh else self._read(path)
        if kept is not None:
            try:
                return self._unpack(kept, document)
            except (ValueError, LookupError, TypeError, struct.error) as error:
                log.warning("a damaged cache entry is replaced", entry=path, reason=str(error))
        answer = call()
        entry = self._pack(answer, document)
        if entry is not None:
            self._keep(path, entry, replacing=self._cache.refresh or kept is not None)
        return answer

    def _read(self, path: str) -> bytes | None:
        """An entry; None where there is none, or the store is away."""
        store = self._cache.store
        try:
            with store.open(store.uri(path)) as file:
                return file.read()
        except (ServiceError, OSError) as error:
            if not (isinstance(error, Refused) and error.code == "not_found"):
                self._warn(error)
            return None

    def _keep(self, path: str, entry: bytes, *, replacing: bool) -> None:
        try:
            if replacing:
                self._cache.store.write(path, entry)
            else:
                self._cache.store.create_only(path, entry)
        except (ServiceError, OSError) as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        with self._lock:
            first, self._warned = not self._warned, True
        if first:
            log.warning(
                "the cache is out of reach; calls are made without it",
                cache=self._cache.store.uri(self._folder),
                reason=str(error),
            )


# ── Entries ───────────────────────────────────────────────────────────────────


def _pack_text(answer: Completion, document: Document) -> bytes:
    told = {
        "text": answer.text,
        "model": answer.model,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "determined_by": document,
    }
    text = json.dumps(told, ensure_ascii=False, indent=1)
    return text.encode("utf-8", "surrogatepass")


def _unpack_text(entry: bytes, document: Document) -> Completion:
    told = _told(entry, document)
    text, model = told["text"], told["model"]
    tokens = told["input_tokens"], told["output_tokens"]
    if not (isinstance(text, str) and text.strip() and isinstance(model, str)):
        raise ValueError("holds no text")
    if not all(isinstance(number, int) for number in tokens):
        raise ValueError("holds no numbers of tokens")
    return Completion(text, model, *tokens, cached=True)


_TAG: Final = struct.Struct(">3sBBB4s4s4sH")
"""ID3v2.4: magic, version, revision, flags, size; of its one frame: name, size, flags."""
_FRAME_HEADER: Final = 10
_DESCRIPTION: Final = b"\x03roteiro\0"
"""UTF-8, and what the frame's value is."""


def _pack_speech(answer: Speech, document: Document) -> bytes | None:
    try:
        duration(answer.audio)
    except AudioError:
        return None
    told = {
        "voice": answer.voice,
        "sha256": hashlib.sha256(answer.audio).hexdigest(),
        "determined_by": document,
    }
    frame = _DESCRIPTION + canonical(told)
    sizes = _syncsafe(len(frame) + _FRAME_HEADER), _syncsafe(len(frame))
    head = _TAG.pack(b"ID3", 4, 0, 0, sizes[0], b"TXXX", sizes[1], 0)
    return head + frame + answer.audio


def _unpack_speech(entry: bytes, document: Document) -> Speech:
    magic, *_, name, size, _ = _TAG.unpack_from(entry)
    begin, end = _TAG.size + len(_DESCRIPTION), _TAG.size + _number(size)
    if magic != b"ID3" or name != b"TXXX" or entry[_TAG.size : begin] != _DESCRIPTION:
        raise ValueError("begins with another tag")
    told, audio = _told(entry[begin:end], document), entry[end:]
    if not isinstance(told["voice"], str):
        raise TypeError("names no voice")
    if hashlib.sha256(audio).hexdigest() != told["sha256"]:
        raise ValueError("holds other audio than was stored")
    return Speech(audio, told["voice"], cached=True)


def _told(text: bytes, document: Document) -> dict[str, Any]:
    told = json.loads(text)
    if not isinstance(told, dict) or told["determined_by"] != document:
        raise ValueError("belongs to something else")
    return told


def _syncsafe(number: int) -> bytes:
    """ID3's sizes: seven bits a byte."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _number(size: bytes) -> int:
    number = 0
    for byte in size:
        number = number << 7 | byte & 0x7F
    return number
