"""Kills: Roteiro killed at random moments and started again until its batch is done.

As a program it prints what each seed came to: python -m tests.faults.kills --seeds 20
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

import miniaudio

from domain.status import TERMINAL
from services.statuses.sqlite import SqliteStatusStore
from tests.emulators.pubsub import HOST, PubsubEmulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.speech import SpeechSimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import ForkServerProcess

    from domain.status import BatchDoc

Way: TypeAlias = Literal["local", "streaming"]
WAYS: Final[tuple[Way, ...]] = ("local", "streaming")

KILLS: Final = 10
TITLES: Final = ("Café", "Chá", "Mate", "Cacau", "Guaraná")
VARIATIONS: Final = 2
MASTER: Final = "pt-BR"
LANGUAGES: Final = (MASTER, "en-US", "es-ES")
ITEMS: Final = len(TITLES) * VARIATIONS * len(LANGUAGES)
REQUEST: Final[dict[str, Any]] = {
    "batch_id": "cafe",
    "owner": "ana@example.com",
    "titles": TITLES,
    "variations": VARIATIONS,
    "agent": {"master_language": MASTER, "target_languages": LANGUAGES, "target_minutes": 0.25},
}
AT_ONCE: Final = 3
"""Calls of each slow step, so that most of a batch is still to come when a kill does."""
LATENCY: Final = 0.04
"""Seconds that a script takes; its speech takes half as long."""
LATE: Final = 2
"""Of them, in runs that come as far as to all files, while the batch is being closed."""
LATE_LOOKS: Final = 12
MOST_CALLS: Final = 8
"""Paid for by another run, at most, before it is killed."""
LOOK: Final = 0.005
"""Seconds between two looks."""
MOST_LOOKS: Final = 40
"""Between the last of these calls and the kill, or from a start to a kill before any call."""
READY: Final = "Taking requests from"
"""What `roteiro start` prints once it can be stopped."""
PATIENCE: Final = 60.0
"""Seconds without what is waited for, after which a seed has failed."""

_MARK: Final = re.compile(r"Its mark is ([0-9a-f]{8})")
_VARIATION: Final = re.compile(r"This is variation (\d+)")

# A process that imports everything once and forks a copy for each start: a start then costs a
# tenth of a second instead of four, and what runs is the same command line.
_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "apache_beam",
        "apache_beam.runners.portability.fn_api_runner",
        "google.cloud.texttospeech",
        "google.genai",
        "httpcore",
        "httpx",
        "launcher.cli",
        "launcher.run",
        "launcher.start",
        "launcher.submit",
        "pipeline.graph",
        "pipeline.options",
        "services.voices.google",
        "services.writers.gemini",
        "tests.emulators.pubsub",
        "tests.simulators.gemini",
        "tests.simulators.speech",
    ]
)

Narrated: TypeAlias = tuple[str, int, str]
"""Title, variation, language."""


@dataclass(frozen=True, slots=True)
class Paid:
    """A call by what it is for; made twice, it is paid twice."""

    kind: Literal["script", "adaptation", "speech"]
    title: str
    variation: int
    language: str


def wanted() -> set[Paid]:
    """The calls that the batch needs where nobody kills anything."""
    calls = set()
    for title in TITLES:
        for variation in range(1, VARIATIONS + 1):
            calls.add(Paid("script", title, variation, MASTER))
            for language in LANGUAGES:
                calls.add(Paid("speech", title, variation, language))
                if language != MASTER:
                    calls.add(Paid("adaptation", title, variation, language))
    return calls


def most_paid(in_flight: int) -> int:
    """Calls that a batch may cost at most: those it needs, and those that kills have cut off.

    Args:
        in_flight: calls whose answers were not in the cache at the kills.
    """
    return len(wanted()) + in_flight


@dataclass
class Figures:
    """What a seed came to.

    Attributes:
        paid: calls by kind; wanted: those of a batch that is left alone;
            allowed: `most_paid`.
        in_flight: calls whose answers were not in the cache at the kills.
        before_calls, when_done: kills before a start's first call, and after the
            batch had come to an end.
        falls: numbers of the status that went down.
        problems: anything else that is wrong.
    """

    seed: int
    way: Way
    kills: int = 0
    items: int = 0
    wanted: int = len(wanted())
    paid: dict[str, int] = field(default_factory=dict)
    allowed: int = 0
    in_flight: int = 0
    before_calls: int = 0
    when_done: int = 0
    falls: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Calls of all kinds."""
        return sum(self.paid.values())


