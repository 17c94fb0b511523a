"""Caching: what is kept, what is found again, who is asked only once, and what never fails for it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import mutagen.id3
import pytest

from domain import prompts
from services.artifacts.bucket import BucketArtifactStore
from services.artifacts.folder import FolderArtifactStore
from services.caching import Cache, CachedText, CachedVoice, Tally, canonical
from services.errors import Overloaded, QuotaExhausted, Refused, ServiceError, Unavailable
from services.ports import Completion, Speech, Utterance
from tests import builders
from tests.fake_services import silence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from domain.prompts import Prompt
    from services.ports import ArtifactStore

VENDOR = {"vendor": "fake"}
OLA = Utterance("Olá.", "pt-BR")


@dataclass
class Paid:
    """A TextModel and Voice that counts its calls and answers what a test decides.

    Attributes:
        errors: raised first, in turn.
        audio: what it speaks.
        calls: prompts and utterances, in order.
        hold: lets a call wait until it is set, where a test wants so.
        entered: set when a call is made.
    """

    errors: list[Exception] = field(default_factory=list)
    audio: bytes = field(default_factory=silence)
    calls: list[Any] = field(default_factory=list)
    hold: threading.Event | None = None
    entered: threading.Event = field(default_factory=threading.Event)
    max_bytes: int = 900
    max_sentence: int = 90

    def complete(self, prompt: Prompt) -> Completion:
        self._called(prompt)
        return Completion(f"{prompt.title}, ação ☕ {len(self.calls)}", "paid-001", 120, 37)

    def speak(self, utterance: Utterance) -> Speech:
        self._called(utterance)
        return Speech(self.audio, utterance.voice or "default")

    def _called(self, asked: Any) -> None:
        self.calls.append(asked)
        self.entered.set()
        if self.hold:
            assert self.hold.wait(60)
        if self.errors:
            raise self.errors.pop(0)


class UnsteadyArtifactStore(FolderArtifactStore):
    """A folder that can be away.

    Attributes:
        away: names of the operations that fail, by `open`, `write`, `create_only`.
    """

    away: frozenset[str] = frozenset()

    def open(self, uri: str) -> Any:
        self._reach("open", uri)
        return super().open(uri)

    def write(self, path: str, data: bytes) -> str:
        self._reach("write", path)
        return super().write(path, data)

    def create_only(self, path: str, data: bytes) -> bool:
        self._reach("create_only", path)
        return super().create_only(path, data)

    def _reach(self, operation: str, where: str) -> None:
        if operation in self.away:
            raise Unavailable(f"{where} is away", code="storage_unavailable")


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "folder":
        return FolderArtifactStore(str(tmp_path))
    return BucketArtifactStore(f"gs://{request.getfixturevalue('bucket')}/out")


def prompt(title: str = "O chá", variation: int = 1, **agent: Any) -> Prompt:
    return prompts.variation(builders.script_task(title, variation), builders.agent(**agent))


def counts(tally: Tally) -> tuple[int, int]:
    return tally.hits, tally.misses


def only_entry(root: Path) -> Path:
    """The one file below a cache."""
    (path,) = (path for path in (root / "cache").rglob("*") if path.is_file())
    return path


# ── What is kept ──────────────────────────────────────────────────────────────


def test_a_script_is_asked_for_once(store: ArtifactStore) -> None:
    """The second answer is the first one's, of another process too; it says that it was paid for."""
    paid, tally = Paid(), Tally()
    first = CachedText(paid, Cache(store, tally=tally), VENDOR).complete(prompt())
    again = CachedText(Paid(), Cache(store, tally=tally), VENDOR).complete(prompt())
    assert (first.text, first.cached) == ("O chá, ação ☕ 1", False)
    assert again == replace(first, cached=True)
    assert (again.input_tokens, again.output_tokens) == (120, 37)
    assert (len(paid.calls), counts(tally)) == (1, (1, 1))


def test_speech_is_asked_for_once(store: ArtifactStore) -> None:
    """Byte by byte, with the name of the voice; the limits are those of the voice itself."""
    paid, tally = Paid(), Tally()
    voice = CachedVoice(paid, Cache(store, tally=tally), VENDOR)
    assert (voice.max_bytes, voice.max_sentence) == (900, 90)
    first = voice.speak(OLA)
    again = CachedVoice(Paid(audio=b"other"), Cache(store, tally=tally), VENDOR).speak(OLA)
    assert first == Speech(silence(), "default")
    assert again == replace(first, cached=True)
    assert (len(paid.calls), counts(tally)) == (1, (1, 1))


