"""Retrying: what is worth another try is tried again, by the service's own clock where it has one."""

from __future__ import annotations

import random as chance
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from services.errors import Overloaded, ServiceError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.prompts import Prompt
    from services.ports import Completion, Speech, TextModel, Utterance, Voice

WORTH_ANOTHER_TRY: Final = (Overloaded, Unavailable)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a call is tried, and how long is waited in between.

    Attributes:
        attempts: calls at most, the first included.
        deadline: seconds from the first call on; no wait goes beyond them.
        base: seconds, at most, of the first wait; every next may be twice as long.
        overloaded_base: the same where the service has too many requests and
            does not say how long to wait. Quotas are of a minute, and five
            attempts are to outlast one: their waits add up to 58 on average.
        cap: seconds, at most, of any wait that the service did not ask for.
    """

    attempts: int = 5
    deadline: float = 600.0
    base: float = 1.0
    overloaded_base: float = 8.0
    cap: float = 60.0

    def wait(self, attempt: int, error: ServiceError, random: Callable[[], float]) -> float:
        """Seconds to wait after an attempt, counted from 1, that ended in an error.

        Full jitter: anything from nothing to the back-off, so that calls that
        failed together do not come back together. What the service asked for is
        waited first, whole.
        """
        guessing = isinstance(error, Overloaded) and error.retry_after is None
        base = self.overloaded_base if guessing else self.base
        backoff = min(self.cap, base * 2.0 ** min(attempt - 1, 30))
        return (error.retry_after or 0.0) + random() * backoff


def retry(
    call: Callable[[], T],
    policy: Policy,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    random: Callable[[], float] = chance.random,
) -> T:
    """What the call returns, at last.

    Args:
        call: made at least once; its Overloaded and Unavailable are tried again.
        policy: how often, and how long.
        clock: seconds, from any beginning.
        sleep: waits for so many seconds.
        random: from 0 up to 1.

    Raises:
        ServiceError: the last one, with the number of attempts made; at once
            where it is not worth another try, or where the wait would pass
            the deadline.
    """
    began, attempt = clock(), 0
    while True:
        attempt += 1
        try:
            return call()
        except ServiceError as error:
            error.attempts = attempt
            if not isinstance(error, WORTH_ANOTHER_TRY) or attempt >= policy.attempts:
                raise
            wait = policy.wait(attempt, error, random)
            if clock() - began + wait > policy.deadline:
                raise
        sleep(wait)


class Retrying:
    """A TextModel that asks another one again; the arguments are those of `retry`."""

    def __init__(
        self,
        model: TextModel,
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self._model = model
        self._policy = policy
        self._clock, self._sleep, self._random = clock, sleep, random

    def complete(self, prompt: Prompt) -> Completion:
        """As many calls as it takes, or as the policy allows."""
        return retry(
            lambda: self._model.complete(prompt),
            self._policy,
            self._clock,
            self._sleep,
            self._random,
        )


class RetryingVoice:
    """A Voice that asks another one again; the arguments are those of `retry`."""

    def __init__(
        self,
        voice: Voice,
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self.max_bytes = voice.max_bytes
        self.max_sentence = voice.max_sentence
        self._voice = voice
        self._policy = policy
        self._clock, self._sleep, self._random = clock, sleep, random

    def speak(self, utterance: Utterance) -> Speech:
        """As many calls as it takes, or as the policy allows."""
        return retry(
            lambda: self._voice.speak(utterance),
            self._policy,
            self._clock,
            self._sleep,
            self._random,
        )
