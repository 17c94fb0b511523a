"""Aspects: what the variations of one title dwell on, so that they differ."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Final

_ELSEWHERE: Final = "en"
"""Language of the aspects where the one asked for has no list."""


def default_aspects(language: str) -> tuple[str, ...]:
    """Twenty aspects, named in the given language where there is a list for it.

    Args:
        language: BCP-47 tag; only its language counts, so that pt-PT reads the
            list of pt-BR.

    Returns:
        Noun phrases, parallel by position over the languages; English ones for
        a language without a list.
    """
    lists = _lists()
    return lists.get(language.partition("-")[0].lower(), lists[_ELSEWHERE])


def translated_aspect(aspect: str, source_language: str, language: str) -> str:
    """A default aspect in another language; a custom one stays as it is.

    Args:
        aspect: as `source_language` names it.
        source_language: BCP-47 tag of the list that the aspect may come from.
        language: BCP-47 tag of the answer.
    """
    names = default_aspects(source_language)
    return default_aspects(language)[names.index(aspect)] if aspect in names else aspect


@cache
def _lists() -> dict[str, tuple[str, ...]]:
    text = resources.files(__package__).joinpath("aspects.toml").read_text(encoding="utf-8")
    return {language: tuple(names) for language, names in tomllib.loads(text).items()}
