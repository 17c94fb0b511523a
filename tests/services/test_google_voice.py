"""The Google voice: what it asks for, what it makes of each answer, and whole scripts."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import miniaudio
import pytest
from google.api_core import exceptions
from google.rpc import error_details_pb2

from services.errors import Overloaded, QuotaExhausted, Refused, ServiceError, Unavailable
from services.googleapi import check_credentials, service_error
from services.ports import Utterance
from services.speaking import narrate
from services.voices.google import USER, GoogleVoice, language_code
from tests.simulators.speech import Fault, SpeechSimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AOEDE = "pt-BR-Chirp3-HD-Aoede"
HELLO = Utterance("Olá, mundo.", "pt-BR")

PORTUGUESE = (
    "O café chegou ao Brasil em 1727, pelas mãos de Francisco de Melo Palheta. "
    "Das primeiras mudas, plantadas em Belém, vieram as lavouras do vale do Paraíba, "
    "as ferrovias, os portos e uma parte do país que conhecemos! Quem diria?\n\n"
    "Sem pausa alguma a frase segue e segue entre grãos e xícaras e colheitas e trens\n\n"
)
JAPANESE = (
    "珈琲はエチオピアの高原で生まれた。山羊飼いのカルディが、赤い実を見つけたという。"
    "その香りは海を渡り、世界中の人々の朝を変えていった。"
    "句読点のない長い文もどこまでもどこまでも続いていくのでどこかで切らなければならない"
)


@pytest.fixture(scope="module")
def server() -> Iterator[SpeechSimulator]:
    """One server for all tests; it answers silence."""
    with SpeechSimulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(server: SpeechSimulator) -> SpeechSimulator:
    """The server, as if it were new."""
    server.calls.clear()
    server.faults = []
    server.unknown, server.quota, server.tells_wait = frozenset(), None, True
    return server


@pytest.fixture
def connect(simulator: SpeechSimulator) -> Iterator[Callable[..., GoogleVoice]]:
    """Makes voices that speak to the server."""
    made: list[GoogleVoice] = []

    def connected(**options: Any) -> GoogleVoice:
        made.append(GoogleVoice(simulator.endpoint, **options))
        return made[-1]

    yield connected
    for voice in made:
        voice.close()


def failure(voice: GoogleVoice, utterance: Utterance = HELLO) -> ServiceError:
    """What the voice raises."""
    with pytest.raises(ServiceError) as caught:
        voice.speak(utterance)
    return caught.value


# ── What it asks for ──────────────────────────────────────────────────────────


def test_it_asks_for_mp3_with_a_deadline(
    simulator: SpeechSimulator, connect: Callable[..., GoogleVoice]
) -> None:
    """The words, their language and voice go out as they are, and the call has its end."""
    speech = connect(timeout=7).speak(Utterance("Olá, mundo.", "pt-BR", AOEDE))
    (call,) = simulator.calls
    assert (call.text, call.language, call.voice) == ("Olá, mundo.", "pt-BR", AOEDE)
    assert (call.encoding, call.rate, call.sample_rate) == ("MP3", 0.0, 0)
    assert call.seconds_left == pytest.approx(7, abs=5)
    assert speech.voice == AOEDE
    assert speech.audio == call.audio


def test_it_asks_for_the_pace_and_the_sample_rate(
    simulator: SpeechSimulator, connect: Callable[..., GoogleVoice]
) -> None:
    """A pace other than the voice's own is named, and a sample rate where one is set."""
    voice = pickle.loads(pickle.dumps(connect(sample_rate=16_000)))  # noqa: S301 - its own bytes
    audio = voice.speak(Utterance("Olá, mundo.", "pt-BR", rate=1.25)).audio
    voice.close()
    assert (simulator.calls[0].rate, simulator.calls[0].sample_rate) == (1.25, 16_000)
    assert miniaudio.mp3_get_info(audio).sample_rate == 16_000


