"""The Gemini writer: one call of generateContent a prompt, every answer and error by its code."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import httpx
from google.auth import exceptions as auth
from google.genai import Client, errors, types
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from services.errors import Overloaded, QuotaExhausted, Refused, ServiceError, Unavailable
from services.ports import Completion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.auth.credentials import Credentials

    from domain.prompts import Prompt
    from services.access import GeminiAccess

MOST_IDLE: Final = 100
"""Connections kept open between calls; how many there are at once is the caller's decision."""
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


class GeminiWriter:
    """Writes with Gemini, through google-genai; safe for many threads, which share its connections.

    google-genai sends the request; the answer is read here, because its own
    reading joins thoughts with text and warns of reasons that it does not know.

    Args:
        access: a key, or a project on Vertex AI.
        generation_timeout: seconds that a script may take; adaptation_timeout:
            that its adaptation may take. The service is told them as well.
        endpoint: base URL instead of the vendor's.
        credentials: for Vertex AI, instead of Application Default Credentials.
    """

    def __init__(
        self,
        access: GeminiAccess,
        *,
        generation_timeout: float = 120,
        adaptation_timeout: float = 120,
        endpoint: str = "",
        credentials: Credentials | None = None,
    ) -> None:
        self._timeouts = {"variation": generation_timeout, "adaptation": adaptation_timeout}
        self._key = access.api_key
        options = types.HttpOptions(
            base_url=endpoint or None,
            retry_options=None,  # one attempt; services.retrying obeys RetryInfo
            client_args={
                # httpx stops at 100 connections, and a call that waits for one times out.
                "limits": httpx.Limits(max_connections=None, max_keepalive_connections=MOST_IDLE),
                "follow_redirects": False,  # the key would go along
            },
        )
        self._client = Client(
            vertexai=bool(access.project),
            api_key=access.api_key or None,
            project=access.project or None,
            location=access.location or None,
            credentials=credentials,
            http_options=options,
        )

    def complete(self, prompt: Prompt) -> Completion:
        """One call, with the generation parameters of the prompt's agent.

        Returns:
            The text without the model's thoughts. The tokens of these are
            output tokens, as they are on the bill.

        Raises:
            Refused: `refused_…` by the reason that the model gives for its end,
                `empty_answer`, `invalid_argument`, `unauthenticated`,
                `permission_denied`, `not_found`.
            QuotaExhausted: `quota_exhausted`.
            Overloaded: `rate_limited`.
            Unavailable: `timeout`, `unavailable`.
        """
        seconds = self._timeouts[prompt.task]
        try:
            response = self._client.models.generate_content(
                model=prompt.agent.model, contents=prompt.user, config=_config(prompt, seconds)
            )
        except errors.APIError as error:
            raise service_error(error, self._key) from None
        except httpx.TimeoutException:
            raise Unavailable(f"no answer in {seconds:g} seconds", code="timeout") from None
        except httpx.HTTPError as error:  # its text may quote headers, and so the key
            raise Unavailable(f"the connection failed: {type(error).__name__}") from None
        except auth.TransportError:
            raise Unavailable("Google's credentials could not be renewed") from None
        except auth.GoogleAuthError as error:
            reason = f"Google's credentials are of no use: {type(error).__name__}"
            raise Refused(reason, code="unauthenticated") from None
        except UnicodeDecodeError:
            raise Unavailable("the answer was no text") from None
        except (ValueError, httpx.InvalidURL):
            raise Refused(f"no model can be called {prompt.agent.model!r}") from None
        http = response.sdk_http_response
        return completion(http.body if http else None, prompt.agent.model)


def _config(prompt: Prompt, seconds: float) -> types.GenerateContentConfig:
    agent = prompt.agent
    thinking = (
        None
        if agent.thinking_budget is None
        else types.ThinkingConfig(thinking_budget=agent.thinking_budget)
    )
    return types.GenerateContentConfig(
        system_instruction=prompt.system,
        temperature=agent.temperature,
        top_p=agent.top_p,
        top_k=agent.top_k,
        max_output_tokens=agent.max_output_tokens,
        thinking_config=thinking,
        http_options=types.HttpOptions(timeout=math.ceil(seconds * 1000)),  # milliseconds
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        should_return_http_response=True,
    )


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


def completion(body: str | None, model: str) -> Completion:
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


def service_error(error: errors.APIError, key: str = "") -> ServiceError:
    """An error as google-genai raises it → what the caller can do about it, the key left out."""
    details = tuple(_details(error.details))
    message = _told(error, key)
    if error.code == 429:
        if _will_not_heal(str(error.message or ""), details):
            return QuotaExhausted(message)
        return Overloaded(message, retry_after=_retry_after(error, details))
    if error.code in {408, 504}:
        return Unavailable(message, code="timeout", retry_after=_retry_after(error, details))
    if error.code == 499 or error.code >= 500:
        return Unavailable(message, retry_after=_retry_after(error, details))
    code = _STATUSES.get(error.code, "invalid_argument")
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        code = "unauthenticated"  # though it comes as a 400
    return Refused(message, code=code)


def _told(error: errors.APIError, key: str) -> str:
    """Status and message, in a line of readable length.

    A service may name the key itself: `Consumer 'api_key:AIza…' has been suspended`.
    """
    said = " ".join(str(error.message or "").split())
    said = said.replace(key, "(key)") if key else said
    if len(said) > MOST_CHARACTERS:
        said = said[:MOST_CHARACTERS].rsplit(" ", 1)[0] + "…"
    return f"{error.code} {error.status or ''}: {said}".replace(" :", ":").removesuffix(": ")


def _details(body: Any) -> Iterator[dict[str, Any]]:
    """The google.rpc details of an error's body, as far as it has the shape of one."""
    error = body.get("error", body) if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
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


def _retry_after(error: errors.APIError, details: tuple[dict[str, Any], ...]) -> float | None:
    """Seconds that the service asks to wait: RetryInfo, or else the header."""
    delays = [detail["retryDelay"] for detail in details if "retryDelay" in detail]
    delays += [getattr(error.response, "headers", {}).get("retry-after", "")]
    for delay in delays:
        if duration := _DURATION.fullmatch(str(delay)):
            return float(duration[1])
    return None
