"""Gemini by google-genai: Vertex AI and its credentials, and the budget for thinking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.auth import exceptions as auth
from google.oauth2.credentials import Credentials

from services.access import GeminiAccess
from services.errors import Refused, Unavailable
from services.writers.gemini import GeminiWriter
from tests.services.conftest import KEY, variation

if TYPE_CHECKING:
    from tests.simulators.gemini import GeminiSimulator


def test_a_thinking_budget_is_sent_where_it_is_given(gemini: GeminiSimulator) -> None:
    """None at all is a budget, too."""
    GeminiWriter(GeminiAccess(KEY), endpoint=gemini.url).complete(variation(thinking_budget=0))
    (call,) = gemini.calls
    # so spelt by google-genai; proto JSON has both
    assert call.body["generationConfig"]["thinkingConfig"] == {"thinking_budget": 0}


def test_vertex_is_asked_with_a_token_instead_of_a_key(
    gemini: GeminiSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path names project and location, and a key in the environment is left there."""
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    writer = GeminiWriter(
        GeminiAccess(project="a-project", location="europe-west4"),
        endpoint=gemini.url,
        credentials=Credentials(token="a-token"),  # noqa: S106
    )
    assert "O café" in writer.complete(variation()).text
    (call,) = gemini.calls
    assert call.path == (
        "/v1beta1/projects/a-project/locations/europe-west4"
        "/publishers/google/models/gemini-2.5-flash:generateContent"
    )
    assert call.headers["authorization"] == "Bearer a-token"
    assert KEY not in str(call)


def test_credentials_that_cannot_be_renewed_are_refused(gemini: GeminiSimulator) -> None:
    """A token that has run out with nothing to renew it is no outage."""
    writer = GeminiWriter(
        GeminiAccess(project="a-project", location="global"),
        endpoint=gemini.url,
        credentials=Credentials(token=None),
    )
    with pytest.raises(Refused) as caught:
        writer.complete(variation())
    assert (caught.value.code, gemini.calls) == ("unauthenticated", [])


class Offline(Credentials):
    """Credentials whose server cannot be reached."""

    def refresh(self, request: Any) -> None:
        raise auth.TransportError(f"cannot reach the server of {request}")


def test_credentials_that_cannot_be_renewed_now_are_an_outage(gemini: GeminiSimulator) -> None:
    """Their server being away is worth another try."""
    writer = GeminiWriter(
        GeminiAccess(project="a-project", location="global"),
        endpoint=gemini.url,
        credentials=Offline(token=None),  # type: ignore[no-untyped-call]
    )
    with pytest.raises(Unavailable) as caught:
        writer.complete(variation())
    assert (caught.value.code, gemini.calls) == ("unavailable", [])
