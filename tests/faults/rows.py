"""The rows of the table of faults: what goes wrong, how the items end, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc

from tests.emulators.faults import Fault as HttpFault
from tests.emulators.grpc_faults import Fault as GrpcFault
from tests.faults.scene import ATTEMPTS, LongWriter, Scene, Time, cached_gemini, request
from tests.simulators.speech import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

TITLES, ITEMS, SCRIPTS, SPOKEN = 2, 4, 4, 4
"""Of the batch that every row makes: two scripts, two adaptations, four narrations."""


@dataclass(frozen=True)
class Row:
    """A fault and what becomes of a batch of four items, two scripts and two adaptations.

    Attributes:
        service, fault: for people; the service is also what the scene needs.
        arrange: makes it happen.
        failed: items that fail, code: why; the others are completed.
        written: calls of Gemini that are made, spoken: of Text-to-Speech.
        dead_letters: messages that are kept as such.
        waited: seconds that are slept through, at least.
    """

    service: str
    fault: str
    arrange: Callable[[Scene], object]
    failed: int = 0
    code: str = ""
    written: int = SCRIPTS
    spoken: int = SPOKEN
    dead_letters: int = 0
    waited: float = 0.0

    @property
    def name(self) -> str:
        """Of its test."""
        return f"{self.service}: {self.fault}"


def _once(fault: str) -> Callable[[Scene], object]:
    return lambda scene: scene.gemini.plan(fault)


def _hang(fault: str, title: str = "") -> Callable[[Scene], object]:
    def arrange(scene: Scene) -> None:
        scene.timeout = 0.5
        scene.gemini.plan(fault, title=title)

    return arrange


def _speech_hangs(scene: Scene) -> None:
    scene.timeout = 0.5
    scene.speech.faults.append(Fault("hang", times=1))


def _storage_hangs(scene: Scene) -> None:
    scene.timeout = 0.5
    scene.use_bucket().faults.append(HttpFault(hang=True, method="POST", times=1))


def _tea(fault: str) -> Callable[[Scene], object]:
    """All calls for one of the two titles."""
    return lambda scene: scene.gemini.plan(f"{fault}*", title="Chá")


def _voice(**fault: object) -> Callable[[Scene], object]:
    return lambda scene: scene.speech.faults.append(Fault(**fault))  # type: ignore[arg-type]


def _storage(**fault: object) -> Callable[[Scene], object]:
    return lambda scene: scene.use_bucket().faults.append(HttpFault(**fault))  # type: ignore[arg-type]


def _cache_taken(scene: Scene) -> None:
    """Somebody else has kept the same answers meanwhile."""
    scene.use_bucket().faults.append(HttpFault(status=412, method="POST", body=b"out/cache/"))
    assert scene.artifacts
    scene.writer = partial(cached_gemini, scene.gemini.url, scene.timeout, scene.artifacts)


def _firestore(**fault: object) -> Callable[[Scene], object]:
    return lambda scene: scene.use_firestore().faults.append(GrpcFault(**fault))  # type: ignore[arg-type]


def _firestore_away(scene: Scene) -> None:
    """From the first paid call on, for half a minute of those that are slept through."""

    def lasts() -> bool:
        return bool(scene.gemini.calls) and Time.seconds < 30

    scene.use_firestore().faults.append(GrpcFault(grpc.StatusCode.UNAVAILABLE, lasts=lasts))


def _messages(*messages: bytes) -> Callable[[Scene], object]:
    return lambda scene: scene.messages.extend(messages)


def _one_chunk(scene: Scene) -> None:
    scene.writer = LongWriter
    scene.speech.faults.append(Fault("invalid_argument", text="nobody says"))


def _full_disk(scene: Scene) -> None:
    scene.writer = LongWriter
    scene.limit_files(1_000_000)


RETRIED: Final = SCRIPTS + 1
ONE_TITLE: Final = 2 + 1
"""Calls where one title's script is refused at once: its own, and the other's two."""
GIVEN_UP: Final = 2 + ATTEMPTS

ROWS: Final = (
    Row(
        "Gemini", "429 with RetryInfo, once", _once("rate_limited_58s"), written=RETRIED, waited=58
    ),
    Row("Gemini", "429 without RetryInfo, once", _once("rate_limited"), written=RETRIED),
    Row("Gemini", "429 for a title, always", _tea("rate_limited"), 2, "rate_limited", GIVEN_UP, 2),
    Row(
        "Gemini",
        "quota of zero for a title",
        _tea("quota_zero"),
        2,
        "quota_exhausted",
        ONE_TITLE,
        2,
    ),
    Row("Gemini", "500, once", _once("internal"), written=RETRIED),
    Row("Gemini", "503, once", _once("unavailable"), written=RETRIED),
    Row("Gemini", "503 for a title, always", _tea("unavailable"), 2, "unavailable", GIVEN_UP, 2),
    Row("Gemini", "hangs beyond the deadline, once", _hang("hang"), written=RETRIED),
    Row(
        "Gemini",
        "hangs for a title, always",
        _hang("hang*", title="Chá"),
        2,
        "timeout",
        GIVEN_UP,
        2,
    ),
    Row("Gemini", "connection reset, once", _once("reset"), written=RETRIED),
    Row("Gemini", "body cut off, once", _once("truncated"), written=RETRIED),
    Row("Gemini", "malformed body, once", _once("malformed"), written=RETRIED),
    Row("Gemini", "empty answer for a title", _tea("empty_stop"), 2, "empty_answer", ONE_TITLE, 2),
    Row(
        "Gemini",
        "safety block for a title",
        _tea("block:SAFETY"),
        2,
        "refused_safety",
        ONE_TITLE,
        2,
    ),
    Row(
        "Gemini",
        "max tokens for a title",
        _tea("finish:MAX_TOKENS"),
        2,
        "refused_max_tokens",
        ONE_TITLE,
        2,
    ),
    Row(
        "Text-to-Speech", "RESOURCE_EXHAUSTED, once", _voice(kind="rate_limited", times=1), spoken=5
    ),
    Row("Text-to-Speech", "UNAVAILABLE, once", _voice(kind="unavailable", times=1), spoken=5),
    Row(
        "Text-to-Speech",
        "UNAVAILABLE for a language, always",
        _voice(kind="unavailable", language="en-US"),
        2,
        "unavailable",
        spoken=2 + 2 * ATTEMPTS,
    ),
    Row("Text-to-Speech", "hangs, once", _speech_hangs, spoken=5),
    Row(
        "Text-to-Speech",
        "corrupt MP3 for a language",
        _voice(kind="corrupt", language="en-US"),
        2,
        "corrupt_audio",
    ),
    Row(
        "Text-to-Speech",
        "INVALID_ARGUMENT for the third chunk of five, in a language",
        _one_chunk,
        2,
        "invalid_argument",
        written=0,
        spoken=2 + 2 * 3,
    ),
    Row("Cloud Storage", "503, once", _storage(status=503, method="POST", times=1)),
    Row("Cloud Storage", "412 for the entries of the cache", _cache_taken),
    Row("Cloud Storage", "no answer, once", _storage_hangs),
    Row(
        "Cloud Storage",
        "503 for the MP3s of a language, always",
        _storage(status=503, body=b'en-US.mp3"'),
        2,
        "storage_unavailable",
    ),
    Row(
        "Disk",
        "full for the MP3s of a language",
        _full_disk,
        2,
        "storage_unavailable",
        written=0,
        spoken=2 + 2 * 5,
    ),
    Row(
        "Firestore", "UNAVAILABLE for 30 s from the first paid call on", _firestore_away, waited=30
    ),
    Row(
        "Firestore",
        "ABORTED, five times",
        _firestore(code=grpc.StatusCode.ABORTED, method="Commit", times=5),
    ),
    Row("Firestore", "slow: 0.3 s a write", _firestore(delay=0.3, method="Commit")),
    Row("Pub/Sub", "the same message twice", _messages(request(), request())),
    Row(
        "Pub/Sub",
        "a later message first",
        _messages(request("later", titles=["Mate"]), request()),
        written=SCRIPTS + 2,
        spoken=SPOKEN + 2,
    ),
    Row("Pub/Sub", "poison before it", _messages(b"\xfe{", request()), dead_letters=1),
    Row("Pub/Sub", "10 MB before it", _messages(b" " * 10_000_000, request()), dead_letters=1),
)
