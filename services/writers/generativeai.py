"""The Gemini writer on google-generativeai, the SDK before google-genai; the extra `generativeai`."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Final

import google.generativeai as genai
import requests
from google.ai import generativelanguage
from google.protobuf import json_format
from requests.adapters import HTTPAdapter

from services.errors import Refused, Unavailable
from services.writers.answers import completion, service_error

if TYPE_CHECKING:
    from domain.prompts import Prompt
    from services.access import GeminiAccess
    from services.ports import Completion

MOST_IDLE: Final = 100
"""Connections kept open between calls; how many there are at once is the caller's decision."""


class GenerativeAiWriter:
    """Writes with Gemini, through google-generativeai; safe for many threads.

    For those who cannot leave this SDK yet: its life ended on 2025-11-30, and
    importing it warns of that. What it lacks is refused rather than left out:

    - Vertex AI: there is an API key or nothing.
    - A thinking budget: an agent that sets one is refused before any call. Where
      it sets none, the model thinks as much as it does by itself.

    The SDK makes the request and sends it; the answer is read here, because the
    SDK drops reasons that it does not know, and cannot tell thoughts from text.

    Args:
        access: a key.
        generation_timeout: seconds that a script may take; adaptation_timeout:
            that its adaptation may take. The service is told them as well.
        endpoint: base URL instead of the vendor's.

    Raises:
        Refused: `unauthenticated`, where access is to Vertex AI.
    """

    def __init__(
        self,
        access: GeminiAccess,
        *,
        generation_timeout: float = 120,
        adaptation_timeout: float = 120,
        endpoint: str = "",
    ) -> None:
        if not access.api_key:
            raise Refused(
                "google-generativeai has no Vertex AI: leave GOOGLE_GENAI_USE_VERTEXAI out and "
                "set GOOGLE_API_KEY, or choose the writer gemini",
                code="unauthenticated",
            )
        self._timeouts = {"variation": generation_timeout, "adaptation": adaptation_timeout}
        # genai.configure() would do the same for the whole process.
        self._client = generativelanguage.GenerativeServiceClient(
            transport="rest",  # gRPC would need TLS at any endpoint
            client_options={
                "api_key": access.api_key,
                "api_endpoint": endpoint.rstrip("/") or None,
            },
        )
        self._connections = _Connections(access.api_key)
        session = self._client.transport._session  # noqa: SLF001 - the only way to its connections
        for scheme in ("https://", "http://"):
            session.mount(scheme, self._connections)

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
        model = self._model(prompt)
        try:
            model.generate_content(prompt.user, request_options=_options(seconds))
        except requests.Timeout:
            raise Unavailable(f"no answer in {seconds:g} seconds", code="timeout") from None
        except requests.RequestException as error:  # its text may quote the request
            raise Unavailable(f"the connection failed: {type(error).__name__}") from None
        except (json_format.ParseError, UnicodeDecodeError):
            pass  # from the SDK's own reading; what the answer is worth is decided below
        except ValueError:
            raise Refused(f"no model can be called {prompt.agent.model!r}") from None
        return completion(self._connections.answer(), prompt.agent.model)

    def _model(self, prompt: Prompt) -> Any:
        agent = prompt.agent
        if agent.thinking_budget is not None:
            raise Refused(
                f"agent.thinking_budget is {agent.thinking_budget}, which google-generativeai "
                "cannot ask for: leave it out, or choose the writer gemini"
            )
        model = genai.GenerativeModel(
            agent.model,
            system_instruction=prompt.system,
            generation_config=genai.GenerationConfig(
                temperature=agent.temperature,
                top_p=agent.top_p,
                top_k=agent.top_k,
                max_output_tokens=agent.max_output_tokens,
            ),
        )
        model._client = self._client  # noqa: SLF001 - otherwise the whole process's
        return model


def _options(seconds: float) -> dict[str, Any]:
    return {
        "timeout": seconds,
        "retry": None,  # one attempt; services.retrying obeys RetryInfo
        "metadata": [("x-server-timeout", str(math.ceil(seconds)))],
    }


class _Connections(HTTPAdapter):
    """Kept open and shared by all threads; whoever has called finds the answer's body here.

    An error ends the call at once. The SDK would follow redirects, with the key,
    and repeat what is answered with 401.

    Args:
        key: to be left out of messages.
    """

    def __init__(self, key: str) -> None:
        super().__init__(pool_maxsize=MOST_IDLE)
        self._key = key
        self._last = threading.local()

    def send(
        self, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        """One request, one response."""
        # The SDK's query asks for reasons as numbers; those it does not know have no name then.
        request.url = (request.url or "").partition("?")[0]
        response = super().send(request, *args, **options)
        if response.status_code >= 300:
            header = response.headers.get("retry-after", "")
            raise service_error(response.status_code, _body(response), header=header, key=self._key)
        self._last.body = response.content
        return response

    def answer(self) -> bytes:
        """The body of this thread's last call."""
        body: bytes = self._last.body
        return body


def _body(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return {"message": response.text, "status": response.reason}
