"""Gemini, by either SDK: what is sent, what is read, and the code of all that can go wrong."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING

import pytest

from services.access import GeminiAccess
from services.errors import Overloaded, QuotaExhausted, Refused, ServiceError, Unavailable
from services.retrying import Policy, Retrying
from tests.services.conftest import KEY, adaptation, variation
from tests.simulators.gemini import FAULTS, GeminiSimulator, answer_text

if TYPE_CHECKING:
    from services.ports import TextModel
    from tests.services.conftest import Connect

# What is sent


def test_a_call_carries_the_prompt_and_the_agents_parameters(
    gemini_writer: TextModel, shared_gemini: GeminiSimulator
) -> None:
    """System instruction, message, model and every parameter go in one request."""
    prompt = variation(
        instructions="Tom caloroso.",
        model="gemini-2.5-pro",
        temperature=0.4,
        top_p=0.8,
        top_k=20,
        max_output_tokens=1000,
    )
    before = len(shared_gemini.calls)
    answer = gemini_writer.complete(prompt)

    (call,) = shared_gemini.calls[before:]
    assert call.path == "/v1beta/models/gemini-2.5-pro:generateContent"
    assert call.headers["x-goog-api-key"] == KEY
    assert call.user == prompt.user
    assert call.body["systemInstruction"]["parts"] == [{"text": prompt.system}]
    # No thinking budget unless it is given: models that do not think refuse one.
    assert call.body["generationConfig"] == {
        "temperature": 0.4,
        "topP": 0.8,
        "topK": 20,
        "maxOutputTokens": 1000,
    }
    assert answer.text == answer_text("O café", "pt-BR", prompt.user)
    assert (answer.model, answer.input_tokens, answer.output_tokens) == (
        "gemini-simulated-001",
        120,
        37,
    )


def test_each_task_has_its_own_deadline(connect: Connect, gemini: GeminiSimulator) -> None:
    """The service is told the seconds that its caller waits."""
    writer = connect(
        GeminiAccess(KEY), generation_timeout=90, adaptation_timeout=45, endpoint=gemini.url
    )
    for prompt in (variation(), adaptation()):
        writer.complete(prompt)
    assert [call.headers["x-server-timeout"] for call in gemini.calls] == ["90", "45"]


def test_a_base_url_may_end_with_a_slash(connect: Connect, gemini: GeminiSimulator) -> None:
    """It is the same place."""
    assert connect(GeminiAccess(KEY), endpoint=f"{gemini.url}/").complete(variation()).text


def test_a_key_in_the_environment_is_left_there(
    connect: Connect, gemini: GeminiSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is the one that was handed over, whatever an SDK would read by itself."""
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    monkeypatch.setenv("GEMINI_API_KEY", "a-third")
    connect(GeminiAccess(KEY), endpoint=gemini.url).complete(variation())
    assert [call.headers["x-goog-api-key"] for call in gemini.calls] == [KEY]


def test_two_writers_keep_apart(connect: Connect) -> None:
    """Neither takes over the other's key or endpoint."""
    with GeminiSimulator() as one, GeminiSimulator() as two:
        writers = [
            connect(GeminiAccess(key), endpoint=simulator.url)
            for key, simulator in (("key-one", one), ("key-two", two))
        ]
        for writer in writers:
            writer.complete(variation())
        keys = [call.headers["x-goog-api-key"] for call in (*one.calls, *two.calls)]
    assert keys == ["key-one", "key-two"]


# What goes wrong

MAPPED: dict[str, tuple[type[ServiceError], str, float | None]] = {
    "empty": (Refused, "empty_answer", None),
    "empty_stop": (Refused, "empty_answer", None),
    "blank_stop": (Refused, "empty_answer", None),
    "only_thoughts": (Refused, "empty_answer", None),
    "no_finish": (Refused, "refused_other", None),
    "max_tokens_no_parts": (Refused, "refused_max_tokens", None),
    "finish:MAX_TOKENS": (Refused, "refused_max_tokens", None),
    "finish:SAFETY": (Refused, "refused_safety", None),
    "finish:RECITATION": (Refused, "refused_recitation", None),
    "finish:LANGUAGE": (Refused, "refused_language", None),
    "finish:BLOCKLIST": (Refused, "refused_blocklist", None),
    "finish:PROHIBITED_CONTENT": (Refused, "refused_prohibited_content", None),
    "finish:SPII": (Refused, "refused_spii", None),
    "finish:OTHER": (Refused, "refused_other", None),
    "finish:A_REASON_OF_NEXT_YEAR": (Refused, "refused_other", None),
    "block:SAFETY": (Refused, "refused_safety", None),
    "block:OTHER": (Refused, "refused_other", None),
    "block:BLOCKLIST": (Refused, "refused_blocklist", None),
    "block:PROHIBITED_CONTENT": (Refused, "refused_prohibited_content", None),
    "block:A_REASON_OF_NEXT_YEAR": (Refused, "refused_other", None),
    "rate_limited": (Overloaded, "rate_limited", None),
    "rate_limited_58s": (Overloaded, "rate_limited", 58.0),
    "rate_limited_header": (Overloaded, "rate_limited", 12.0),
    "quota_minute": (Overloaded, "rate_limited", 58.0),
    "quota_day": (QuotaExhausted, "quota_exhausted", None),
    "quota_zero": (QuotaExhausted, "quota_exhausted", None),
    "quota_limit_0": (QuotaExhausted, "quota_exhausted", None),
    "invalid": (Refused, "invalid_argument", None),
    "redirect": (Refused, "invalid_argument", None),
    "bad_key": (Refused, "unauthenticated", None),
    "unauthenticated": (Refused, "unauthenticated", None),
    "permission": (Refused, "permission_denied", None),
    "suspended": (Refused, "permission_denied", None),
    "not_found": (Refused, "not_found", None),
    "cancelled": (Unavailable, "unavailable", None),
    "internal": (Unavailable, "unavailable", None),
    "bad_gateway": (Unavailable, "unavailable", None),
    "unavailable": (Unavailable, "unavailable", None),
    "deadline": (Unavailable, "timeout", None),
    "malformed": (Unavailable, "unavailable", None),
    "no_json": (Unavailable, "unavailable", None),
    "wrong_shape": (Unavailable, "unavailable", None),
    "no_text": (Unavailable, "unavailable", None),
    "nothing": (Unavailable, "unavailable", None),
    "reset": (Unavailable, "unavailable", None),
    "truncated": (Unavailable, "unavailable", None),
    "hang": (Unavailable, "timeout", None),
}


