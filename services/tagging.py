"""Tags: what an MP3 says of itself in a player."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, Final

import langcodes
import mutagen.id3

UNKNOWN_LANGUAGE: Final = "und"
_id3: Any = mutagen.id3  # its calls carry no types


def tag(mp3: bytes, *, title: str, album: str, language: str, comment: str) -> bytes:
    """The same audio under an ID3v2.4 tag; a tag that was there is replaced.

    Args:
        mp3: the audio, tagged or not.
        title: of this narration (TIT2).
        album: what it belongs to, the batch as a rule (TALB).
        language: BCP-47 tag, stored as ISO 639-2 (TLAN).
        comment: free text (COMM).
    """
    code = three_letters(language)
    utf8 = _id3.Encoding.UTF8
    frames = _id3.ID3()
    frames.add(_id3.TIT2(encoding=utf8, text=[title]))
    frames.add(_id3.TALB(encoding=utf8, text=[album]))
    frames.add(_id3.TLAN(encoding=utf8, text=[code]))
    frames.add(_id3.COMM(encoding=utf8, lang=code, desc="", text=[comment]))
    head = io.BytesIO()
    frames.save(head, v1=0, v2_version=4, padding=lambda _: 0)
    return head.getvalue() + _untagged(mp3)


def _untagged(mp3: bytes) -> bytes:
    if not (mp3.startswith(b"ID3") or mp3[-128:].startswith(b"TAG")):
        return mp3
    file = io.BytesIO(mp3)
    _id3.ID3().delete(file)
    return file.getvalue()


@lru_cache(maxsize=256)
def three_letters(language: str) -> str:
    """ISO 639-2: pt-BR → por; `und` where the language has no such code."""
    try:
        code = langcodes.Language.get(language).to_alpha3()
    except (ValueError, LookupError):
        return UNKNOWN_LANGUAGE
    return code if len(code) == 3 and code.isalpha() else UNKNOWN_LANGUAGE
