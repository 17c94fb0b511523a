"""Identities and paths: the same request names the same things, on every machine."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Final

from slugify import slugify

if TYPE_CHECKING:
    from datetime import datetime

SLUG_CHARACTERS: Final = 48


def new_batch_id(now: datetime, entropy: str) -> str:
    """`YYYYMMDD-HHMMSS-xxxxxx`: when it was asked for, and six hexadecimal digits.

    Args:
        now: an aware time.
        entropy: hexadecimal digits that tell two requests of one second apart.
    """
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{entropy[:6]}"


def job_id(position: int, title: str) -> str:
    """(1, "A história do café") → `0001-a-historia-do-cafe`.

    Titles of which no ASCII letter can be made (emoji) are called `untitled`;
    the position keeps equal slugs apart.
    """
    slug = slugify(
        title,
        entities=False,  # a title is text, not HTML
        decimal=False,
        hexadecimal=False,
        max_length=SLUG_CHARACTERS,
        word_boundary=True,
        save_order=True,
    )
    return f"{position:04d}-{slug or 'untitled'}"


def batch_folder(batch_id: str) -> str:
    """Where a batch's deliverables are, below the output folder."""
    return f"batches/{batch_id}"


def deliverable(batch_id: str, job: str, item: str, ending: str) -> str:
    """("cafe", "0001-x", "v2.pt-BR", "mp3") → `batches/cafe/0001-x/0001-x.v2.pt-BR.mp3`."""
    return f"{batch_folder(batch_id)}/{job}/{job}.{item}.{ending}"


def manifest(batch_id: str) -> str:
    """The batch's list of deliverables, written at its end."""
    return f"{batch_folder(batch_id)}/manifest.json"