@pytest.mark.parametrize(
    "other",
    [
        prompt("O café"),
        prompt(variation=2),
        prompt(instructions="Tom caloroso."),
        prompt(model="gemini-2.5-pro"),
        prompt(temperature=0.1),
        prompt(top_p=0.1),
        prompt(top_k=3),
        prompt(max_output_tokens=100),
        prompt(thinking_budget=0),
        prompt(target_minutes=9),
        prompts.adaptation(builders.script("O chá"), builders.agent()),
    ],
)
def test_a_prompt_that_differs_is_asked_for(tmp_path: Path, other: Prompt) -> None:
    """Whatever can change the answer is part of its key."""
    paid = Paid()
    model = CachedText(paid, Cache(FolderArtifactStore(str(tmp_path))), VENDOR)
    assert model.complete(prompt()).text != model.complete(other).text
    assert len(paid.calls) == 2


@pytest.mark.parametrize(
    "other",
    [
        Utterance("Olá!", "pt-BR"),
        Utterance("Olá.", "pt-PT"),
        Utterance("Olá.", "pt-BR", "pt-BR-Chirp3-HD-Aoede"),
        Utterance("Olá.", "pt-BR", rate=1.1),
    ],
)
def test_an_utterance_that_differs_is_asked_for(tmp_path: Path, other: Utterance) -> None:
    """Text, language, voice and pace."""
    paid = Paid()
    voice = CachedVoice(paid, Cache(FolderArtifactStore(str(tmp_path))), VENDOR)
    assert not voice.speak(OLA).cached
    assert not voice.speak(other).cached
    assert paid.calls == [OLA, other]


def test_another_vendors_answer_is_not_taken(tmp_path: Path) -> None:
    """Nor the same vendor's with other parameters."""
    cache = Cache(FolderArtifactStore(str(tmp_path)))
    for vendor in ({"vendor": "a"}, {"vendor": "b"}, {"vendor": "a", "sample_rate": 8000}):
        assert not CachedText(Paid(), cache, vendor).complete(prompt()).cached
        assert not CachedVoice(Paid(), cache, vendor).speak(OLA).cached


def test_what_reaches_no_model_is_no_part_of_a_scripts_key(tmp_path: Path) -> None:
    """Another batch, other voices: the same script."""
    model = CachedText(Paid(), Cache(FolderArtifactStore(str(tmp_path))), VENDOR)
    model.complete(prompt())
    elsewhere = builders.script_task("O chá", of=builders.job("O chá", 7, batch_id="other"))
    agent = builders.agent(voices={"pt-BR": "pt-BR-Chirp3-HD-Aoede"}, speaking_rate=1.2)
    assert model.complete(prompts.variation(elsewhere, agent)).cached


def test_a_document_has_one_writing() -> None:
    """Whatever the order of its fields."""
    assert canonical({"b": "ção", "a": 0.5}) == canonical({"a": 0.5, "b": "ção"})
    assert canonical({"b": "ção", "a": None}).decode() == '{"a":null,"b":"ção"}'


# ── What an entry tells ───────────────────────────────────────────────────────


def test_an_entry_of_a_script_tells_what_determined_it(tmp_path: Path) -> None:
    """A JSON document under the hash of what determines it, for people and programs."""
    asked = prompt(temperature=0.5)
    CachedText(Paid(), Cache(FolderArtifactStore(str(tmp_path))), VENDOR).complete(asked)
    path = only_entry(tmp_path)
    assert path.parent.parent == tmp_path / "cache" / "scripts"
    assert len(path.name) == 64
    assert path.parent.name == path.name[:2]
    told = json.loads(path.read_bytes())
    assert (told["text"], told["model"]) == ("O chá, ação ☕ 1", "paid-001")
    assert told["determined_by"] == {
        "vendor": "fake",
        "model": "gemini-2.5-flash",
        "temperature": 0.5,
        "top_p": 0.95,
        "top_k": 40,
        "max_output_tokens": 8192,
        "thinking_budget": None,
        "system": asked.system,
        "user": asked.user,
    }
    assert "ação ☕" in path.read_text("utf-8")


def test_an_entry_of_speech_plays_and_tells_what_determined_it(tmp_path: Path) -> None:
    """An MP3 whose tag other programs read."""
    CachedVoice(Paid(), Cache(FolderArtifactStore(str(tmp_path))), VENDOR).speak(OLA)
    path = only_entry(tmp_path)
    assert path.parent.parent == tmp_path / "cache" / "audio"
    assert path.read_bytes().endswith(silence())
    tags: Any = mutagen.id3.ID3(path)  # type: ignore[no-untyped-call]
    told = json.loads(tags["TXXX:roteiro"].text[0])
    assert told["voice"] == "default"
    assert told["determined_by"] == {
        "vendor": "fake",
        "text": "Olá.",
        "language": "pt-BR",
        "voice": "",
        "rate": 1.0,
    }


