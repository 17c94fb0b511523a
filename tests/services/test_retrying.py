"""Retrying: what is tried again, how long is waited, and when it is given up."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import prompts
from services.errors import Overloaded, QuotaExhausted, Refused, ServiceError, Unavailable
from services.ports import Completion, Utterance
from services.retrying import Policy, Retrying, RetryingVoice, retry
from tests import builders
from tests.fake_services import FakeVoice, silence

if TYPE_CHECKING:
    from domain.prompts import Prompt
    from services.ports import Speech, TextModel, Voice


@dataclass
class Scene:
    """A service that answers as the test says, and a clock that moves only by sleeping and calls.

    Attributes:
        answers: raised, or returned, in turn.
        lasts: seconds of a call.
    """

    answers: list[ServiceError | str]
    lasts: float = 0.0
    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)
    calls: int = 0

    def call(self) -> str:
        self.calls += 1
        self.now += self.lasts
        answer = self.answers.pop(0)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def retried(self, policy: Policy, luck: float = 0.5) -> str:
        return retry(self.call, policy, self.clock, self.sleep, lambda: luck)


def test_an_answer_at_once_is_the_only_call() -> None:
    """What succeeds is not asked again, nor waited for."""
    scene = Scene(["yes"])
    assert scene.retried(Policy()) == "yes"
    assert (scene.calls, scene.slept) == (1, [])


def test_waits_grow_twofold_up_to_the_cap_and_are_jittered() -> None:
    """Each wait is the drawn part of a back-off that doubles."""
    scene = Scene([*[Unavailable("away")] * 6, "yes"])
    assert scene.retried(Policy(attempts=7, base=1, cap=10), luck=0.5) == "yes"
    assert scene.slept == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_five_attempts_outlast_a_quota_of_a_minute() -> None:
    """Where a service with too many requests names no wait, the guess is a long one."""
    scene = Scene([*[Overloaded("slow down")] * 4, "yes"])
    assert scene.retried(Policy(), luck=0.5) == "yes"
    assert scene.slept == [4.0, 8.0, 16.0, 30.0]


@pytest.mark.parametrize("kind", [Overloaded, Unavailable])
def test_attempts_are_bounded_and_told(kind: type[ServiceError]) -> None:
    """After the last attempt the error is raised as it came, with their number."""
    scene = Scene([kind("no", code="a_code", retry_after=1.0) for _ in range(9)])
    with pytest.raises(kind) as caught:
        scene.retried(Policy(attempts=4))
    assert (caught.value.attempts, caught.value.code) == (4, "a_code")
    assert (scene.calls, len(scene.slept)) == (4, 3)


@pytest.mark.parametrize("kind", [Refused, QuotaExhausted, ServiceError])
def test_what_will_not_heal_is_raised_at_once(kind: type[ServiceError]) -> None:
    """Another call would only cost."""
    scene = Scene([kind("no")])
    with pytest.raises(kind) as caught:
        scene.retried(Policy())
    assert (caught.value.attempts, scene.slept) == (1, [])


def test_a_refusal_after_an_outage_tells_all_attempts() -> None:
    """The number counts the calls made, whatever each of them came to."""
    scene = Scene([Unavailable("away"), Overloaded("slow down"), Refused("never")])
    with pytest.raises(Refused) as caught:
        scene.retried(Policy())
    assert caught.value.attempts == 3


def test_other_exceptions_pass() -> None:
    """A fault of the program is none of the service's."""

    def broken() -> str:
        raise KeyError("fault")

    with pytest.raises(KeyError):
        retry(broken, Policy())


@pytest.mark.parametrize("luck", [0.0, 0.25, 0.999])
def test_the_services_own_wait_is_waited_whole(luck: float) -> None:
    """Back-off comes on top of it, so that the callers do not return as one."""
    scene = Scene([Overloaded("slow down", retry_after=58.0), "yes"])
    assert scene.retried(Policy(base=4), luck) == "yes"
    assert scene.slept == [58.0 + 4 * luck]


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """Whoever would wait in vain is told at once."""
    scene = Scene([Overloaded("tomorrow", retry_after=3_600.0)])
    with pytest.raises(Overloaded) as caught:
        scene.retried(Policy(deadline=600))
    assert (caught.value.attempts, scene.slept) == (1, [])


def test_the_deadline_counts_calls_and_waits() -> None:
    """It is of the time since the first call began."""
    scene = Scene([Unavailable("away", code="timeout") for _ in range(9)], lasts=120)
    with pytest.raises(Unavailable) as caught:
        scene.retried(Policy(attempts=9, deadline=300, base=10), luck=1.0)
    # 120 + 10 + 120 = 250; the next wait of 20 still ends before 300, the one of 40 does not.
    assert (caught.value.attempts, scene.slept) == (3, [10.0, 20.0])


@given(
    attempt=st.integers(1, 10_000),
    asked=st.none() | st.floats(0, 1e6),
    luck=st.floats(0, 1, exclude_max=True),
)
def test_no_wait_is_shorter_than_asked_nor_longer_than_the_cap(
    attempt: int, asked: float | None, luck: float
) -> None:
    """Whatever the attempt, the wait stays between what was asked and the cap above it."""
    for kind in (Overloaded, Unavailable):
        wait = Policy(cap=60).wait(attempt, kind("no", retry_after=asked), lambda: luck)
        assert (asked or 0) <= wait <= (asked or 0) + 60


def test_a_policy_pickles() -> None:
    """It goes to the workers with the factories."""
    policy = Policy(attempts=3, deadline=60)
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 - our own


@dataclass
class Flaky:
    """A TextModel and Voice that is away the first time."""

    calls: int = 0
    max_bytes: int = 900
    max_sentence: int = 90

    def complete(self, prompt: Prompt) -> Completion:
        self._fail_once()
        return Completion(prompt.title, "flaky")

    def speak(self, utterance: Utterance) -> Speech:
        self._fail_once()
        return FakeVoice().speak(utterance)

    def _fail_once(self) -> None:
        self.calls += 1
        if self.calls == 1:
            raise Unavailable("away")


def test_a_text_model_is_asked_again() -> None:
    """The wrapper is a TextModel and answers what the model answers in the end."""
    flaky, slept = Flaky(), list[float]()
    model: TextModel = Retrying(flaky, Policy(base=2), sleep=slept.append, random=lambda: 0.5)
    prompt = prompts.variation(builders.script_task("O chá"), builders.agent())
    assert model.complete(prompt).text == "O chá"
    assert (flaky.calls, slept) == (2, [1.0])


def test_a_voice_is_asked_again() -> None:
    """The wrapper is a Voice with the limits of the one it wraps."""
    flaky, slept = Flaky(), list[float]()
    voice: Voice = RetryingVoice(flaky, Policy(base=2), sleep=slept.append, random=lambda: 0.5)
    assert (voice.max_bytes, voice.max_sentence) == (900, 90)
    assert voice.speak(Utterance("Olá.", "pt-BR")).audio == silence()
    assert (flaky.calls, slept) == (2, [1.0])
