"""Gemini by google-generativeai: what this SDK cannot do is refused, and its reading is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.access import GeminiAccess
from services.errors import Refused, Unavailable
from tests.services.conftest import KEY, connect_generativeai, needs_generativeai, variation
from tests.simulators import gemini as simulators

if TYPE_CHECKING:
    from tests.simulators.gemini import GeminiSimulator

pytestmark = needs_generativeai


def test_vertex_is_refused_with_what_to_do_instead() -> None:
    """This SDK reaches the Gemini API only."""
    with pytest.raises(Refused, match="GOOGLE_API_KEY, or choose the writer gemini") as caught:
        connect_generativeai(GeminiAccess(project="a-project", location="global"))
    assert caught.value.code == "unauthenticated"


@pytest.mark.parametrize("budget", [0, -1, 512])
def test_a_thinking_budget_is_refused_before_any_call(gemini: GeminiSimulator, budget: int) -> None:
    """Nobody pays for thoughts that they have forbidden."""
    writer = connect_generativeai(GeminiAccess(KEY), endpoint=gemini.url)
    with pytest.raises(Refused, match=f"thinking_budget is {budget}, .* leave it out") as caught:
        writer.complete(variation(thinking_budget=budget))
    assert (caught.value.code, gemini.calls) == ("invalid_argument", [])


def test_reasons_are_asked_for_by_name(gemini: GeminiSimulator) -> None:
    """By number, as this SDK would have them, one of next year would mean nothing."""
    connect_generativeai(GeminiAccess(KEY), endpoint=gemini.url).complete(variation())
    assert "enum-encoding" not in gemini.calls[-1].path


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", 5, None, {"candidates": 5}, {"candidates": [[]]}, {"usageMetadata": []}]
)
def test_what_the_sdk_cannot_read_is_judged_all_the_same(
    gemini: GeminiSimulator, monkeypatch: pytest.MonkeyPatch, body: object
) -> None:
    """No error of the SDK's own reading gets through."""
    monkeypatch.setitem(simulators.REPLIES, "no_json", simulators.Reply(200, body))
    gemini.plan("no_json")
    with pytest.raises(Unavailable) as caught:
        connect_generativeai(GeminiAccess(KEY), endpoint=gemini.url).complete(variation())
    assert caught.value.code == "unavailable"