# ── What is not kept ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [Refused, Overloaded, QuotaExhausted, Unavailable, KeyError])
def test_an_error_is_raised_and_not_kept(tmp_path: Path, kind: type[Exception]) -> None:
    """The next call asks again, and its answer is kept."""
    paid, tally = Paid([kind("no"), kind("no")]), Tally()
    cache = Cache(FolderArtifactStore(str(tmp_path)), tally=tally)
    model, voice = CachedText(paid, cache, VENDOR), CachedVoice(paid, cache, VENDOR)
    for ask in (lambda: model.complete(prompt()), lambda: voice.speak(OLA)):
        with pytest.raises(kind):
            ask()
    assert not (tmp_path / "cache").exists()
    assert not model.complete(prompt()).cached
    assert model.complete(prompt()).cached
    assert counts(tally) == (1, 1)


@pytest.mark.parametrize("audio", [b"", b"no MP3", silence()[:-20]])
def test_audio_that_is_not_whole_is_not_kept(tmp_path: Path, audio: bytes) -> None:
    """It is the caller's to judge; the next try asks the voice again."""
    paid = Paid(audio=audio)
    voice = CachedVoice(paid, Cache(FolderArtifactStore(str(tmp_path))), VENDOR)
    assert voice.speak(OLA) == voice.speak(OLA) == Speech(audio, "default")
    assert len(paid.calls) == 2