def test_every_fault_of_the_simulator_is_in_the_table() -> None:
    """Only thoughts beside a text are no fault."""
    assert set(MAPPED) == {*FAULTS} - {"thoughts"}


@pytest.mark.parametrize("fault", [fault for fault in MAPPED if fault != "hang"])
def test_every_fault_has_its_kind_and_code(
    gemini_writer: TextModel, shared_gemini: GeminiSimulator, fault: str
) -> None:
    """One call is made, its error says what the caller can do, and its message keeps the key."""
    before = len(shared_gemini.calls)
    shared_gemini.plan(fault)
    with pytest.raises(ServiceError) as caught:
        gemini_writer.complete(variation())
    error = caught.value
    assert (type(error), error.code, error.retry_after) == MAPPED[fault]
    assert len(shared_gemini.calls) - before == 1
    assert KEY not in error.message
    assert "\n" not in error.message
    assert pickle.loads(pickle.dumps(error)).code == error.code  # noqa: S301 - our own


def test_a_call_that_hangs_ends_with_its_deadline(
    connect: Connect, gemini: GeminiSimulator
) -> None:
    """The deadline is the call's own, and the next call is not touched."""
    writer = connect(GeminiAccess(KEY), generation_timeout=0.05, endpoint=gemini.url)
    gemini.plan("hang")
    with pytest.raises(Unavailable) as caught:
        writer.complete(variation())
    assert (type(caught.value), caught.value.code, None) == MAPPED["hang"]
    assert "0.05 seconds" in caught.value.message
    assert writer.complete(adaptation()).text


def test_nobody_there_is_unavailable(connect: Connect) -> None:
    """A connection that is refused is worth another try."""
    with GeminiSimulator() as gone:
        url = gone.url
    with pytest.raises(Unavailable) as caught:
        connect(GeminiAccess(KEY), endpoint=url).complete(variation())
    assert caught.value.code == "unavailable"


def test_thoughts_are_not_said(gemini_writer: TextModel, shared_gemini: GeminiSimulator) -> None:
    """The text is that of all other parts, and thoughts are output tokens."""
    shared_gemini.plan("thoughts")
    answer = gemini_writer.complete(variation())
    assert (answer.text, answer.output_tokens) == ("What was thought is not said.", 37)


def test_a_redirect_is_not_followed(connect: Connect, gemini: GeminiSimulator) -> None:
    """A key goes to where it was meant to go and no further."""
    gemini.plan("redirect")
    with pytest.raises(Refused, match="307"):
        connect(GeminiAccess(KEY), endpoint=gemini.url).complete(variation())
    assert [call.path for call in gemini.calls if call.path == "/elsewhere"] == []


# Together with retries


def test_a_quota_that_is_full_is_waited_out(connect: Connect) -> None:
    """The wait that the service asks for is enough to be answered."""
    now = 0.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    with GeminiSimulator(quota=2, clock=lambda: now) as gemini:
        writer = Retrying(
            connect(GeminiAccess(KEY), endpoint=gemini.url),
            Policy(),
            lambda: now,
            sleep,
            lambda: 0.0,
        )
        answers = [writer.complete(variation(f"Título {number}")) for number in range(5)]
    assert [f"Título {number}" in answer.text for number, answer in enumerate(answers)] == [
        True
    ] * 5
    assert slept == [60.0, 60.0]
    assert len(gemini.calls) == 7


def test_no_log_holds_the_key(
    gemini_writer: TextModel, shared_gemini: GeminiSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even at the level that --verbose sets."""
    shared_gemini.plan("suspended")
    with caplog.at_level(logging.INFO), pytest.raises(Refused):
        gemini_writer.complete(variation())
    assert KEY not in caplog.text
    assert KEY not in repr(gemini_writer)
