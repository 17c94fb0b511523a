"""Errors of the services: what a port may raise, and what the caller can do about it."""

from __future__ import annotations

from typing import Any


class ServiceError(Exception):
    """A service did not do what it was asked.

        ServiceError
        ├─ Refused          will never succeed as asked
        ├─ Overloaded       too many requests now; worth another try later
        ├─ QuotaExhausted   a daily or zero quota: waiting minutes will not help
        └─ Unavailable      server error, connection, deadline; worth another try

    Args:
        code: stable, for programs: `refused_safety`, `rate_limited`, `timeout`, …
        message: for people; holds no credential.
        attempts: how many calls were made in all.
        retry_after: seconds the service itself asked to wait, where it did.
    """

    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        attempts: int = 1,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.attempts = attempts
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.code, self.attempts, self.retry_after)


def _rebuild(
    kind: type[ServiceError], message: str, code: str, attempts: int, retry_after: float | None
) -> ServiceError:
    return kind(message, code=code, attempts=attempts, retry_after=retry_after)


class Refused(ServiceError):
    """Will never succeed as asked: invalid argument, safety block, empty answer."""

    code = "invalid_argument"


class Overloaded(ServiceError):
    """Too many requests for now (429, RESOURCE_EXHAUSTED)."""

    code = "rate_limited"


class QuotaExhausted(ServiceError):
    """A quota of the day, or of zero: waiting minutes will not help."""

    code = "quota_exhausted"


class Unavailable(ServiceError):
    """The service is away: 5xx, connection lost, deadline passed."""

    code = "unavailable"