def damaged(data: bytes) -> dict[str, bytes]:
    """What disks, people and broken-off copies make of an entry."""
    return {
        "empty": b"",
        "half": data[: len(data) // 2],
        "all but the end": data[:-1],
        "other": b"\xff\x00" * 100,
        "JSON": b"[]",
        "a field short": data.replace(b'"determined_by"', b'"determined_by_"'),
        "another's": data.replace(b"fake", b"fare"),
        "numbers": data.replace(b'"paid-001"', b"1").replace(b'"default"', b"1"),
        "a blank": data.replace(
            b'"text": "O ch\xc3\xa1, a\xc3\xa7\xc3\xa3o \xe2\x98\x95 1"', b'"text": " "'
        ),
        "a number less": data.replace(b"120", b'"x"'),
    }


@pytest.mark.parametrize("how", list(damaged(b"")))
def test_a_damaged_entry_is_replaced(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts as none, and from then on there is a whole one."""
    cache = Cache(FolderArtifactStore(str(tmp_path)))
    for folder, ask in (
        ("scripts", lambda: CachedText(Paid(), cache, VENDOR).complete(prompt())),
        ("audio", lambda: CachedVoice(Paid(), cache, VENDOR).speak(OLA)),
    ):
        ask()
        (path,) = (tmp_path / "cache" / folder).glob("*/*")
        whole = path.read_bytes()
        changed = damaged(whole)[how]
        if changed == whole:  # of the other kind of entry
            continue
        path.write_bytes(changed)
        assert not ask().cached
        assert path.read_bytes() == whole
        assert ask().cached
    assert "a damaged cache entry is replaced" in caplog.text


# ── Refreshing ────────────────────────────────────────────────────────────────


def test_refreshing_asks_and_replaces(store: ArtifactStore) -> None:
    """Whoever comes later finds the new answer."""
    paid, tally = Paid(), Tally()
    cache = Cache(store, tally=tally)
    CachedText(paid, cache, VENDOR).complete(prompt())
    fresh = CachedText(paid, replace(cache, refresh=True), VENDOR).complete(prompt())
    assert (fresh.text, fresh.cached) == ("O chá, ação ☕ 2", False)
    assert CachedText(paid, cache, VENDOR).complete(prompt()) == replace(fresh, cached=True)
    assert counts(tally) == (1, 2)


# ── One flight a key ──────────────────────────────────────────────────────────


def flown_together(paid: Paid, ask: Callable[[], Any], number: int = 8) -> list[Any]:
    """What each of several threads gets that ask while the first call is under way."""
    paid.hold = threading.Event()
    waiting = threading.Semaphore(0)

    def one() -> Any:
        waiting.release()
        try:
            return ask()
        except Exception as error:  # noqa: BLE001 - an answer like any other
            return error

    with ThreadPoolExecutor(number) as pool:
        first = pool.submit(one)
        assert paid.entered.wait(60)
        others = [pool.submit(one) for _ in range(number - 1)]
        for _ in range(number):
            waiting.acquire(timeout=60)
        paid.hold.set()
        return [future.result(60) for future in (first, *others)]


def test_who_asks_at_the_same_time_waits_for_the_first(tmp_path: Path) -> None:
    """One call is made, and one answer is paid for."""
    paid, tally = Paid(), Tally()
    cache = Cache(FolderArtifactStore(str(tmp_path)), tally=tally)
    model = CachedText(paid, cache, VENDOR)
    first, *others = flown_together(paid, lambda: model.complete(prompt()))
    assert not first.cached
    assert others == [replace(first, cached=True)] * 7
    assert (len(paid.calls), counts(tally)) == (1, (7, 1))


def test_without_a_store_one_flight_is_shared_too(tmp_path: Path) -> None:
    """Whoever waits needs no entry."""
    paid, away = Paid(), UnsteadyArtifactStore(str(tmp_path))
    away.away = frozenset({"open", "create_only"})
    voice = CachedVoice(paid, Cache(away), VENDOR)
    released: list[Speech] = flown_together(paid, lambda: voice.speak(OLA), 2)
    assert [speech.audio for speech in released] == [silence()] * 2


@pytest.mark.parametrize("kind", [Refused, Unavailable, Overloaded, QuotaExhausted])
def test_an_error_is_told_to_all_who_waited(tmp_path: Path, kind: type[ServiceError]) -> None:
    """Its call was retried for as long as is worth while; who comes later asks anew.

    A thread that was late makes a second call, which succeeds.
    """
    paid = Paid([kind("no", code="a_code", attempts=5)])
    model = CachedText(paid, Cache(FolderArtifactStore(str(tmp_path))), VENDOR)
    answers = flown_together(paid, lambda: model.complete(prompt()))
    errors = [answer for answer in answers if isinstance(answer, kind)]
    assert answers[0] in errors
    assert {(error.code, error.attempts) for error in errors} == {("a_code", 5)}
    assert len({id(error) for error in errors}) == len(errors)
    assert model.complete(prompt()).text.startswith("O chá")


def test_after_a_fault_of_the_program_the_next_one_tries(tmp_path: Path) -> None:
    """What went wrong in one thread need not in another."""
    paid = Paid([KeyError("fault")])
    model = CachedText(paid, Cache(FolderArtifactStore(str(tmp_path))), VENDOR)
    first, *others = flown_together(paid, lambda: model.complete(prompt()))
    assert isinstance(first, KeyError)
    assert {answer.text for answer in others} == {"O chá, ação ☕ 2"}
    assert len(paid.calls) == 2


def test_different_keys_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """While one call is under way, another one is answered."""
    slow, quick = Paid(hold=threading.Event()), Paid()
    cache = Cache(FolderArtifactStore(str(tmp_path)))
    model = CachedText(slow, cache, VENDOR)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(model.complete, prompt())
        assert slow.entered.wait(60)
        model._model = quick
        assert model.complete(prompt("O café")).text.startswith("O café")
        assert not waiting.done()
        assert slow.hold
        slow.hold.set()
        assert waiting.result(60).text.startswith("O chá")


# ── A store that is away ──────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("away", "refresh"), [({"open"}, False), ({"create_only"}, False), ({"write"}, True)]
)
def test_a_store_that_is_away_fails_no_call(
    tmp_path: Path, away: set[str], refresh: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers are paid for and handed on; one warning says so."""
    unsteady = UnsteadyArtifactStore(str(tmp_path))
    unsteady.away = frozenset(away)
    paid = Paid()
    model = CachedText(paid, Cache(unsteady, refresh=refresh), VENDOR)
    answers = [model.complete(prompt()) for _ in range(3)]
    assert [answer.cached for answer in answers] == [False] * 3
    assert len(paid.calls) == 3
    (record,) = caplog.records
    assert "the cache is out of reach; calls are made without it" in record.message
    assert "is away" in record.message


def test_an_entry_that_cannot_be_read_fails_no_call(tmp_path: Path) -> None:
    """A folder where a file should be, for one."""
    cache = Cache(FolderArtifactStore(str(tmp_path)))
    model = CachedText(Paid(), cache, VENDOR)
    model.complete(prompt())
    path = only_entry(tmp_path)
    path.unlink()
    path.mkdir()
    assert not model.complete(prompt()).cached
