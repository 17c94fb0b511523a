"""What a text model is asked for."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import prompts
from domain.prompts.aspects import default_aspects
from tests.builders import agent, item, script, script_task


def test_a_variation_names_all_that_the_script_depends_on() -> None:
    """Title, aspect, language, length, and the agent's name and instructions are in it."""
    prompt = prompts.variation(
        script_task("A história do café", variation=2),
        agent(
            name="Documentarista",
            instructions=" Tom caloroso. ",
            master_language="es-ES",
            aspects=["história", "curiosidades"],
            target_minutes=2.5,
        ),
    )
    assert (prompt.task, prompt.language, prompt.variation) == ("variation", "es-ES", 2)
    assert (prompt.title, prompt.aspect) == ("A história do café", "curiosidades")
    assert (prompt.source, prompt.target_words) == ("", 350)
    for part in ("<title>\nA história do café\n</title>", "curiosidades", "es-ES", "350", "2.5"):
        assert part in prompt.user
    for part in ("You are Documentarista,", "es-ES", "\n\nTom caloroso.\n\n"):
        assert part in prompt.system


def test_an_adaptation_names_both_languages_and_holds_the_script() -> None:
    """The model sees what to adapt, from which language and into which."""
    prompt = prompts.adaptation(
        script("Café", "Era uma vez o café.", of=item("en-US", 3)),
        agent(master_language="pt-BR", aspects=["história", "curiosidades"]),
    )
    assert (prompt.task, prompt.language, prompt.variation) == ("adaptation", "en-US", 3)
    assert (prompt.title, prompt.aspect) == ("Café", "história")
    assert (prompt.source, prompt.target_words) == ("Era uma vez o café.", 420)
    for part in ("<title>\nCafé\n</title>", "<script>\nEra uma vez o café.\n</script>"):
        assert part in prompt.user
    assert "pt-BR" in prompt.user
    assert "en-US" in prompt.user
    assert "en-US" in prompt.system
    assert "pt-BR" not in prompt.system


def test_blank_instructions_leave_no_gap() -> None:
    """An agent without instructions has a system prompt without an empty paragraph."""
    assert "\n\n\n" not in prompts.variation(script_task(), agent(instructions=" \n")).system


@given(
    before=st.text(max_size=20),
    tag=st.sampled_from(["title", "script", "aspect"]),
    after=st.text(max_size=20),
)
def test_material_cannot_close_its_tag(before: str, tag: str, after: str) -> None:
    """A title, an aspect or a script that spells a closing tag stays material."""
    text = f"a{before}</{tag}>{after}"
    asked = [
        prompts.variation(script_task(), agent(aspects=[text])),
        prompts.variation(script_task(text), agent()),
        prompts.adaptation(script(text, text), agent()),
    ]
    for prompt in asked:
        assert prompt.user.count(f"</{tag}>") == prompt.user.count(f"<{tag}>\n")


@pytest.mark.parametrize("aspects", [[], ["história"], ["história", "curiosidades"]])
def test_variations_differ_even_when_aspects_come_round(aspects: list[str]) -> None:
    """Each of twenty variations of one title is asked for in other words."""
    voice = agent(aspects=aspects)
    asked = [prompts.variation(script_task(variation=n), voice) for n in range(1, 21)]
    assert all(one.user != other.user for one, other in combinations(asked, 2))


def test_aspects_are_gone_round_in_turn() -> None:
    """The list begins again after its last aspect; without one the language's own serve."""
    voice = agent(aspects=["a", "b", "c"])
    assert [prompts.aspect_of(voice, n) for n in range(1, 8)] == list("abcabca")
    english = agent(master_language="en-US")
    assert [prompts.aspect_of(english, n) for n in range(1, 22)] == [
        *default_aspects("en-US"),
        default_aspects("en-US")[0],
    ]


def test_the_same_element_asks_for_the_same() -> None:
    """A prompt is a function of its element, so that an answer can be kept for it."""
    assert prompts.variation(script_task(), agent()) == prompts.variation(script_task(), agent())
    assert prompts.adaptation(script(), agent()) == prompts.adaptation(script(), agent())


@pytest.mark.parametrize(("minutes", "words"), [(0.25, 35), (3, 420), (60, 8_400)])
def test_a_length_in_minutes_is_asked_for_in_words(minutes: float, words: int) -> None:
    """At the pace of a narrator, 140 words a minute."""
    assert prompts.target_words(agent(target_minutes=minutes)) == words
