"""What Gemini answers: a completion, or an error by its code, whichever SDK has asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from services.errors import Overloaded, QuotaExhausted, Refused, ServiceError, Unavailable
from services.ports import Completion

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CHARACTERS: Final = 300
"""Of a service's own message; those about quotas go on for paragraphs."""

_REFUSALS: Final = {
    "MAX_TOKENS": "refused_max_tokens",
    "SAFETY": "refused_safety",
    "RECITATION": "refused_recitation",
    "LANGUAGE": "refused_language",
    "BLOCKLIST": "refused_blocklist",
    "PROHIBITED_CONTENT": "refused_prohibited_content",
    "SPII": "refused_spii",
}
"""Codes by finish and block reason; any other reason is `refused_other`."""

_STATUSES: Final = {401: "unauthenticated", 403: "permission_denied", 404: "not_found"}
"""Codes by HTTP status; any other below 500 is `invalid_argument`."""

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)s?")
_LIMIT_OF_ZERO: Final = re.compile(r"\blimit: 0(?![\d.])")
_PER_DAY: Final = re.compile(r"per ?day", re.IGNORECASE)


class _Wire(BaseModel):
    """A part of the answer; what is not needed of it is ignored."""

    model_config = ConfigDict(alias_generator=to_camel, hide_input_in_errors=True)


class _Part(_Wire):
    text: str = ""
    thought: bool = False


class _Content(_Wire):
    parts: list[_Part] = []


class _Candidate(_Wire):
    content: _Content = _Content()
    finish_reason: str = ""


class _Feedback(_Wire):
    block_reason: str = ""


class _Usage(_Wire):
    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0


class _Answer(_Wire):
    candidates: list[_Candidate] = []
    prompt_feedback: _Feedback = _Feedback()
    usage_metadata: _Usage = _Usage()
    model_version: str = ""


def completion(body: str | bytes | None, model: str) -> Completion:
    """The body of a successful response → what the model wrote, if it wrote all of it.

    Args:
        body: JSON of a GenerateContentResponse.
        model: that was asked; the answer may name itself more precisely.

    Raises:
        Refused: by the reason given, or `empty_answer`.
        Unavailable: where the body is not such JSON.
    """
    try:
        answer = _Answer.model_validate_json(body or "")
    except ValidationError:
        raise Unavailable("the answer was not what Gemini answers") from None
    if reason := answer.prompt_feedback.block_reason:
        raise _refusal(reason, "the prompt was blocked")
    if not answer.candidates:
        raise Refused("the model gave no answer", code="empty_answer")
    first = answer.candidates[0]
    if first.finish_reason != "STOP":
        raise _refusal(first.finish_reason or "no reason given", "the model stopped")
    text = "".join(part.text for part in first.content.parts if not part.thought)
    if not text.strip():
        raise Refused("the model's answer was empty", code="empty_answer")
    usage = answer.usage_metadata
    return Completion(
        text,
        answer.model_version or model,
        usage.prompt_token_count,
        usage.candidates_token_count + usage.thoughts_token_count,
    )


def _refusal(reason: str, what: str) -> Refused:
    return Refused(f"{what}: {reason}", code=_REFUSALS.get(reason, "refused_other"))


def service_error(code: int, body: Any, *, header: str = "", key: str = "") -> ServiceError:
    """A response that is none of success → what the caller can do about it.

    Args:
        code: HTTP status.
        body: as JSON; of any shape, Google's `{"error": {…}}` as a rule.
        header: `Retry-After`, where there is one.
        key: to be left out of the message.
    """
    error = _error(body)
    details = tuple(_details(error))
    message = _told(code, error, key)
    wait = _retry_after(details, header)
    if code == 429:
        if _will_not_heal(_text(error, "message"), details):
            return QuotaExhausted(message)
        return Overloaded(message, retry_after=wait)
    if code in {408, 504}:
        return Unavailable(message, code="timeout", retry_after=wait)
    if code == 499 or code >= 500:
        return Unavailable(message, retry_after=wait)
    refused = _STATUSES.get(code, "invalid_argument")
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        refused = "unauthenticated"  # though it comes as a 400
    return Refused(message, code=refused)


def _error(body: Any) -> dict[str, Any]:
    """What a body says of the error, as far as it has the shape of one."""
    if isinstance(body, list) and len(body) == 1:
        (body,) = body
    error = body.get("error", body) if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _text(error: dict[str, Any], name: str) -> str:
    return str(error.get(name) or "")


def _told(code: int, error: dict[str, Any], key: str) -> str:
    """Status and message, in a line of readable length.

    A service may name the key itself: `Consumer 'api_key:AIza…' has been suspended`.
    """
    said = " ".join(_text(error, "message").split())
    said = said.replace(key, "(key)") if key else said
    if len(said) > MOST_CHARACTERS:
        said = said[:MOST_CHARACTERS].rsplit(" ", 1)[0] + "…"
    return f"{code} {_text(error, 'status')}: {said}".replace(" :", ":").removesuffix(": ")


def _details(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The google.rpc details of an error."""
    details = error.get("details")
    if isinstance(details, list):
        yield from (detail for detail in details if isinstance(detail, dict))


def _will_not_heal(message: str, details: tuple[dict[str, Any], ...]) -> bool:
    """Whether a quota is zero, or of the day."""
    if _LIMIT_OF_ZERO.search(message):
        return True
    for detail in details:
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if not isinstance(violation, dict):
                continue
            said = str(violation.get("description", ""))
            if (
                str(violation.get("quotaValue", "")) == "0"
                or _LIMIT_OF_ZERO.search(said)
                or _PER_DAY.search(said)
                or _PER_DAY.search(str(violation.get("quotaId", "")))
            ):
                return True
    return False


def _retry_after(details: tuple[dict[str, Any], ...], header: str) -> float | None:
    """Seconds that the service asks to wait: RetryInfo, or else the header."""
    delays = [detail["retryDelay"] for detail in details if "retryDelay" in detail]
    for delay in (*delays, header):
        if duration := _DURATION.fullmatch(str(delay)):
            return float(duration[1])
    return None
