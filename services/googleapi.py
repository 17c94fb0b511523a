"""Google's APIs: credentials that are there or not, and the errors of their clients."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

import google.auth
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.rpc import error_details_pb2

from services.errors import Overloaded, QuotaExhausted, Refused, ServiceError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Remedies: TypeAlias = "Mapping[str, str]"
"""What to do about an error, by its code."""

TIMEOUT: Final = 60.0
"""Seconds that a short call may take, its repetitions included."""
RETRY: Final = Retry(
    predicate=if_exception_type(
        exceptions.ServiceUnavailable,
        exceptions.InternalServerError,
        exceptions.Aborted,
        exceptions.TooManyRequests,
    ),
    timeout=TIMEOUT,
)
"""For calls that may be repeated."""
LOGIN: Final = (
    "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a "
    "service account's key file"
)


def check_credentials(user: str) -> None:
    """Whether Application Default Credentials are there; they are not used yet.

    Args:
        user: whatever needs them, such as `Google Text-to-Speech`.

    Raises:
        Refused: `unauthenticated`, with what to do.
    """
    with told(user, {}):
        google.auth.default()


@contextmanager
def told(name: str, remedies: Remedies) -> Iterator[None]:
    """Errors of Google's clients leave it as ServiceErrors that name what was asked.

    Args:
        name: of the resource, in front of the service's own words.
        remedies: behind them.
    """
    try:
        yield
    except exceptions.RetryError as error:  # of many tries; what ended the last tells more
        raise _named(name, error.cause or error, remedies) from error
    except (exceptions.GoogleAPICallError, GoogleAuthError) as error:
        raise _named(name, error, remedies) from error


def _named(name: str, error: BaseException, remedies: Remedies) -> ServiceError:
    if isinstance(error, DefaultCredentialsError):
        reason = str(error).split(". ", maxsplit=1)[0].rstrip(".")
        return Refused(f"{name} needs credentials ({reason}): {LOGIN}", code="unauthenticated")
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        return Refused(f"{name}, credentials: {error}; {LOGIN}", code="unauthenticated")
    if not isinstance(error, exceptions.GoogleAPICallError):
        return Unavailable(f"{name} cannot be reached: {error}")
    known = service_error(error)
    remedy = remedies.get(known.code)
    message = f"{name}: {known.message.rstrip('.')}" + (f"; {remedy}" if remedy else "")
    return type(known)(message, code=known.code, retry_after=known.retry_after)


_KINDS: Final[tuple[tuple[type[exceptions.GoogleAPICallError], type[ServiceError], str], ...]] = (
    (exceptions.Unauthorized, Refused, "unauthenticated"),
    (exceptions.Forbidden, Refused, "permission_denied"),
    (exceptions.NotFound, Refused, "not_found"),
    (exceptions.GatewayTimeout, Unavailable, "timeout"),
    (exceptions.TooManyRequests, Overloaded, "rate_limited"),
    (exceptions.Cancelled, Unavailable, "unavailable"),
    (exceptions.Aborted, Unavailable, "unavailable"),
    (exceptions.ClientError, Refused, "invalid_argument"),
)
"""The first that fits; whatever is left is the server's fault and worth another try."""

_LASTING: Final = re.compile(r"per[ _-]?day|\bdaily\b|limit(_value)?\s*[:=]\s*0\b", re.IGNORECASE)
"""What tells of a quota that the next minute does not renew: of the day, or of zero."""


def service_error(error: exceptions.GoogleAPICallError) -> ServiceError:
    """The port's error for one of the client's, with the service's words."""
    kind, code = next(
        ((kind, code) for known, kind, code in _KINDS if isinstance(error, known)),
        (Unavailable, "unavailable"),
    )
    if kind is Overloaded and _LASTING.search(_quota_told(error)):
        return QuotaExhausted(error.message)
    return kind(error.message, code=code, retry_after=_retry_after(error))


def _quota_told(error: exceptions.GoogleAPICallError) -> str:
    """All that the service says about the quota, in its message and beside it."""
    told = [error.message]
    for detail in error.details or []:
        if isinstance(detail, error_details_pb2.ErrorInfo):
            told += (f"{key}={value}" for key, value in detail.metadata.items())
        elif isinstance(detail, error_details_pb2.QuotaFailure):
            told += (str(violation) for violation in detail.violations)
    return "\n".join(told)


def _retry_after(error: exceptions.GoogleAPICallError) -> float | None:
    """Seconds that the service asks to wait (`google.rpc.RetryInfo`)."""
    for detail in error.details or []:
        if isinstance(detail, error_details_pb2.RetryInfo):
            return float(detail.retry_delay.ToNanoseconds() / 1e9)
    return None
