"""Search: titles as people look for them, whatever the case and accents."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SEARCHABLE_BYTES: Final = 100_000
"""Of UTF-8; a tenth of what a Firestore document holds."""


def fold(text: str) -> str:
    """Without case and accents, as people search."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


def searchable(titles: Iterable[str], most: int = SEARCHABLE_BYTES) -> str:
    """Folded titles, a line each; those from the one on that goes beyond so many bytes are left out."""
    lines, size = [], 0
    for title in titles:
        line = " ".join(fold(title).split("\n"))
        size += len(line.encode()) + 1
        if size > most:
            break
        lines.append(line)
    return "\n".join(lines)


def is_found(text: str, batch_id: str, search: str) -> bool:
    """Whether a text is part of the batch's id or of one of its searchable titles."""
    wanted = fold(text)
    return wanted in batch_id or any(wanted in line for line in search.split("\n"))
