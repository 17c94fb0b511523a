"""Access: which variables count, what is missing, and that a key stays where it is."""

from __future__ import annotations

import pickle

import pytest

from services.access import GeminiAccess
from services.errors import Refused

VERTEX = {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_CLOUD_PROJECT": "a-project"}


@pytest.mark.parametrize(
    ("environment", "access"),
    [
        ({"GOOGLE_API_KEY": "one"}, GeminiAccess("one")),
        ({"GEMINI_API_KEY": " two\n"}, GeminiAccess("two")),
        ({"GOOGLE_API_KEY": "one", "GEMINI_API_KEY": "two"}, GeminiAccess("one")),
        ({"GOOGLE_API_KEY": " ", "GEMINI_API_KEY": "two"}, GeminiAccess("two")),
        (VERTEX, GeminiAccess("", "a-project", "global")),
        (
            VERTEX | {"GOOGLE_CLOUD_LOCATION": "europe-west4", "GOOGLE_API_KEY": "one"},
            GeminiAccess("", "a-project", "europe-west4"),
        ),
        (
            VERTEX | {"GOOGLE_GENAI_USE_VERTEXAI": "0", "GOOGLE_API_KEY": "one"},
            GeminiAccess("one"),
        ),
    ],
)
def test_variables_count_as_for_google_genai(
    environment: dict[str, str], access: GeminiAccess
) -> None:
    """Vertex AI goes before a key, GOOGLE_API_KEY before GEMINI_API_KEY."""
    assert GeminiAccess.of(environment) == access


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "Gemini needs a key in GOOGLE_API_KEY or GEMINI_API_KEY, or Vertex AI"),
        ({"GOOGLE_GENAI_USE_VERTEXAI": "1"}, "needs GOOGLE_CLOUD_PROJECT as well"),
        ({"GEMINI_API_KEY": "a secret"}, "GEMINI_API_KEY is no API key"),
        ({"GOOGLE_API_KEY": "sécret"}, "GOOGLE_API_KEY is no API key"),
    ],
)
def test_what_is_missing_is_told_without_the_key(environment: dict[str, str], told: str) -> None:
    """The message names variables, never what is in them."""
    with pytest.raises(Refused, match=told) as caught:
        GeminiAccess.of(environment)
    assert caught.value.code == "unauthenticated"
    assert "cret" not in caught.value.message


def test_a_key_is_in_no_repr_and_in_no_pickle() -> None:
    """Neither a log nor an element can carry it away."""
    access = GeminiAccess("secret")
    assert "secret" not in repr(access)
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(access)
