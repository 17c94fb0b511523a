"""The offline writer: templates in six languages that say the same."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import resources
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.prompts import Prompt
from domain.prompts.aspects import default_aspects, translated_aspect
from domain.request import MAX_TITLE_CHARACTERS, AgentConfig
from services.errors import Refused
from services.writers.offline import LANGUAGES, OfflineWriter

if TYPE_CHECKING:
    from services.ports import TextModel

TITLE = "Como o café chegou ao Brasil"
LISTS = {
    "directions": 3,
    "hooks": 8,
    "announcements": 8,
    "hosts": 4,
    "leads": 8,
    "focus": 20,
    "custom": 4,
    "closings": 8,
    "asides": 6,
    "scene": 5,
    "look": 5,
    "people": 5,
    "turn": 5,
    "listener": 5,
}
HAVE_A_TITLE = {"announcements": "full_title", "leads": "title", "closings": "title"}


def make_prompt(language: str = "pt-BR", *, name: str = "Documentarista", **fields: Any) -> Prompt:
    agent = AgentConfig(name=name, master_language="pt-BR", target_languages=LANGUAGES)
    variation = fields.setdefault("variation", 1)
    defaults = {
        "task": "variation" if language == agent.master_language else "adaptation",
        "title": TITLE,
        "aspect": default_aspects(agent.master_language)[variation - 1],
        "target_words": 420,
        "source": "",
        "system": "",
        "user": "",
    }
    return Prompt(language=language, agent=agent, **(defaults | fields))


def write(language: str = "pt-BR", **fields: Any) -> str:
    return OfflineWriter().complete(make_prompt(language, **fields)).text


def words(text: str) -> int:
    return len(text.split())


def paragraphs(text: str) -> list[str]:
    return text.split("\n\n")


def likeness(one: str, other: str) -> float:
    """How much of two texts is the same, from 0 to 1, word by word."""
    return difflib.SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()


def lines(language: str) -> dict[str, list[str]]:
    file = resources.files("services.writers").joinpath("templates", f"{language}.toml")
    lists = tomllib.loads(file.read_text(encoding="utf-8"))
    body = lists.pop("body")
    return {**lists, **body}


languages = st.sampled_from(LANGUAGES)
titles = st.one_of(
    st.text(max_size=MAX_TITLE_CHARACTERS),
    st.text(alphabet="ab {}%$\\\"'«»“”[]#*\n\t?.…日😀𝔄é", max_size=MAX_TITLE_CHARACTERS),
    st.lists(st.text(alphabet="aé日😀", min_size=1, max_size=9), max_size=250).map(
        lambda parts: " ".join(parts)[:MAX_TITLE_CHARACTERS]
    ),
)
phrases = st.text(min_size=1, max_size=200)
names = phrases.map(lambda name: f"{name}a")  # none is blank
targets = st.integers(0, 9000)


# What every script is


@given(title=titles, aspect=phrases, name=names, language=languages, target_words=targets)
@settings(deadline=None)
def test_length_for_any_title(
    title: str, aspect: str, name: str, language: str, target_words: int
) -> None:
    """Whatever the title, a script has 150 to 400 words and is within 15 % of its target."""
    text = write(language, title=title, aspect=aspect, name=name, target_words=target_words)
    target = min(max(target_words, 150), 400)

    assert 150 <= words(text) <= 400
    assert 0.85 * target <= words(text) <= 1.15 * target


@pytest.mark.parametrize("variation", range(1, 21))
@pytest.mark.parametrize("language", LANGUAGES)
def test_length_of_every_default_aspect(language: str, variation: int) -> None:
    """All twenty default aspects fit short, middling and long scripts in every language."""
    for target in (150, 280, 400):
        text = write(language, variation=variation, target_words=target)
        assert 0.85 * target <= words(text) <= min(400, 1.15 * target)


@given(title=titles, language=languages, variation=st.integers(1, 20))
@settings(deadline=None)
def test_deterministic(title: str, language: str, variation: int) -> None:
    """The same prompt always has the same answer."""
    asked = make_prompt(language, title=title, variation=variation)

    assert OfflineWriter().complete(asked) == OfflineWriter().complete(replace(asked))


def test_known_beginning() -> None:
    """The choice is derived from the prompt alone, so that every process makes the same one."""
    assert paragraphs(write(title="A história do café"))[2].startswith("Vou começar com uma")


@given(title=titles, language=languages)
@settings(deadline=None)
def test_user_text_is_never_a_template(title: str, language: str) -> None:
    """No slot is left open, and a title's own braces are left alone."""
    text = write(language, title=title)
    held = sum(map(title.count, ("{title}", "{full_title}", "{aspect}", "{agent}")))

    assert held or not re.search(r"\{(full_title|title|aspect|agent)\}", text)


