"""Aspects: parallel lists, matched by language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.prompts.aspects import default_aspects, translated_aspect

LANGUAGES = ("pt-BR", "en-US", "es-ES", "fr-FR", "de-DE", "it-IT")

languages = st.sampled_from(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_twenty_different(language: str) -> None:
    """Every language names twenty different aspects, each a short phrase without an end."""
    aspects = default_aspects(language)

    assert len(set(aspects)) == len(aspects) == 20
    assert all(1 <= len(aspect.split()) <= 6 for aspect in aspects)
    assert all(aspect == aspect.strip(" .;:,") for aspect in aspects)


@pytest.mark.parametrize("language", LANGUAGES)
def test_aspects_begin_in_lower_case(language: str) -> None:
    """An aspect can stand inside a sentence: only German nouns take a capital."""
    if language != "de-DE":
        assert all(aspect[0].islower() for aspect in default_aspects(language))


def test_each_language_has_its_own_list() -> None:
    """No two languages share a list."""
    assert len({default_aspects(language) for language in LANGUAGES}) == len(LANGUAGES)


@pytest.mark.parametrize(
    ("language", "same_as"),
    [("pt-PT", "pt-BR"), ("en-GB", "en-US"), ("es-419", "es-ES"), ("de", "de-DE"), ("FR", "fr-FR")],
)
def test_region_does_not_matter(language: str, same_as: str) -> None:
    """Aspects are matched by language, whatever the region and the case."""
    assert default_aspects(language) == default_aspects(same_as)


@pytest.mark.parametrize("language", ["ja-JP", "pap", "ptx", ""])
def test_other_languages_get_english(language: str) -> None:
    """A language without a list of its own gets the English one."""
    assert default_aspects(language) == default_aspects("en-US")


@given(source=languages, target=languages, position=st.integers(0, 19))
def test_default_aspect_is_translated(source: str, target: str, position: int) -> None:
    """A default aspect is named in the other language by its position, and back."""
    aspect = default_aspects(source)[position]
    translated = translated_aspect(aspect, source, target)

    assert translated == default_aspects(target)[position]
    assert translated_aspect(translated, target, source) == aspect


def test_unlisted_source_is_read_as_english() -> None:
    """The defaults of a master language without a list are English, so they translate from there."""
    assert translated_aspect("turning points", "ja-JP", "it-IT") == "svolte decisive"


@given(
    aspect=st.text().filter(lambda text: text not in default_aspects("pt-BR")),
    target=languages,
)
def test_custom_aspect_stays(aspect: str, target: str) -> None:
    """An aspect that the client worded stays as it is."""
    assert translated_aspect(aspect, "pt-BR", target) == aspect
