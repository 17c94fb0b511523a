"""The Google voice: Cloud Text-to-Speech through its own client, over gRPC."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, Final

import google.auth
import grpc
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import texttospeech
from google.cloud.texttospeech_v1.services.text_to_speech.transports import (
    TextToSpeechGrpcTransport,
)

from services.errors import Refused
from services.google_errors import service_error, without_credentials
from services.logs import logger
from services.ports import Speech

if TYPE_CHECKING:
    from services.ports import Utterance

PREFIX: Final = "google:"
"""Before a language: its default voice, whose name the service keeps to itself."""
DEFAULT_TIMEOUT: Final = 60.0
DEFAULT_CALLS: Final = 100
"""Calls at once; also what one connection carries, by the HTTP/2 default of Google's servers."""

log = logger()


class GoogleVoice:
    """Speaks with Google Cloud Text-to-Speech.

    The utterance's voice speaks where it is of the utterance's language, such
    as `pt-BR-Chirp3-HD-Aoede` for pt-BR, and the language's default voice
    otherwise; also where the service does not know the voice, which is asked
    for once in an instance's life. Nothing is tried again: that is a wrapper's.

    Instances connect with their first call, keep that one connection for all
    threads, and pickle without it.

    Args:
        endpoint: host:port of a server to use instead of Google's, without
            encryption or credentials.
        timeout: seconds that a call may take.
        sample_rate: Hz; 0 for the voice's own.
        calls: under way at once. The others wait their turn, and their time
            does not run yet.
    """

    max_bytes = 5000  # of input in a request; https://cloud.google.com/text-to-speech/quotas
    max_sentence = 300  # "sentences that are too long" was seen at about 310 without punctuation

    def __init__(
        self,
        endpoint: str = "",
        *,
        timeout: float = DEFAULT_TIMEOUT,
        sample_rate: int = 0,
        calls: int = DEFAULT_CALLS,
    ) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._sample_rate = sample_rate
        self._calls = calls
        self._turn = threading.BoundedSemaphore(calls)
        self._lock = threading.Lock()
        self._client: texttospeech.TextToSpeechClient | None = None
        self._unknown: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._endpoint, self._timeout, self._sample_rate, self._calls)

    def speak(self, utterance: Utterance) -> Speech:
        """Speech for one chunk.

        Raises:
            Refused: `invalid_argument`, `permission_denied`, `unauthenticated`.
            Overloaded: `rate_limited`, with the wait the service asks for.
            QuotaExhausted: of the day, or where the project has none.
            Unavailable: `unavailable`, `timeout`.
        """
        name = utterance.voice
        if _is_of(name, utterance.language) and name not in self._unknown:
            try:
                return Speech(self._call(utterance, _locale(name), name), name)
            except exceptions.GoogleAPICallError as error:
                if not _is_unknown_voice(error, name):
                    raise service_error(error) from error
                self._forget(name, utterance.language)
        try:
            audio = self._call(utterance, language_code(utterance.language), "")
        except exceptions.GoogleAPICallError as error:
            raise service_error(error) from error
        return Speech(audio, PREFIX + utterance.language)

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.transport.close()

    def _call(self, utterance: Utterance, language: str, name: str) -> bytes:
        client = self._connected()
        audio = texttospeech.AudioConfig(
            audio_encoding=texttospeech.AudioEncoding.MP3,
            # Some voices refuse to be asked for any pace, even their own.
            speaking_rate=0.0 if utterance.rate == 1.0 else utterance.rate,
            sample_rate_hertz=self._sample_rate,
        )
        with self._turn:
            try:
                answer = client.synthesize_speech(
                    input=texttospeech.SynthesisInput(text=utterance.text),
                    voice=texttospeech.VoiceSelectionParams(language_code=language, name=name),
                    audio_config=audio,
                    retry=None,
                    timeout=self._timeout,
                )
            except GoogleAuthError as error:
                raise Refused(f"Google credentials: {error}", code="unauthenticated") from error
        return answer.audio_content

    def _connected(self) -> texttospeech.TextToSpeechClient:
        with self._lock:
            if self._client is None:
                self._client = _connect(self._endpoint)
            return self._client

    def _forget(self, name: str, language: str) -> None:
        """Ask for a voice no more, and say so once."""
        with self._lock:
            new = name not in self._unknown
            self._unknown.add(name)
        if new:
            log.warning(
                "unknown voice; the language's default speaks", voice=name, language=language
            )


def _rebuild(endpoint: str, timeout: float, sample_rate: int, calls: int) -> GoogleVoice:
    return GoogleVoice(endpoint, timeout=timeout, sample_rate=sample_rate, calls=calls)


def _connect(endpoint: str) -> texttospeech.TextToSpeechClient:
    if not endpoint:
        check_credentials()
        return texttospeech.TextToSpeechClient()
    # Minutes of speech outgrow gRPC's own limit of 4 MB an answer.
    channel = grpc.insecure_channel(endpoint, [("grpc.max_receive_message_length", -1)])
    return texttospeech.TextToSpeechClient(transport=TextToSpeechGrpcTransport(channel=channel))


def check_credentials() -> None:
    """Whether Application Default Credentials are there; they are not used yet.

    Raises:
        Refused: `unauthenticated`, with what to do.
    """
    try:
        google.auth.default()
    except DefaultCredentialsError as error:
        raise without_credentials("Google Text-to-Speech", error) from error


# ── Languages and voices ──────────────────────────────────────────────────────

_NAME: Final = re.compile(r"([A-Za-z]{2,3}-(?:[A-Za-z]{2}|[0-9]{3}))-\w")
"""A voice's name begins with its locale: cmn-CN-Wavenet-A, es-419-…"""
_MANDARIN: Final = {"zh": "cmn"}
"""What Google calls cmn-CN is zh-CN after BCP-47's normalisation."""


def language_code(tag: str) -> str:
    """A BCP-47 tag as Google writes it: without its script, and Chinese as what is spoken.

    Source: `VoiceSelectionParams.language_code` ("use cmn-cn rather than cmn-Hant-cn").
    """
    first, *rest = tag.split("-")
    spoken = (part for part in rest if len(part) != 4)
    return "-".join([_MANDARIN.get(first.lower(), first), *spoken])


def _locale(name: str) -> str:
    """pt-BR-Chirp3-HD-Aoede → pt-BR; empty where the name does not tell."""
    found = _NAME.match(name)
    return found[1] if found else ""


def _is_of(name: str, language: str) -> bool:
    """Whether a voice speaks the language, be it with another region's accent."""
    spoken, asked = (code.split("-")[0].lower() for code in (_locale(name), language))
    return bool(spoken) and spoken == _MANDARIN.get(asked, asked)


def _is_unknown_voice(error: exceptions.GoogleAPICallError, name: str) -> bool:
    return isinstance(error, exceptions.InvalidArgument) and name in error.message