@pytest.mark.parametrize(
    ("language", "name", "asked", "spoken_by"),
    [
        ("pt-BR", "", ("pt-BR", ""), "google:pt-BR"),
        ("en-US", AOEDE, ("en-US", ""), "google:en-US"),
        ("en-US", "en-GB-Neural2-A", ("en-GB", "en-GB-Neural2-A"), "en-GB-Neural2-A"),
        ("pt", "pt-PT-Wavenet-A", ("pt-PT", "pt-PT-Wavenet-A"), "pt-PT-Wavenet-A"),
        ("zh-CN", "cmn-CN-Wavenet-A", ("cmn-CN", "cmn-CN-Wavenet-A"), "cmn-CN-Wavenet-A"),
        ("zh-Hant-TW", "espeak-ng:cmn", ("cmn-TW", ""), "google:zh-Hant-TW"),
        ("fil-PH", "fi-FI-Standard-A", ("fil-PH", ""), "google:fil-PH"),
    ],
)
def test_the_named_voice_speaks_its_own_language_only(
    simulator: SpeechSimulator,
    connect: Callable[..., GoogleVoice],
    language: str,
    name: str,
    asked: tuple[str, str],
    spoken_by: str,
) -> None:
    """A voice of another language, or none, leaves the choice to the service."""
    speech = connect().speak(Utterance("1, 2, 3.", language, name))
    assert [(call.language, call.voice) for call in simulator.calls] == [asked]
    assert speech.voice == spoken_by


def test_languages_are_told_as_google_writes_them() -> None:
    """Scripts are left out, and Chinese is named by what is spoken."""
    tags = ("pt-BR", "es-419", "sr-Latn-RS", "zh-Hans-CN", "yue-HK")
    assert [*map(language_code, tags)] == ["pt-BR", "es-419", "sr-RS", "cmn-CN", "yue-HK"]


def test_a_voice_that_does_not_exist_is_asked_for_once(
    simulator: SpeechSimulator,
    connect: Callable[..., GoogleVoice],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The language's default speaks in its place, from then on at once, and it is logged once."""
    simulator.unknown = frozenset({"pt-BR-Chirp9-HD-Nobody"})
    voice = connect()
    utterance = Utterance("Olá, mundo.", "pt-BR", "pt-BR-Chirp9-HD-Nobody")
    assert [voice.speak(utterance).voice for _ in range(3)] == ["google:pt-BR"] * 3
    assert [(call.voice, call.outcome) for call in simulator.calls] == [
        ("pt-BR-Chirp9-HD-Nobody", "INVALID_ARGUMENT"),
        *[("", "OK")] * 3,
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "pt-BR-Chirp9-HD-Nobody" in caplog.text


def test_no_more_calls_are_under_way_than_it_may(
    simulator: SpeechSimulator, connect: Callable[..., GoogleVoice]
) -> None:
    """Threads beyond the limit wait for their turn."""
    simulator.most_at_once = 0
    voice = connect(calls=2)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(voice.speak, [HELLO] * 40))) == 40
    assert 1 <= simulator.most_at_once <= 2


# ── What it makes of failures ─────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "kind", "code", "wait"),
    [
        (Fault("invalid_argument"), Refused, "invalid_argument", None),
        (Fault("permission_denied"), Refused, "permission_denied", None),
        (Fault("unauthenticated"), Refused, "unauthenticated", None),
        (Fault("rate_limited"), Overloaded, "rate_limited", None),
        (Fault("rate_limited", retry_after=2.5), Overloaded, "rate_limited", 2.5),
        (Fault("daily_quota"), QuotaExhausted, "quota_exhausted", None),
        (Fault("zero_quota"), QuotaExhausted, "quota_exhausted", None),
        (Fault("unavailable"), Unavailable, "unavailable", None),
        (Fault("internal"), Unavailable, "unavailable", None),
    ],
)
def test_each_answer_has_its_error(
    simulator: SpeechSimulator,
    connect: Callable[..., GoogleVoice],
    fault: Fault,
    kind: type[ServiceError],
    code: str,
    wait: float | None,
) -> None:
    """What the service answers is told by kind, code and wait, after one call, with its words."""
    simulator.faults = [fault]
    error = failure(connect(), Utterance("Olá, mundo.", "pt-BR", AOEDE))
    assert (type(error), error.code, error.retry_after) == (kind, code, wait)
    assert error.message
    assert len(simulator.calls) == 1


