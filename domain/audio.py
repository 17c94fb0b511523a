"""MP3 audio: its frames, how parts become one, and how long it lasts. Headers only; never decoded."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Buffer: TypeAlias = bytes | bytearray | memoryview

_VERSIONS: Final = {0b00: "2.5", 0b10: "2", 0b11: "1"}
_SAMPLE_RATES: Final = {
    "1": (44_100, 48_000, 32_000),
    "2": (22_050, 24_000, 16_000),
    "2.5": (11_025, 12_000, 8_000),
}
_BIT_RATES_1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BIT_RATES_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Kilobits a second by index, layer III: of MPEG 1, and of MPEG 2 and 2.5."""

_LAYER_III: Final = 0b01
_RESERVED: Final = 0b11
_WORD: Final = struct.Struct(">I")


class AudioError(ValueError):
    """Bytes that are not whole MP3 audio, or parts that do not fit together."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the four bytes of a frame's header say.

    Attributes:
        version: of MPEG: "1", "2" or "2.5".
        sample_rate: Hz.
        channels: 1 or 2.
        bit_rate: bits a second.
        samples: a channel, in this frame.
        size: bytes, header included.
        summary: bytes from the frame's start to where a Xing or Info header would be.
    """

    version: str
    sample_rate: int
    channels: int
    bit_rate: int
    samples: int
    size: int
    summary: int

    @property
    def sound(self) -> tuple[str, int, int]:
        """What all frames of one recording have in common."""
        return self.version, self.sample_rate, self.channels

    def __str__(self) -> str:
        sound = "mono" if self.channels == 1 else "stereo"
        return f"MPEG {self.version}, {self.sample_rate} Hz, {sound}"


def frames(mp3: Buffer) -> Iterator[Frame]:
    """The audio frames in order, without tags and the Xing, Info or VBRI header frame.

    Raises:
        AudioError: where a byte belongs to no whole frame, or the frames change
            their version, sample rate or channels.
    """
    return _frames(mp3, *_audio_bounds(mp3))


def duration(mp3: Buffer) -> float:
    """Seconds of audio, counted in frames: the encoder's own padding included.

    Raises:
        AudioError: where the bytes are not whole MP3 audio.
    """
    samples, rate = 0, 0
    for frame in frames(mp3):
        samples += frame.samples
        rate = frame.sample_rate
    if not rate:
        raise AudioError("holds no MP3 frame")
    return samples / rate


def join(parts: Iterable[Buffer]) -> bytes:
    """Parts of one recording → one MP3: frame after frame, nothing left out.

    Tags and header frames are dropped, because they describe their own part
    alone. Bit rates may differ.

    Raises:
        AudioError: where there are no parts, or one holds no frame, is not
            whole, or differs in version, sample rate or channels.
    """
    joined: list[memoryview] = []
    first: Frame | None = None
    for number, part in enumerate(parts, 1):
        try:
            start, end = _audio_bounds(part)
            frame = _whole(_frames(part, start, end))
        except AudioError as error:
            raise AudioError(f"part {number} {error}") from None
        first = first or frame
        if frame.sound != first.sound:
            raise AudioError(f"part {number} is {frame}; the parts before it are {first}")
        joined.append(memoryview(part)[start:end])
    if not joined:
        raise AudioError("there are no parts to join")
    return b"".join(joined)


def _whole(sequence: Iterator[Frame]) -> Frame:
    """The first frame, once every other has been seen to be whole."""
    first = next(sequence, None)
    if first is None:
        raise AudioError("holds no MP3 frame")
    for _ in sequence:
        pass
    return first


def _frames(mp3: Buffer, start: int, end: int) -> Iterator[Frame]:
    last: Frame | None = None
    position, unpack = start, _WORD.unpack_from
    while position < end:
        if position + _WORD.size > end:
            raise AudioError(f"is cut off in the header at byte {position}")
        frame = _frame(unpack(mp3, position)[0])
        if frame is None:
            raise AudioError(f"holds no MP3 frame at byte {position}")
        if frame is not last:
            if last is not None and frame.sound != last.sound:
                raise AudioError(f"changes from {last} to {frame} at byte {position}")
            last = frame
        position += frame.size
        if position > end:
            raise AudioError(f"is cut off: the last frame lacks {position - end} bytes")
        yield frame


