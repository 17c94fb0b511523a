"""Tags on finished narrations."""

from __future__ import annotations

import io
from typing import Any

import mutagen.id3
import pytest

from domain.audio import duration, join
from services.tagging import tag, three_letters

AUDIO = b"\xff\xf3\x60\xc4".ljust(156, b"\0") * 3
"""Three frames of silence: MPEG 2, 48 kbit/s, 22,050 Hz, mono."""
WORDS = {"title": "A história do café ☕", "album": "cafe-2026", "comment": "variação 2"}


def read(mp3: bytes) -> Any:
    open_tag: Any = mutagen.id3.ID3
    return open_tag(io.BytesIO(mp3))


def test_a_player_can_read_the_tag() -> None:
    """Title, album, language and comment are there, in UTF-8 and version 2.4."""
    found = read(tag(AUDIO, language="pt-BR", **WORDS))
    assert found.version == (2, 4, 0)
    assert str(found["TIT2"]) == WORDS["title"]
    assert str(found["TALB"]) == WORDS["album"]
    assert str(found["TLAN"]) == "por"
    assert str(found["COMM::por"]) == WORDS["comment"]
    assert found["TIT2"].encoding == mutagen.id3.Encoding.UTF8


def test_the_audio_is_untouched() -> None:
    """Behind the tag stand the same bytes, with no padding in between."""
    tagged = tag(AUDIO, language="pt-BR", **WORDS)
    assert tagged.endswith(AUDIO)
    assert read(tagged).size == len(tagged) - len(AUDIO)
    assert join([tagged]) == AUDIO
    assert duration(tagged) == duration(AUDIO)


def test_the_same_input_gives_the_same_bytes() -> None:
    """Tagging is deterministic, and tagging again replaces what was there."""
    tagged = tag(AUDIO, language="pt-BR", **WORDS)
    assert tag(AUDIO, language="pt-BR", **WORDS) == tagged
    longer = tag(AUDIO, language="en-US", title="x" * 5000, album="", comment="")
    assert tag(longer, language="pt-BR", **WORDS) == tagged


@pytest.mark.parametrize(
    ("language", "code"),
    [
        *(("pt-BR", "por"), ("en-US", "eng"), ("es-419", "spa"), ("fr-FR", "fra")),
        *(("de-DE", "deu"), ("it-IT", "ita"), ("ja-JP", "jpn"), ("cmn-CN", "cmn")),
        *(("x-private", "und"), ("", "und")),
    ],
)
def test_languages_are_written_in_three_letters(language: str, code: str) -> None:
    """A BCP-47 tag becomes its ISO 639-2 code, or `und`."""
    assert three_letters(language) == code