class Watched:
    """The status, looked at again and again; its numbers must not go down."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._store: SqliteStatusStore | None = None
        self._last: dict[str, float] = {}
        self.falls: list[str] = []

    def look(self) -> BatchDoc | None:
        """The batch as it is now; None while there is none."""
        if self._store is None:
            if not self._database.exists():
                return None
            self._store = SqliteStatusStore(self._database)
        batch = self._store.batch("cafe")
        if batch is not None:
            numbers = dict(_numbers(batch))
            for name, number in numbers.items():
                if number < (before := self._last.get(name, 0)):
                    self.falls.append(f"{name} from {before:g} to {number:g}")
            self._last = numbers
        return batch

    def close(self) -> None:
        """Let go of the database."""
        if self._store is not None:
            self._store.close()


def _numbers(batch: BatchDoc) -> Iterator[tuple[str, float]]:
    for name in ("completed_items", "failed_items", "completed_jobs", "progress_percentage"):
        yield name, batch[name]
    yield from ((name, float(number)) for name, number in batch["stats"].items())  # type: ignore[arg-type]


class Scene:
    """A folder, the simulators, and the processes that are started there and killed.

    Args:
        pubsub: where a streaming run takes its request from; None for a local one.
    """

    def __init__(self, folder: Path, pubsub: PubsubEmulator | None) -> None:
        self.folder = folder
        self.gemini = GeminiSimulator(latency=LATENCY)
        self.speech = SpeechSimulator(latency=LATENCY / 2)
        self.watched = Watched(folder / "output" / "status.db")
        self._pubsub = pubsub
        self._stack = ExitStack()
        self._process: ForkServerProcess | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._end)
            stack.enter_context(closing(self.watched))
            stack.enter_context(self.gemini)
            stack.enter_context(self.speech)
            self._environment = {
                "GOOGLE_API_KEY": "any",
                "ROTEIRO_WRITER": "gemini",
                "ROTEIRO_GEMINI_ENDPOINT": self.gemini.url,
                "ROTEIRO_VOICE": "google",
                "ROTEIRO_SPEECH_ENDPOINT": self.speech.endpoint,
                "ROTEIRO_MAX_IN_FLIGHT": str(AT_ONCE),
            }
            (self.folder / "request.json").write_text(json.dumps(REQUEST), "utf-8")
            self._words: tuple[str, ...] = ("run", "request.json")
            if self._pubsub:
                topic, subscription = self._pubsub.new_topic()
                self._environment[HOST] = self._pubsub.host
                self._words = ("start", "--subscription", subscription)
                self._start("submit", "request.json", "--topic", topic)
                self.ended()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start Roteiro, once more."""
        self._start(*self._words)

    def _start(self, *words: str) -> None:
        process = _CONTEXT.Process(
            target=roteiro, args=(words, str(self.folder), self._environment), daemon=True
        )
        process.start()
        self._process = process

    @property
    def process(self) -> ForkServerProcess:
        """The latest."""
        assert self._process is not None
        return self._process

    def ended(self) -> None:
        """Wait for its end, which must be a good one."""
        self.process.join(PATIENCE)
        assert self.process.exitcode == 0, self.told()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join(PATIENCE)

    def stop(self) -> None:
        """End a process that would go on for ever."""
        if self._pubsub:
            self.process.terminate()
        self.ended()

    def _end(self) -> None:
        if self._process is not None and self._process.is_alive():
            self.kill()

    def told(self) -> str:
        """What the processes have printed."""
        told = self.folder / "told"
        return told.read_text("utf-8", "replace") if told.exists() else ""

    def asked(self) -> int:
        """Calls that have come so far."""
        return len(self.gemini.calls) + len(self.speech.calls) + self.speech.under_way

    def answered(self) -> int:
        """Those that have their answers."""
        return len(self.gemini.calls) - self.gemini.under_way + len(self.speech.calls)

    def kept(self) -> int:
        """Answers in the cache."""
        return len(list((self.folder / "output" / "cache").glob("*/*/[!.]*")))

    def calls(self) -> list[Paid]:
        """All calls so far, by what they are for."""
        paid = []
        made_of: dict[str, tuple[str, int]] = {}
        for call in list(self.gemini.calls):
            if call.task == "variation":
                of = (call.title, int(_VARIATION.findall(call.user)[0]))
                paid.append(Paid("script", *of, MASTER))
            else:
                of = made_of[_MARK.findall(call.user)[0]]
                paid.append(Paid("adaptation", *of, call.language))
            made_of[hashlib.sha256(call.user.encode()).hexdigest()[:8]] = of
        for spoken in list(self.speech.calls):
            of = made_of[_MARK.findall(spoken.text)[0]]
            paid.append(Paid("speech", *of, spoken.language))
        return paid

    def files(self, ending: str) -> list[Path]:
        """The deliverables that are there under their final names."""
        return list((self.folder / "output" / "batches" / "cafe").glob(f"*/[!.]*.{ending}"))

    def wait(self, condition: Callable[[], bool]) -> None:
        """Look at the status until something is the case."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.told()
            self.watched.look()
            time.sleep(LOOK)


def roteiro(words: tuple[str, ...], folder: str, environment: dict[str, str]) -> None:
    """The command line, in a process of its own."""
    os.chdir(folder)
    os.environ.update(environment)
    told = os.open("told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(told, stream)
    sys.argv = ["roteiro", *words]
    from launcher.cli import main

    main()


def killed(seed: int, way: Way, folder: Path, pubsub: PubsubEmulator | None) -> Figures:
    """Kill a batch ten times at moments that the seed decides, and let it come to its end."""
    moments = random.Random(f"{seed} {way}")  # noqa: S311 - to be had again, not to be secret
    figures = Figures(seed, way)
    with Scene(folder, pubsub if way == "streaming" else None) as scene:
        while figures.kills < KILLS:
            late = figures.kills >= KILLS - LATE
            calls = sys.maxsize if late else moments.randint(0, MOST_CALLS)
            looks = moments.randint(0, LATE_LOOKS if late else MOST_LOOKS)
            _kill(scene, calls, looks, figures)
        starts = scene.told().count(READY)
        scene.start()
        if way == "streaming":
            scene.wait(lambda: _done(scene) and scene.told().count(READY) > starts)
        else:
            scene.wait(lambda: not scene.process.is_alive())
        scene.stop()
        scene.watched.look()
        paid = scene.calls()
        figures.falls = scene.watched.falls
        figures.allowed = most_paid(figures.in_flight)
        figures.problems = list(_problems(scene, figures))
    figures.paid = {
        kind: sum(call.kind == kind for call in paid) for kind in ("script", "adaptation", "speech")
    }
    if set(paid) != wanted():
        figures.problems.append("the calls are not those of the request")
    if figures.total > figures.allowed:
        figures.problems.append(f"{figures.total} calls, and {figures.allowed} are allowed")
    return figures


def _kill(scene: Scene, calls: int, looks: int, figures: Figures) -> None:
    """Start, wait for so many calls or all, and looks, and kill.

    Nothing, where the process was faster and has ended by itself.
    """
    before, kept = scene.asked(), scene.kept()
    scene.start()

    def due() -> bool:
        return (
            scene.asked() >= before + calls
            or len(scene.files("mp3")) == ITEMS
            or not scene.process.is_alive()
        )

    scene.wait(due)
    countdown = iter(range(looks))
    scene.wait(lambda: next(countdown, None) is None or not scene.process.is_alive())
    if not scene.process.is_alive():
        scene.ended()
        return
    done = _done(scene)
    scene.kill()
    figures.kills += 1
    figures.before_calls += scene.asked() == before
    figures.when_done += done
    scene.wait(lambda: scene.asked() == scene.answered())
    figures.in_flight += scene.asked() - before - (scene.kept() - kept)


def _done(scene: Scene) -> bool:
    batch = scene.watched.look()
    return batch is not None and batch["status"] in TERMINAL


def _problems(scene: Scene, figures: Figures) -> Iterator[str]:
    """What is not as it should be after the end."""
    batch = scene.watched.look()
    assert batch is not None
    status, completed = batch["status"], batch["completed_items"]
    if (status, completed, batch["progress_percentage"]) != ("completed", ITEMS, 100.0):
        yield f"the batch is {status} with {completed} narrations"
    for fall in figures.falls:
        yield f"went down: {fall}"
    folder = scene.folder / "output" / "batches" / "cafe"
    manifest = json.loads((folder / "manifest.json").read_bytes())
    entries = {(e["title"], e["variation"], e["language"]): e for e in manifest["items"]}
    if (
        manifest["status"] != "completed"
        or len(entries) != ITEMS
        or len(manifest["items"]) != ITEMS
    ):
        yield f"the manifest is {manifest['status']} with {len(entries)} narrations"
    yield from _not_delivered(manifest["items"], figures)
    for ending in ("mp3", "txt"):
        if (found := len(scene.files(ending))) != ITEMS:
            yield f"{found} files {ending}"
    if left := list(folder.rglob("*.part")):
        yield f"left behind: {left}"


def _not_delivered(entries: list[dict[str, Any]], figures: Figures) -> Iterator[str]:
    """What a manifest tells of and cannot be listened to."""
    for entry in entries:
        if entry["status"] != "completed":
            yield f"{entry['title']} {entry['item']} is {entry['status']} in the manifest"
            continue
        audio = Path(entry["uri"]).read_bytes()
        whole = hashlib.sha256(audio).hexdigest() == entry["sha256"]
        if not whole or miniaudio.decode(audio).num_frames <= 0:
            yield f"{entry['uri']} is not what the manifest tells"
        if not Path(entry["script_uri"]).read_bytes():
            yield f"{entry['script_uri']} is empty"
        figures.items += 1


def main() -> int:
    """Print the figures of many seeds; returns 1 where any went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, metavar="N")
    parser.add_argument("--first", type=int, default=1, metavar="SEED")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="at once [4]")
    given = parser.parse_args()
    head = "seed  way        kills  items  paid (scripts, adaptations, speech)  wanted  allowed"
    print(f"{head}  in flight at kills  before calls  when done", flush=True)
    with PubsubEmulator() as pubsub, tempfile.TemporaryDirectory() as place:

        def one(asked: tuple[int, Way]) -> Figures:
            seed, way = asked
            folder = Path(place, f"{way}-{seed}")
            folder.mkdir()
            figures = killed(seed, way, folder, pubsub)
            _print(figures)
            return figures

        seeds = range(given.first, given.first + given.seeds)
        with ThreadPoolExecutor(given.jobs) as pool:
            all_figures = list(pool.map(one, [(seed, way) for seed in seeds for way in WAYS]))
    wrong = [figures for figures in all_figures if figures.problems]
    told = {
        "seeds": given.seeds,
        "runs": len(all_figures),
        "kills": sum(figures.kills for figures in all_figures),
        "items": sum(figures.items for figures in all_figures),
        "paid": sum(figures.total for figures in all_figures),
        "wanted": sum(figures.wanted for figures in all_figures),
        "allowed": sum(figures.allowed for figures in all_figures),
        "in_flight_at_kills": sum(figures.in_flight for figures in all_figures),
        "falls": sum(len(figures.falls) for figures in all_figures),
        "wrong": [asdict(figures) for figures in wrong],
    }
    print(json.dumps(told, ensure_ascii=False))
    return 1 if wrong else 0


def _print(figures: Figures) -> None:
    kinds = ", ".join(map(str, figures.paid.values()))
    paid = f"{figures.total} ({kinds})"
    print(
        f"{figures.seed:>4}  {figures.way:<9}  {figures.kills:>5}  {figures.items:>5}  {paid:<35}"
        f"  {figures.wanted:>6}  {figures.allowed:>7}  {figures.in_flight:>18}"
        f"  {figures.before_calls:>12}  {figures.when_done:>9}"
        + "".join(f"\n      {problem}" for problem in figures.problems),
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
