"""What finds a title."""

from __future__ import annotations

import pytest

from domain.search import fold, is_found, searchable


def test_case_and_accents_do_not_matter() -> None:
    """Neither does the way in which an accent is written."""
    assert fold("A HISTÓRIA do Cafe\u0301") == fold("a historia do café") == "a historia do cafe"
    assert fold("Straße") == "strasse"


@pytest.mark.parametrize(
    ("text", "found"),
    [("CAFÉ", True), ("cha\nmate", False), ("cha", True), ("fe-2", True), ("leite", False)],
)
def test_a_text_is_found_in_the_id_or_one_title(text: str, found: bool) -> None:
    """Never across two."""
    assert is_found(text, "cafe-2026", searchable(["Chá", "Mate\ncom café"])) is found


def test_titles_are_searchable_as_far_as_there_is_room() -> None:
    """Whole ones, from the first on; bytes count, not characters."""
    assert searchable(["Um", "Dois", "Três"], most=8) == "um\ndois"
    assert searchable(["茶" * 3, "x"], most=9) == ""
