"""Gemini's answers: what is read of one that is short of this or that, or of another shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.writers.answers import completion, service_error
from tests.services.conftest import KEY


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("3.5s", 3.5), ("0s", 0.0), ("soon", None), ("-1s", None), (7, 7.0), (None, None)],
)
def test_a_delay_is_read_where_it_is_one(delay: Any, seconds: float | None) -> None:
    """RetryInfo of another shape counts as none."""
    body = {"error": {"message": "slow down", "details": [{"retryDelay": delay}, "else"]}}
    assert service_error(429, body).retry_after == seconds


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"details": [{"violations": [5, {"description": "limit: 0"}]}]}},
        {"error": {"details": [{"violations": [{"description": "Requests per day"}]}]}},
        {"error": {"message": "Quota exceeded for metric: tokens, limit: 0, model: gemini"}},
    ],
)
def test_a_quota_is_told_by_its_words_too(body: dict[str, Any]) -> None:
    """Older answers have no quotaId."""
    assert service_error(429, body).code == "quota_exhausted"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"error": None},
        {"error": "text"},
        {"error": {"details": "none", "message": "limit: 0.5"}},
        {"error": {"details": [{"violations": "many"}]}},
        [{"error": {"message": "limit: 05"}}],
        [],
        "text",
        None,
    ],
)
def test_an_error_of_any_shape_is_an_error_all_the_same(body: Any) -> None:
    """The status alone is enough."""
    assert service_error(429, body).code == "rate_limited"


def test_a_long_message_is_cut_after_the_key_was_taken_out() -> None:
    """No part of a key is left at the cut."""
    body = {"error": {"message": "x" * 290 + f" {KEY} " + "y" * 900, "status": "PERMISSION_DENIED"}}
    message = service_error(403, body, key=KEY).message
    assert message.startswith("403 PERMISSION_DENIED: xxx")
    assert KEY[:6] not in message
    assert len(message) < 350


def test_an_answer_without_version_or_usage_is_enough() -> None:
    """What the service leaves out is what was asked, and nothing counted."""
    body = {"candidates": [{"content": {"parts": [{"text": "Só."}]}, "finishReason": "STOP"}]}
    answer = completion(json.dumps(body), "gemini-x")
    assert (answer.text, answer.model) == ("Só.", "gemini-x")
    assert (answer.input_tokens, answer.output_tokens) == (0, 0)
