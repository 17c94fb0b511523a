"""The Gemini writer: one call of generateContent a prompt, every answer and error by its code."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
from google.auth import exceptions as auth
from google.genai import Client, errors, types

from services.errors import Refused, Unavailable
from services.writers.answers import completion, service_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.auth.credentials import Credentials

    from domain.prompts import Prompt
    from services.access import GeminiAccess
    from services.ports import Completion

MOST_IDLE: Final = 100
"""Connections kept open between calls; how many there are at once is the caller's decision."""


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
        with self._telling(prompt.agent.model, seconds):
            response = self._client.models.generate_content(
                model=prompt.agent.model, contents=prompt.user, config=_config(prompt, seconds)
            )
        http = response.sdk_http_response
        return completion(http.body if http else None, prompt.agent.model)

    def count(self, text: str, model: str, *, seconds: float) -> int:
        """Tokens of a text; free of charge, and shows whether a model can be used at all.

        Raises:
            ServiceError: as complete() does.
        """
        config = types.CountTokensConfig(http_options=_timeout(seconds))
        with self._telling(model, seconds):
            answer = self._client.models.count_tokens(model=model, contents=text, config=config)
        return answer.total_tokens or 0

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    @contextmanager
    def _telling(self, model: str, seconds: float) -> Iterator[None]:
        """What the SDK raises in a call leaves it as the port's error, without the key."""
        try:
            yield
        except errors.APIError as error:
            header = getattr(error.response, "headers", {}).get("retry-after", "")
            raise service_error(error.code, error.details, header=header, key=self._key) from None
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
            raise Refused(f"no model can be called {model!r}") from None


def _timeout(seconds: float) -> types.HttpOptions:
    return types.HttpOptions(timeout=math.ceil(seconds * 1000))  # milliseconds


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
        http_options=_timeout(seconds),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        should_return_http_response=True,
    )
