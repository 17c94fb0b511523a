"""A simulator of Cloud Text-to-Speech: its gRPC, its limits and its failures, on this machine.

`python -m tests.simulators.speech --port 8085` serves it by hand, for
`roteiro run … --voice google --speech_endpoint 127.0.0.1:8085`.
"""

from __future__ import annotations

import argparse
import re
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Self, TypeAlias

import grpc
import lameenc
from google.cloud import texttospeech
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.errors import Refused
from services.ports import Utterance
from services.voices.offline import OfflineVoice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SERVICE: Final = "google.cloud.texttospeech.v1.TextToSpeech"
MAX_BYTES: Final = 5000
MAX_SENTENCE: Final = 300
"""Characters; the service was seen to refuse some 310."""
SAMPLE_RATE: Final = 24_000
"""Hz of most of Google's voices, and of silence where none is asked for."""
CHARACTERS_A_SECOND: Final = 15
"""How fast silence speaks."""

TOO_LONG: Final = (
    "Either `input.text` or `input.ssml` is longer than the limit of 5000 bytes. "
    "This limit is different from quotas. To fix, reduce the byte length of the characters in "
    "this request, or consider using the Long Audio API: "
    "https://cloud.google.com/text-to-speech/docs/create-audio-text-long-audio-synthesis."
)
LONG_SENTENCE: Final = (
    "This request contains sentences that are too long. To fix, split up long sentences with "
    'sentence ending punctuation e.g. periods. Sentence starting with: "{}" is too long.'
)
MINUTE_QUOTA: Final = (
    "Quota exceeded for quota metric 'All requests' and limit 'All requests per minute' of "
    "service 'texttospeech.googleapis.com' for consumer 'project_number:1'."
)
DAY_QUOTA: Final = MINUTE_QUOTA.replace("minute", "day")

Kind: TypeAlias = Literal[
    "unavailable",
    "internal",
    "invalid_argument",
    "permission_denied",
    "unauthenticated",
    "rate_limited",
    "daily_quota",
    "zero_quota",
    "hang",
    "corrupt",
]


@dataclass
class Fault:
    """What goes wrong, with which calls.

    Attributes:
        kind: of failure; `hang` answers when the client has given up, `corrupt`
            answers audio that is cut off, the others answer an error.
        text: part of the text that is to fail; empty for any.
        language: of the calls that are to fail, as they name it; empty for any.
        times: as often; None for always.
        retry_after: seconds that a `rate_limited` asks to wait; None says nothing.
    """

    kind: Kind
    text: str = ""
    language: str = ""
    times: int | None = None
    retry_after: float | None = None


@dataclass(frozen=True)
class Call:
    """What was asked, and what came of it: the code, and the audio where it is OK."""

    text: str
    language: str
    voice: str
    rate: float
    sample_rate: int
    encoding: str
    seconds_left: float | None
    outcome: str = "OK"
    audio: bytes = b""


class _Failed(Exception):
    """An answer that is an error."""

    def __init__(self, code: grpc.StatusCode, message: str, *details: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details


@dataclass
class SpeechSimulator:
    """A server that speaks Cloud Text-to-Speech's v1; entered, it serves on a free port.

    Attributes:
        port: of 127.0.0.1; 0 takes a free one.
        speech: eSpeak NG's at 22,050 Hz, whatever was asked; otherwise silence as
            long as the text takes to say, which costs nothing.
        latency: seconds an answer takes.
        quota: calls within `window` seconds; None for any number.
        tells_wait: whether a spent quota says when to come back.
        faults: the first that fits a call decides.
        unknown: voices that do not exist.
        calls: what was asked, in order of the answers.
        under_way: how many are asked and not answered yet.
    """

    port: int = 0
    speech: bool = False
    latency: float = 0.0
    quota: int | None = None
    window: float = 60.0
    tells_wait: bool = True
    faults: list[Fault] = field(default_factory=list)
    unknown: frozenset[str] = frozenset()
    calls: list[Call] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    most_at_once: int = 0
    under_way: int = 0
    _recent: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        handler = grpc.unary_unary_rpc_method_handler(
            self._synthesize,
            request_deserializer=texttospeech.SynthesizeSpeechRequest.deserialize,
            response_serializer=texttospeech.SynthesizeSpeechResponse.serialize,
        )
        methods = {"SynthesizeSpeech": handler}
        # Without the option a second server could share the port.
        self._threads = ThreadPoolExecutor(128)
        self._server = grpc.server(self._threads, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(SERVICE, methods)]
        )
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.stop(grace=None).wait()
        self._threads.shutdown()

    @property
    def endpoint(self) -> str:
        """Where it is: host:port."""
        return f"127.0.0.1:{self.port}"

    def serve(self) -> None:
        """Go on until interrupted."""
        self._server.wait_for_termination()

    def _synthesize(self, request: Any, context: Any) -> Any:
        call = _call(request, context)
        with self._lock:
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            if self.latency:
                self._stopped.wait(self.latency)
            audio = self._answer(request, call, context)
        except _Failed as failure:
            self._record(call, failure.code.name)
            _abort(context, failure)
        finally:
            with self._lock:
                self.under_way -= 1
        self._record(call, "OK", audio)
        return texttospeech.SynthesizeSpeechResponse(audio_content=audio)

    def _record(self, call: Call, outcome: str, audio: bytes = b"") -> None:
        with self._lock:
            self.calls.append(Call(**{**vars(call), "outcome": outcome, "audio": audio}))

    def _answer(self, request: Any, call: Call, context: Any) -> bytes:
        fault = self._fault(call)
        if fault and fault.kind == "hang":
            self._hang(context)
        if fault and fault.kind != "corrupt":
            raise _failure(fault)
        self._count()
        _check(request, self.unknown)
        audio = self._speak(call)
        return audio[:-1] if fault else audio

    def _fault(self, call: Call) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.text not in call.text or fault.language not in ("", call.language):
                    continue
                if fault.times == 0:
                    continue
                if fault.times:
                    fault.times -= 1
                return fault
        return None

    def _hang(self, context: Any) -> NoReturn:
        given_up = threading.Event()
        if context.add_callback(given_up.set):
            while not (given_up.wait(0.05) or self._stopped.is_set()):
                pass
        raise _Failed(grpc.StatusCode.CANCELLED, "the client has given up")

    def _count(self) -> None:
        """One more call of the quota."""
        if self.quota is None:
            return
        with self._lock:
            now = self.clock()
            while self._recent and self._recent[0] <= now - self.window:
                self._recent.popleft()
            if len(self._recent) >= self.quota:
                oldest = self._recent[0] if self._recent else now
                wait = oldest + self.window - now if self.tells_wait else None
                raise _failure(Fault("rate_limited", retry_after=wait))
            self._recent.append(now)

    def _speak(self, call: Call) -> bytes:
        rate = call.rate or 1.0
        if not self.speech:
            seconds = max(len(call.text) / CHARACTERS_A_SECOND / rate, 0.1)
            return silence(round(seconds, 1), call.sample_rate or SAMPLE_RATE)
        try:
            return OfflineVoice().speak(Utterance(call.text, call.language, "", rate)).audio
        except Refused as error:
            raise _Failed(grpc.StatusCode.INVALID_ARGUMENT, error.message) from error


