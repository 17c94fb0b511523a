"""Errors of Google's client libraries, as the ports' own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from google.api_core import exceptions
from google.rpc import error_details_pb2

from services.errors import Overloaded, QuotaExhausted, Refused, ServiceError, Unavailable

if TYPE_CHECKING:
    from google.auth.exceptions import DefaultCredentialsError

_KINDS: Final[tuple[tuple[type[exceptions.GoogleAPICallError], type[ServiceError], str], ...]] = (
    (exceptions.Unauthenticated, Refused, "unauthenticated"),
    (exceptions.PermissionDenied, Refused, "permission_denied"),
    (exceptions.DeadlineExceeded, Unavailable, "timeout"),
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


def without_credentials(service: str, error: DefaultCredentialsError) -> Refused:
    """What to tell where there are no Application Default Credentials."""
    reason = str(error).split(". ", maxsplit=1)[0].rstrip(".")
    return Refused(
        f"{service} needs credentials ({reason}): run `gcloud auth application-default login`, "
        "or set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file",
        code="unauthenticated",
    )