@functools.lru_cache(maxsize=4096)
def _frame(word: int) -> Frame | None:
    """A header, or None where the four bytes are none (free format is not supported)."""
    version = _VERSIONS.get(word >> 19 & 0b11)
    bits, rate = word >> 12 & 0b1111, word >> 10 & 0b11
    if (
        word >> 21 != 0b111_1111_1111
        or version is None
        or word >> 17 & 0b11 != _LAYER_III
        or bits in {0b0000, 0b1111}
        or rate == _RESERVED
    ):
        return None
    one = version == "1"
    mono = word >> 6 & 0b11 == 0b11
    bit_rate = 1000 * (_BIT_RATES_1 if one else _BIT_RATES_2)[bits]
    sample_rate = _SAMPLE_RATES[version][rate]
    samples = 1152 if one else 576
    checksum = 0 if word >> 16 & 1 else 2
    side = (17 if mono else 32) if one else (9 if mono else 17)
    return Frame(
        version=version,
        sample_rate=sample_rate,
        channels=1 if mono else 2,
        bit_rate=bit_rate,
        samples=samples,
        size=samples // 8 * bit_rate // sample_rate + (word >> 9 & 1),
        summary=_WORD.size + checksum + side,
    )


def _audio_bounds(mp3: Buffer) -> tuple[int, int]:
    """Where the audio begins and ends: tags and the header frame lie outside."""
    start, end = 0, len(mp3)
    while size := _tag_before(mp3, start, end):
        start += size
    while size := _tag_behind(mp3, start, end):
        end -= size
    if start + _WORD.size <= end:
        frame = _frame(_WORD.unpack_from(mp3, start)[0])
        if frame and start + frame.size <= end and _is_header(mp3, start, frame):
            start += frame.size
    return start, end


_VBRI_OFFSET: Final = 36  # Fraunhofer puts it there whatever the version and channels


def _is_header(mp3: Buffer, start: int, frame: Frame) -> bool:
    """Whether the frame holds a summary of the file in the place of sound."""
    xing, vbri = start + frame.summary, start + _VBRI_OFFSET
    return (
        bytes(mp3[xing : xing + 4]) in {b"Xing", b"Info"} or bytes(mp3[vbri : vbri + 4]) == b"VBRI"
    )


_ID3V1_SIZE: Final = 128
_ID3V2_HEADER: Final = struct.Struct(">3s2xB4s")
_ID3V2_FOOTER_FLAG: Final = 0x10
_APE_HEADER: Final = struct.Struct("<8s4xI4xI8x")  # magic, version, size, items, flags, reserved
_APE_OTHER_END_FLAG: Final = 0x8000_0000


def _tag_before(mp3: Buffer, start: int, end: int) -> int:
    """Bytes of the tag that begins at `start`; 0 where there is none."""
    size = 0
    if start + _ID3V2_HEADER.size <= end:
        magic, flags, length = _ID3V2_HEADER.unpack_from(mp3, start)
        if magic == b"ID3":
            footer = _ID3V2_HEADER.size if flags & _ID3V2_FOOTER_FLAG else 0
            size = _ID3V2_HEADER.size + _syncsafe(length) + footer
    if not size and start + _APE_HEADER.size <= end:
        magic, length, _ = _APE_HEADER.unpack_from(mp3, start)
        size = _APE_HEADER.size + length if magic == b"APETAGEX" else 0
    if start + size > end:
        raise AudioError("is cut off in the tag at its beginning")
    return size


def _tag_behind(mp3: Buffer, start: int, end: int) -> int:
    """Bytes of the tag that ends at `end`; 0 where there is none."""
    size = 0
    if end - _ID3V1_SIZE >= start and bytes(mp3[end - _ID3V1_SIZE :][:3]) == b"TAG":
        size = _ID3V1_SIZE
    if not size and end - _APE_HEADER.size >= start:
        magic, length, flags = _APE_HEADER.unpack_from(mp3, end - _APE_HEADER.size)
        if magic == b"APETAGEX":
            size = length + (_APE_HEADER.size if flags & _APE_OTHER_END_FLAG else 0)
    if not size and end - _ID3V2_HEADER.size >= start:
        magic, _, length = _ID3V2_HEADER.unpack_from(mp3, end - _ID3V2_HEADER.size)
        size = 2 * _ID3V2_HEADER.size + _syncsafe(length) if magic == b"3DI" else 0
    if end - size < start:
        raise AudioError("is cut off in the tag at its end")
    return size


def _syncsafe(length: bytes) -> int:
    """ID3's sizes: seven bits a byte."""
    return functools.reduce(lambda total, byte: total << 7 | byte & 0x7F, length, 0)