@pytest.mark.parametrize("title", ["{aspect} {agent} {title}", "50 % {0} %s $x \\1", "“A” «B» „C“"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_special_characters_survive(language: str, title: str) -> None:
    """Braces, percent signs, backslashes and quotation marks are said as they were written."""
    assert write(language, title=title).count(title) >= 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_uses_title_aspect_and_agent(language: str) -> None:
    """A script names its title several times, its aspect in its own language, and its agent."""
    asked = make_prompt(language)
    spoken = "\n\n".join(paragraphs(OfflineWriter().complete(asked).text)[2:])

    assert spoken.count(TITLE) >= 3
    assert translated_aspect(asked.aspect, "pt-BR", language) in spoken
    assert spoken.count("Documentarista") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_custom_aspect_and_agent_name(language: str) -> None:
    """An aspect of the client's own stays in its words, and so does the agent's name."""
    text = write(language, aspect="o papel das mulheres", name="Ana & {Cia}")

    assert ": o papel das mulheres." in text
    assert "Ana & {Cia}." in text


def test_layout() -> None:
    """A heading comes first, then the one stage direction, then paragraphs."""
    heading, direction, *spoken = paragraphs(write())

    assert heading == f"# {TITLE}"
    assert re.fullmatch(r"\[[^\[\]]+\]", direction)
    assert all(not paragraph.startswith(("#", "[")) for paragraph in spoken)
    assert len(spoken) >= 3


def test_line_breaks_in_a_title() -> None:
    """A title that came on several lines is told on one."""
    assert "# Um café e um pão\n" in write(title=" Um café\r\ne um\u2028pão ")


def test_final_mark_of_a_title_is_kept_single() -> None:
    """A title that ends its own sentence gets no second full stop."""
    texts = [
        write(language, title="Quem inventou o café?", variation=variation)
        for language in LANGUAGES
        for variation in range(1, 9)
    ]
    assert any("café?\n" in text or "café? " in text for text in texts)
    assert not any("café?." in text for text in texts)


def test_long_title_is_said_once_and_then_shortened() -> None:
    """A long title is said whole at the beginning; later mentions cut it at a word."""
    title = " ".join(["Uma", "pequena", "história", "sobre", "o", "café", *["longa"] * 20])
    heading, _, beginning, *rest = paragraphs(write(title=title))

    assert heading == "# Uma pequena história sobre o café…"
    assert title in beginning
    assert all(title not in paragraph for paragraph in rest)
    assert "Uma pequena história sobre o café…" in rest[-1]


def test_long_title_without_spaces() -> None:
    """A title in a script without spaces is shortened, too."""
    text = write(title="語" * MAX_TITLE_CHARACTERS)

    assert paragraphs(text)[0] == f"# {'語' * 45}…"
    assert text.count("語" * MAX_TITLE_CHARACTERS) == 1


# How scripts differ


@pytest.mark.parametrize("language", LANGUAGES)
def test_variations_differ(language: str) -> None:
    """Eight variations of one title begin differently and share little."""
    texts = [write(language, variation=variation) for variation in range(1, 9)]
    openings = {paragraphs(text)[2].split(TITLE)[0] for text in texts}

    assert len(openings) == len(texts)
    assert max(likeness(one, other) for one, other in combinations(texts, 2)) < 0.75


def test_titles_differ() -> None:
    """Scripts on different titles share little."""
    texts = [write(title=title) for title in ("O café", "A borracha", "O cacau", "O mate")]

    assert max(likeness(one, other) for one, other in combinations(texts, 2)) < 0.75


@pytest.mark.parametrize("aspects", [default_aspects("pt-BR")[:4], ("o som", "a cor", "o sabor")])
def test_aspects_differ(aspects: tuple[str, ...]) -> None:
    """Scripts on different aspects of one title share little."""
    texts = [write(aspect=aspect) for aspect in aspects]

    assert max(likeness(one, other) for one, other in combinations(texts, 2)) < 0.75


@given(title=titles, variation=st.integers(1, 20), target_words=targets)
@settings(deadline=None)
def test_no_line_is_said_twice(title: str, variation: int, target_words: int) -> None:
    """A script repeats no paragraph."""
    text = write(title=title, variation=variation, target_words=target_words)

    assert max(Counter(paragraphs(text)).values()) == 1


# How languages correspond


@given(title=titles, variation=st.integers(1, 20), target_words=targets)
@settings(deadline=None, max_examples=40)
def test_adaptation_corresponds(title: str, variation: int, target_words: int) -> None:
    """An adaptation has the sections of the variation, in order, in its own words."""
    scripts = {
        language: paragraphs(
            write(language, title=title, variation=variation, target_words=target_words)
        )
        for language in LANGUAGES
    }
    shapes = {language: _said(script, language) for language, script in scripts.items()}

    assert all(map(all, shapes.values()))
    assert len(set(map(tuple, shapes.values()))) == 1


def _said(script: list[str], language: str) -> list[frozenset[tuple[str, int]]]:
    """Which lines each spoken paragraph says, told by the words around their slots."""
    known = [
        (key, position, [part for part in re.split(r"\{\w+\}", text) if len(part) > 2])
        for key, texts in lines(language).items()
        for position, text in enumerate(texts)
        if key not in {"directions", "hosts"}
    ]
    return [
        frozenset(
            (key, position)
            for key, position, parts in known
            if all(part.strip(" .") in paragraph for part in parts)
        )
        for paragraph in script[2:]
    ]


def test_local_touches() -> None:
    """Measures and foods are those of the listeners."""
    scenes = {language: " ".join(lines(language)["scene"]) for language in LANGUAGES}

    assert "Twenty miles" in scenes["en-US"]
    assert "trinta quilômetros" in scenes["pt-BR"]
    assert "tortilla" in scenes["es-ES"]
    assert "Kartoffelsalat" in scenes["de-DE"]


# The data


@pytest.mark.parametrize("language", LANGUAGES)
def test_lists_are_parallel(language: str) -> None:
    """Every language has the same lists, each with the same number of lines."""
    assert {key: len(texts) for key, texts in lines(language).items()} == LISTS


@pytest.mark.parametrize("language", LANGUAGES)
def test_slots_are_parallel(language: str) -> None:
    """A line has the same slots in every language, and no slot but the known ones."""
    for key, texts in lines(language).items():
        for text, original in zip(texts, lines("pt-BR")[key], strict=True):
            slots = re.findall(r"\{(\w*)\}", text)
            assert sorted(slots) == sorted(re.findall(r"\{(\w*)\}", original))
            assert slots.count(HAVE_A_TITLE.get(key, "")) == (key in HAVE_A_TITLE)
            assert set(slots) <= {"full_title", "title", "aspect", "agent"}


def test_one_focus_for_each_default_aspect() -> None:
    """The focus list follows the list of default aspects."""
    assert LISTS["focus"] == len(default_aspects("pt-BR"))


def test_no_line_is_left_untranslated() -> None:
    """No line of a language is also a line of another one, nor twice in its own."""
    texts = [text for language in LANGUAGES for texts in lines(language).values() for text in texts]

    assert max(Counter(texts).values()) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_fit_a_breath(language: str) -> None:
    """No sentence is longer than 200 characters without its title."""
    for texts in lines(language).values():
        for text in texts:
            assert all(len(sentence) <= 200 for sentence in re.split(r"(?<=[.!?])\s", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_lines_end(language: str) -> None:
    """Every line is whole sentences; only a stage direction is a phrase."""
    for key, texts in lines(language).items():
        assert all(text.endswith((".", "!", "?")) == (key != "directions") for text in texts)
        assert all(text == text.strip() for text in texts)


# The port


def test_answers_as_a_text_model() -> None:
    """The answer names the offline model and counts no tokens."""
    model: TextModel = OfflineWriter()
    completion = model.complete(make_prompt())

    assert completion.model == "offline"
    assert (completion.input_tokens, completion.output_tokens) == (0, 0)


@pytest.mark.parametrize("language", ["ja-JP", "pt-PT", "pt", ""])
def test_unsupported_language_is_refused(language: str) -> None:
    """A language without templates is refused by a code of its own, naming those that have some."""
    with pytest.raises(Refused, match="pt-BR, en-US, es-ES, fr-FR, de-DE, it-IT") as refused:
        write(language)

    assert refused.value.code == "unsupported_language"


def test_many_threads_at_once() -> None:
    """One writer serves many threads at once, with the answers it gives to one."""
    writer = OfflineWriter()
    prompts = [make_prompt(language, variation=n) for language in LANGUAGES for n in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(writer.complete, prompts))

    assert answers == list(map(writer.complete, prompts))