@lru_cache(maxsize=64)
def silence(seconds: float, sample_rate: int) -> bytes:
    """So much silence as MP3: mono, 32 kbit/s, as Google encodes."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(sample_rate)
    encoder.set_bit_rate(32)
    return bytes(encoder.encode(bytes(2 * int(seconds * sample_rate))) + encoder.flush())


def _call(request: Any, context: Any) -> Call:
    return Call(
        text=request.input.text,
        language=request.voice.language_code,
        voice=request.voice.name,
        rate=request.audio_config.speaking_rate,
        sample_rate=request.audio_config.sample_rate_hertz,
        encoding=request.audio_config.audio_encoding.name,
        seconds_left=context.time_remaining(),
    )


# ── The service's own limits ──────────────────────────────────────────────────

_SENTENCE: Final = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")


def _check(request: Any, unknown: frozenset[str]) -> None:
    text, voice = request.input.text, request.voice
    if not text.strip():
        raise _invalid("The synthesis input is empty.")
    if len(text.encode()) > MAX_BYTES:
        raise _invalid(TOO_LONG)
    for sentence in _SENTENCE.split(text):
        if len(sentence) > MAX_SENTENCE:
            raise _invalid(LONG_SENTENCE.format(sentence[:20]))
    if request.audio_config.audio_encoding != texttospeech.AudioEncoding.MP3:
        raise _invalid("The simulator speaks MP3 only.")
    if not voice.language_code:
        raise _invalid("Language code must be set.")
    if not voice.name:
        return
    if voice.name in unknown:
        raise _invalid(f"Voice '{voice.name}' does not exist. Is it misspelled?")
    if not voice.name.lower().startswith(f"{voice.language_code.lower()}-"):
        raise _invalid(
            f"Requested language code '{voice.language_code}' doesn't match the voice "
            f"'{voice.name}''s language code."
        )


def _invalid(message: str) -> _Failed:
    return _Failed(grpc.StatusCode.INVALID_ARGUMENT, message)


# ── Failures ──────────────────────────────────────────────────────────────────


def _failure(fault: Fault) -> _Failed:
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    match fault.kind:
        case "rate_limited":
            return _Failed(exhausted, MINUTE_QUOTA, *_retry_info(fault.retry_after))
        case "daily_quota":
            return _Failed(exhausted, DAY_QUOTA)
        case "zero_quota":
            info = error_details_pb2.ErrorInfo(
                reason="RATE_LIMIT_EXCEEDED",
                domain="googleapis.com",
                metadata={
                    "quota_limit": "ApiRequestsPerMinutePerProject",
                    "quota_limit_value": "0",
                },
            )
            return _Failed(exhausted, MINUTE_QUOTA, info)
        case _:
            code = grpc.StatusCode[fault.kind.upper()]
            return _Failed(code, f"simulated {fault.kind}")


def _retry_info(seconds: float | None) -> Sequence[Any]:
    if seconds is None:
        return ()
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromNanoseconds(round(seconds * 1e9))
    return (info,)


def _abort(context: Any, failure: _Failed) -> NoReturn:
    packed = []
    for detail in failure.details:
        message = AnyMessage()
        message.Pack(detail)
        packed.append(message)
    status = status_pb2.Status(code=failure.code.value[0], message=failure.message, details=packed)
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort_with_status always raises")


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8085)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds an answer takes")
    parser.add_argument("--quota", type=int, help="calls a minute")
    parser.add_argument("--silence", action="store_true", help="silence instead of speech")
    given = parser.parse_args()
    simulator = SpeechSimulator(
        port=given.port, latency=given.latency, quota=given.quota, speech=not given.silence
    )
    # Whoever reads the line may interrupt at once.
    with suppress(KeyboardInterrupt), simulator:
        print(f"Cloud Text-to-Speech, simulated, on {simulator.endpoint}", flush=True)
        simulator.serve()


if __name__ == "__main__":
    main()
