"""MP3 frames: joined without loss, counted to the sample."""

from __future__ import annotations

import array
import contextlib
import itertools
import math
import struct

import lameenc
import miniaudio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.audio import AudioError, duration, frames, join

BIT_RATES = {
    "1": (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    "2": (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES = {
    "1": (44_100, 48_000, 32_000),
    "2": (22_050, 24_000, 16_000),
    "2.5": (11_025, 12_000, 8_000),
}
VERSION_BITS = {"1": 0b11, "2": 0b10, "2.5": 0b00}


def frame(
    version: str = "2",
    kbits: int = 48,
    rate: int = 22_050,
    *,
    channels: int = 1,
    padding: int = 0,
    checksum: bool = False,
    payload: bytes = b"",
) -> bytes:
    """A frame as the standard lays it out, silent but for the payload."""
    table = BIT_RATES["1" if version == "1" else "2"]
    word = 0x7FF << 21 | VERSION_BITS[version] << 19 | 0b01 << 17 | (not checksum) << 16
    word |= (table.index(kbits) + 1) << 12 | SAMPLE_RATES[version].index(rate) << 10
    word |= padding << 9 | (0b11 if channels == 1 else 0b01) << 6
    size = (144 if version == "1" else 72) * kbits * 1000 // rate + padding
    return (struct.pack(">I", word) + payload).ljust(size, b"\0")


def encoded(seconds: float = 0.5, rate: int = 22_050, channels: int = 1, kbits: int = 48) -> bytes:
    """A tone, by a real encoder."""
    wave = (int(8000 * math.sin(i / 20)) for i in range(int(seconds * rate)))
    samples = array.array("h", (s for s in wave for _ in range(channels)))
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(rate)
    encoder.set_out_sample_rate(rate)
    encoder.set_channels(channels)
    encoder.set_bit_rate(kbits)
    return bytes(encoder.encode(samples.tobytes())) + bytes(encoder.flush())


def id3v2(size: int, *, footer: bool = False) -> bytes:
    length = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    head = b"\x04\0" + bytes([0x10 if footer else 0]) + length
    return b"ID3" + head + b"\xff" * size + (b"3DI" + head if footer else b"")


def ape(size: int) -> tuple[bytes, bytes]:
    """An APEv2 tag with a header, and one without."""

    def end(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, size + 32, 1, flags) + bytes(8)

    body = b"\xfe" * size
    return end(0xA0000000) + body + end(0x80000000), body + end(0)


ID3V1 = b"TAG" + b"\xff" * 125
FRAMES = st.builds(
    frame,
    kbits=st.sampled_from(BIT_RATES["2"]),
    padding=st.integers(0, 1),
    checksum=st.booleans(),
)


@pytest.mark.parametrize("version", VERSION_BITS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
def test_every_bit_rate_and_sample_rate_is_read(version: str, channels: int, padding: int) -> None:
    """A frame of every kind that layer III knows has the size and length it should."""
    table = BIT_RATES["1" if version == "1" else "2"]
    for kbits, rate in itertools.product(table, SAMPLE_RATES[version]):
        mp3 = frame(version, kbits, rate, channels=channels, padding=padding) * 2
        first, second = frames(mp3)
        assert first == second
        assert (first.version, first.bit_rate, first.sample_rate) == (version, kbits * 1000, rate)
        assert (first.channels, first.size) == (channels, len(mp3) // 2)
        assert duration(mp3) == pytest.approx(2 * (1152 if version == "1" else 576) / rate)


@pytest.mark.parametrize(
    ("rate", "channels", "kbits"),
    [(44_100, 2, 128), (32_000, 1, 64), (24_000, 1, 32), (22_050, 1, 48), (8_000, 1, 16)],
)
def test_duration_is_what_a_decoder_plays(rate: int, channels: int, kbits: int) -> None:
    """The frames' count agrees with a decoder's samples to within one frame.

    Decoders may swallow the first frame, in which an encoder only warms up.
    """
    mp3 = encoded(0.7, rate, channels, kbits)
    played = miniaudio.mp3_read_s16(mp3)
    one_frame = (1152 if rate >= 32_000 else 576) / rate
    assert (played.sample_rate, played.nchannels) == (rate, channels)
    assert duration(mp3) == pytest.approx(played.num_frames / rate, abs=1.01 * one_frame)
    assert duration(mp3) == pytest.approx(0.7, abs=4 * one_frame)


def test_joined_audio_plays_all_its_parts() -> None:
    """A decoder plays the joined file as long as its parts one by one, to a frame each."""
    parts = [encoded(0.3), encoded(0.5, kbits=32), encoded(0.2)]
    whole = join(parts)
    played = miniaudio.mp3_read_s16(whole).num_frames
    assert duration(whole) == pytest.approx(sum(map(duration, parts)))
    assert abs(played - sum(miniaudio.mp3_read_s16(part).num_frames for part in parts)) <= 576 * 3


@given(st.lists(st.lists(FRAMES, min_size=1, max_size=6), min_size=1, max_size=6))
@settings(deadline=None)
def test_joining_loses_nothing(parts: list[list[bytes]]) -> None:
    """Joined parts are their frames in order, and last as long as they do together."""
    whole = join(b"".join(part) for part in parts)
    assert whole == b"".join(itertools.chain.from_iterable(parts))
    assert duration(whole) == pytest.approx(sum(duration(b"".join(part)) for part in parts))
    assert join([whole]) == whole


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_any_cut_within_a_frame_is_noticed(sequence: list[bytes], data: st.DataObject) -> None:
    """Audio that ends within a frame is never taken for whole."""
    mp3 = b"".join(sequence)
    whole = set(itertools.accumulate(map(len, sequence), initial=0))
    cut = data.draw(st.integers(1, len(mp3) - 1).filter(lambda at: at not in whole))
    with pytest.raises(AudioError, match="cut off"):
        join([mp3[:cut]])


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_arbitrary_bytes_are_audio_or_an_error(data: bytes) -> None:
    """Whatever the bytes are, the answer is a length or an AudioError."""
    for mp3 in (data, frame() + data, b"ID3" + data):
        with contextlib.suppress(AudioError):
            assert duration(mp3) > 0


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (id3v2(200), b""),
        (id3v2(200, footer=True), b""),
        (id3v2(0) + id3v2(300), b""),
        (b"", ID3V1),
        (b"", ape(50)[0]),
        (b"", ape(50)[1] + ID3V1),
        (ape(50)[0], b""),
        (b"", id3v2(100, footer=True)),
        (id3v2(20), ape(9)[0] + ID3V1),
    ],
)
def test_tags_are_left_out(before: bytes, behind: bytes) -> None:
    """ID3 and APE tags at either end are no audio, and a joined file has none."""
    audio = frame() * 3
    mp3 = before + audio + behind
    assert duration(mp3) == duration(audio)
    assert join([mp3, memoryview(mp3), bytearray(mp3)]) == audio * 3


@pytest.mark.parametrize(
    ("version", "rate", "channels", "side"),
    [("1", 44_100, 2, 32), ("1", 44_100, 1, 17), ("2", 22_050, 2, 17), ("2.5", 8_000, 1, 9)],
)
@pytest.mark.parametrize("magic", [b"Xing", b"Info", b"VBRI"])
@pytest.mark.parametrize("checksum", [False, True])
def test_header_frames_are_left_out(
    version: str, rate: int, channels: int, side: int, magic: bytes, checksum: bool
) -> None:
    """A frame that only sums up the file is not counted, and not joined into the midst."""
    offset = 32 if magic == b"VBRI" else side + 2 * checksum
    header = frame(
        version, 64, rate, channels=channels, checksum=checksum, payload=bytes(offset) + magic
    )
    audio = frame(version, 64, rate, channels=channels) * 2
    assert duration(header + audio) == duration(audio)
    assert join([header + audio, header + audio]) == audio * 2


@pytest.mark.parametrize(
    "other",
    [frame("2", 48, 24_000), frame("1", 48, 44_100), frame("2.5", 48, 11_025), frame(channels=2)],
)
def test_parts_that_differ_are_refused(other: bytes) -> None:
    """Parts of another rate, version or number of channels cannot be one file."""
    with pytest.raises(AudioError, match=r"part 2 is MPEG .* Hz"):
        join([frame() * 2, other])
    with pytest.raises(AudioError, match=r"changes from MPEG 2, 22050 Hz, mono to"):
        duration(frame() + other)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (b"", "part 2 holds no MP3 frame"),
        (id3v2(40), "part 2 holds no MP3 frame"),
        (frame(payload=bytes(9) + b"Info"), "part 2 holds no MP3 frame"),
        (b"<html>502 Bad Gateway</html>", "part 2 holds no MP3 frame at byte 0"),
        (frame() + b"\0" * 40 + frame(), f"part 2 holds no MP3 frame at byte {len(frame())}"),
        (frame() + frame()[:-1], "part 2 is cut off: the last frame lacks 1 bytes"),
        (frame() + b"\xff\xf3", "part 2 is cut off in the header"),
        (id3v2(100)[:60], "part 2 is cut off in the tag at its beginning"),
        (b"\xff\xf3\x00\xc4" + bytes(200), "part 2 holds no MP3 frame at byte 0"),
    ],
)
def test_a_damaged_part_is_named(part: bytes, reason: str) -> None:
    """Audio is never dropped in silence: the error says which part is damaged, and how."""
    with pytest.raises(AudioError, match=reason):
        join([frame(), part])


def test_there_must_be_parts() -> None:
    """Nothing cannot be joined."""
    with pytest.raises(AudioError, match="no parts"):
        join([])
