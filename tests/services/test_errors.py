"""What a port may raise."""

from __future__ import annotations

import pickle

import pytest

from services.errors import Overloaded, QuotaExhausted, Refused, ServiceError, Unavailable

CODES = {
    ServiceError: "internal",
    Refused: "invalid_argument",
    Overloaded: "rate_limited",
    QuotaExhausted: "quota_exhausted",
    Unavailable: "unavailable",
}


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_each_error_has_a_stable_code(kind: type[ServiceError], code: str) -> None:
    """Programs read the code, people the message."""
    error = kind("it said no")
    assert (error.code, error.message, str(error)) == (code, "it said no", "it said no")
    assert (error.attempts, error.retry_after) == (1, None)
    assert isinstance(error, ServiceError)


@pytest.mark.parametrize("kind", CODES)
def test_an_error_crosses_processes(kind: type[ServiceError]) -> None:
    """It pickles with all it knows."""
    error = kind("slow down", code="timeout", attempts=3, retry_after=1.5)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(again) is kind
    assert (again.message, str(again)) == ("slow down", "slow down")
    assert (again.code, again.attempts, again.retry_after) == ("timeout", 3, 1.5)


def test_kinds_of_error_do_not_catch_each_other() -> None:
    """Each kind asks something else of the caller."""
    kinds = [kind for kind in CODES if kind is not ServiceError]
    assert all(not issubclass(one, other) for one in kinds for other in kinds if one is not other)