def test_an_answer_that_never_comes_is_a_timeout(
    simulator: SpeechSimulator, connect: Callable[..., GoogleVoice]
) -> None:
    """The deadline ends a call that hangs, and the next is answered."""
    simulator.faults = [Fault("hang", times=1)]
    voice = connect(timeout=0.2)
    error = failure(voice)
    assert (type(error), error.code) == (Unavailable, "timeout")
    assert GoogleVoice(simulator.endpoint).speak(HELLO).audio


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Where nobody listens, the error says so at once."""
    with SpeechSimulator() as gone:
        endpoint = gone.endpoint
    voice = GoogleVoice(endpoint)
    error = failure(voice)
    voice.close()
    assert (type(error), error.code) == (Unavailable, "unavailable")


def test_a_spent_quota_tells_how_long_to_wait(
    simulator: SpeechSimulator, connect: Callable[..., GoogleVoice]
) -> None:
    """The calls that a window allows are answered, the next is told when it ends, or nothing."""
    simulator.quota, simulator.clock = 2, lambda: 100.0
    voice = connect()
    voice.speak(HELLO)
    voice.speak(HELLO)
    error = failure(voice)
    assert (error.code, error.retry_after) == ("rate_limited", 60.0)
    simulator.tells_wait = False
    error = failure(voice)
    assert (error.code, error.retry_after) == ("rate_limited", None)


def quota_failure(**violation: Any) -> Any:
    """A detail that names a quota."""
    return error_details_pb2.QuotaFailure(
        violations=[error_details_pb2.QuotaFailure.Violation(**violation)]
    )


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (exceptions.NotFound("no such"), Refused, "not_found"),
        (exceptions.FailedPrecondition("not now"), Refused, "invalid_argument"),
        (exceptions.Aborted("once more"), Unavailable, "unavailable"),
        (exceptions.Cancelled("let go"), Unavailable, "unavailable"),
        (exceptions.Unknown("what"), Unavailable, "unavailable"),
        (exceptions.DataLoss("gone"), Unavailable, "unavailable"),
        (exceptions.ResourceExhausted("limit: 10"), Overloaded, "rate_limited"),
        (exceptions.ResourceExhausted("limit: 0, model: x"), QuotaExhausted, "quota_exhausted"),
        (exceptions.ResourceExhausted("your daily quota"), QuotaExhausted, "quota_exhausted"),
        (
            exceptions.ResourceExhausted("x", details=[quota_failure(quota_id="RequestsPerDay")]),
            QuotaExhausted,
            "quota_exhausted",
        ),
        (
            exceptions.ResourceExhausted("x", details=[quota_failure(subject="PerMinute")]),
            Overloaded,
            "rate_limited",
        ),
    ],
)
def test_errors_that_are_hard_to_come_by_have_their_place_too(
    error: exceptions.GoogleAPICallError, kind: type[ServiceError], code: str
) -> None:
    """Every error of the client is one of the port's."""
    told = service_error(error)
    assert (type(told), told.code) == (kind, code)


def test_missing_credentials_are_told_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no Application Default Credentials, the error says how to get some."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(Refused, match="gcloud auth application-default login") as refusal:
        check_credentials(USER)
    assert refusal.value.code == "unauthenticated"
    assert failure(GoogleVoice()).code == "unauthenticated"


# ── Whole scripts ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("language", "passage"), [("pt-BR", PORTUGUESE), ("ja-JP", JAPANESE)], ids=["pt", "ja"]
)
def test_a_script_of_20000_bytes_is_one_mp3_whole(language: str, passage: str) -> None:
    """Its duration equals the sum of its chunks' durations, and its words are all there."""
    script = (passage * 200).encode()[:20_000].decode(errors="ignore")
    assert len(script.encode()) > 19_990
    with SpeechSimulator(speech=True) as simulator:
        voice = GoogleVoice(simulator.endpoint)
        narrated = narrate(voice, script, language=language, rate=2.0, concurrency=8)
        voice.close()
    assert len(simulator.calls) >= 4
    assert {call.outcome for call in simulator.calls} == {"OK"}
    chunks = [miniaudio.mp3_get_info(call.audio).duration for call in simulator.calls]
    whole = miniaudio.mp3_get_info(narrated.audio).duration
    assert whole == pytest.approx(sum(chunks), abs=0.2)
    said = sorted(letter for call in simulator.calls for letter in call.text if letter.isalnum())
    assert said == sorted(filter(str.isalnum, script))


def test_one_chunk_that_fails_fails_its_script(
    simulator: SpeechSimulator, connect: Callable[..., GoogleVoice]
) -> None:
    """Audio with a gap is never made: the failed chunk's error is the script's."""
    script = "".join(f"Esta é a frase número {n} de muitas. " for n in range(400))
    simulator.faults = [Fault("unavailable", text="número 250 ")]
    with pytest.raises(Unavailable) as caught:
        narrate(connect(), script, language="pt-BR", concurrency=8)
    assert caught.value.code == "unavailable"
    simulator.faults = [Fault("corrupt", text="número 250 ")]
    with pytest.raises(Unavailable) as caught:
        narrate(connect(), script, language="pt-BR", concurrency=8)
    assert caught.value.code == "corrupt_audio"
