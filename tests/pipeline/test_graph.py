"""The whole graph on the in-process runner, with vendors whose answers a test decides."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from domain.audio import duration
from domain.work import Message
from pipeline.graph import NarrateBatches, Services
from pipeline.options import local_bounded
from services.artifacts.folder import FolderArtifactStore
from services.errors import Overloaded, Refused, Unavailable
from services.statuses.coalescing import CoalescingStatusStore
from services.statuses.outages import Outage
from services.statuses.patient import PatientStatusStore
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import batch_end, encoded, request_document
from tests.fake_services import FakeVoice, FakeWriter, sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.prompts import Prompt
    from domain.status import BatchDoc, Patch
    from services.ports import Completion, Speech, Utterance

LANGUAGES = ["pt-BR", "en-US", "es-ES"]
TITLES = ["Café", "Chá", "Café"]
PATIENCE = 20.0
"""Seconds after which a test gives up; none waits that long where the code is right."""
STEPS = Path(__file__).with_name("steps.txt")


@dataclass
class House:
    """A place to run batches in, and to look at what they left."""

    folder: Path
    writer: FakeWriter = field(default_factory=FakeWriter)
    voice: FakeVoice = field(default_factory=FakeVoice)
    languages: list[str] | None = None

    def services(self) -> Services:
        return Services(
            writer=self.writer,
            voice=self.voice,
            artifacts=partial(FolderArtifactStore, str(self.folder)),
            statuses=partial(sqlite, self.folder / "status.db"),
            languages=self.languages,
            max_in_flight=8,
        )

    def run(self, *messages: Message, ends: list[tuple[str, str]]) -> None:
        """Run the messages; `ends` are the batches that must end, with their statuses."""
        pipeline = beam.Pipeline(options=local_bounded())
        out = pipeline | beam.Create(messages) | NarrateBatches(self.services())
        assert_that(out | beam.Map(lambda end: (end.batch_id, end.status)), equal_to(ends))
        pipeline.run()

    def batch(self, batch_id: str = "cafe") -> BatchDoc:
        batch = self.statuses().batch(batch_id)
        assert batch
        return batch

    def statuses(self) -> SqliteStatusStore:
        return SqliteStatusStore(self.folder / "status.db")

    def manifest(self, batch_id: str = "cafe") -> dict[str, Any]:
        path = self.folder / "batches" / batch_id / "manifest.json"
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        return manifest

    def files(self, ending: str = "mp3") -> list[Path]:
        return sorted(self.folder.glob(f"batches/**/*.{ending}"))


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty house."""
    return House(tmp_path)


def message(run_id: str = "run-1", batch_id: str = "cafe", **fields: Any) -> Message:
    document = request_document(
        **{
            "titles": TITLES,
            "variations": 2,
            "agent": {"target_languages": LANGUAGES},
            "batch_id": batch_id,
            **fields,
        }
    )
    return Message(encoded(document), batch_id, run_id, resume=True)


def calls(house: House) -> list[str]:
    assert house.writer.log
    return house.writer.log.read_text(encoding="utf-8").splitlines()


def test_a_batch_is_made_whole(house: House) -> None:
    """Every title × variation × language is an MP3 with its words beside it, and in the manifest."""
    house.run(message(), ends=[("cafe", "completed")])
    batch, manifest = house.batch(), house.manifest()
    assert (batch["completed_items"], batch["failed_items"]) == (18, 0)
    assert batch["progress_percentage"] == 100
    assert (batch["completed_jobs"], batch["running_jobs"]) == (3, 0)
    assert len(house.files("txt")) == len(house.files("mp3")) == 18
    assert manifest["status"] == "completed"
    for entry in manifest["items"]:
        audio = Path(entry["uri"]).read_bytes()
        assert hashlib.sha256(audio).hexdigest() == entry["sha256"]
        assert len(audio) == entry["bytes"]
        assert duration(audio) == pytest.approx(entry["seconds"], abs=0.001)
        words = Path(entry["script_uri"]).read_text(encoding="utf-8")
        assert words == f"{entry['title']} ({entry['language']})."
        assert (entry["writer"], entry["voice"]) == ("fake-writer", "fake-voice")


def test_the_master_language_is_not_adapted(house: House) -> None:
    """A script is written once a variation, and adapted once for every other language."""
    house.writer.log = house.folder / "calls"
    house.run(message(titles=["Café"]), ends=[("cafe", "completed")])
    expected = ["variation Café pt-BR"] * 2
    expected += [f"adaptation Café {language}" for language in ("en-US", "es-ES")] * 2
    assert sorted(calls(house)) == sorted(expected)


def test_failures_fail_only_their_own(house: House) -> None:
    """Whatever fails at whatever stage, finished and failed reach the total, and no more fails."""
    house.writer.errors = {
        "Chá": Refused("not this", code="refused_safety"),
        ("Café", "en-US"): Overloaded("too much", attempts=5),
    }
    house.voice.errors = {"es-ES": Unavailable("away", code="timeout", attempts=3)}
    house.run(message(), ends=[("cafe", "partial")])
    batch = house.batch()
    assert (batch["completed_items"], batch["failed_items"]) == (4, 14)
    assert batch["progress_percentage"] == 100
    assert batch["failed_jobs"] == 3
    errors = [
        (entry["title"], entry["language"], entry["error"]["stage"], entry["error"]["code"])
        for entry in house.manifest()["items"]
        if entry["status"] == "failed" and entry["variation"] == 1
    ]
    assert errors == [
        ("Café", "en-US", "adapt", "rate_limited"),
        ("Café", "es-ES", "narrate", "timeout"),
        ("Chá", "pt-BR", "generate", "refused_safety"),
        ("Chá", "en-US", "generate", "refused_safety"),
        ("Chá", "es-ES", "generate", "refused_safety"),
        ("Café", "en-US", "adapt", "rate_limited"),
        ("Café", "es-ES", "narrate", "timeout"),
    ]
    assert len(house.files()) == 4


def test_all_failed_is_an_end_too(house: House) -> None:
    """A batch of which nothing could be made ends as failed, with a manifest that says so."""
    house.writer.errors = {title: Refused("no") for title in TITLES}
    house.run(message(), ends=[("cafe", "failed")])
    assert {entry["status"] for entry in house.manifest()["items"]} == {"failed"}


def test_another_run_makes_what_is_missing(house: House) -> None:
    """A second run calls for the failed items only and leaves the finished files untouched."""
    house.writer.errors = {("Café", "en-US"): Unavailable("away")}
    house.run(message(), ends=[("cafe", "partial")])
    before = {path: path.stat().st_mtime_ns for path in house.files()}
    house.writer = FakeWriter(log=house.folder / "calls")
    house.run(message("run-2"), ends=[("cafe", "completed")])
    assert len(house.files()) == 18
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(set(calls(house))) == ["adaptation Café en-US", "variation Café pt-BR"]
    assert house.batch()["failed_items"] == 0


def test_several_batches_at_once(house: House) -> None:
    """Batches do not mix: a rejected one stops nobody, a duplicate makes nothing twice."""
    house.writer.log = house.folder / "calls"
    other = message("run-2", "cha", titles=["Chá"], variations=1)
    poison = Message(b"{", "poison", "run-3")
    copy = Message(message().data, "cafe", "run-4")
    house.run(message(), poison, other, copy, ends=[("cafe", "completed"), ("cha", "completed")])
    assert len(calls(house)) == 18 + 3
    letters = [path.name for path in house.folder.glob("dead-letters/*")]
    assert letters == ["run-3.json"]


def test_a_conflict_becomes_a_dead_letter(house: House) -> None:
    """Another request under the same id is kept as a dead letter; the first is not touched."""
    house.run(message(titles=["Café"]), ends=[("cafe", "completed")])
    before = house.batch()
    house.run(message("run-2", titles=["Chá"]), ends=[])
    assert house.batch() == before
    (letter,) = house.folder.glob("dead-letters/*")
    assert json.loads(letter.read_bytes())["errors"][0]["path"] == "batch_id"


@dataclass
class Straggler(FakeWriter):
    """A writer that keeps one title back until the narrations of all others are stored."""

    folder: Path = Path()
    others: int = 0

    def complete(self, prompt: Prompt) -> Completion:
        if prompt.title == "Straggler":
            until = time.monotonic() + PATIENCE
            while len(list(self.folder.glob("batches/*/*/*.mp3"))) < self.others:
                if time.monotonic() > until:
                    raise Refused("the others have not been made")
                time.sleep(0.02)
        return super().complete(prompt)


def test_a_slow_call_holds_nobody_else_up(house: House) -> None:
    """While one script is being written, all that do not need it are adapted, spoken and stored."""
    titles = ["Straggler", *(f"Título {n}" for n in range(20))]
    house.writer = Straggler(folder=house.folder, others=20 * len(LANGUAGES))
    house.run(message(titles=titles, variations=1), ends=[("cafe", "completed")])


class Outing(SqliteStatusStore):
    """A status store that is away from the first MP3 to the last."""

    def __init__(self, folder: Path, total: int) -> None:
        super().__init__(folder / "status.db")
        self._folder, self._total = folder, total

    def _reach(self) -> None:
        made = len(list(self._folder.glob("batches/*/*/[!.]*.mp3")))
        if 0 < made < self._total:
            raise Unavailable("away")

    def merge_jobs(self, batch_id: str, patches: Mapping[str, Patch]) -> None:
        self._reach()
        super().merge_jobs(batch_id, patches)

    def cancel_requested(self, batch_id: str) -> bool:
        self._reach()
        return super().cancel_requested(batch_id)

    def batch(self, batch_id: str) -> BatchDoc | None:
        self._reach()
        return super().batch(batch_id)


def outing(folder: Path, total: int) -> PatientStatusStore:
    """Such a store as a pipeline has it."""
    outage = Outage()
    return PatientStatusStore(
        CoalescingStatusStore(Outing(folder, total), 0.01, outage), PATIENCE, outage
    )


def test_a_status_store_that_is_away_costs_nothing(house: House) -> None:
    """While it is, paid work goes on to its end; when it is back, the truth is written."""
    house.writer.log = house.folder / "calls"
    titles = [f"Título {n}" for n in range(20)]
    total = len(titles) * 2 * len(LANGUAGES)
    services = replace(house.services(), statuses=partial(outing, house.folder, total))
    pipeline = beam.Pipeline(options=local_bounded())
    ends = pipeline | beam.Create([message(titles=titles)]) | NarrateBatches(services)
    assert_that(ends | beam.Map(lambda end: end.status), equal_to(["completed"]))
    pipeline.run()
    assert len(calls(house)) == total
    batch = house.batch()
    assert (batch["completed_items"], batch["failed_items"]) == (total, 0)
    assert len(house.files()) == total


@dataclass
class CancellingVoice(FakeVoice):
    """A voice during whose first answer somebody cancels the batch."""

    database: Path = Path()

    def speak(self, utterance: Utterance) -> Speech:
        store = SqliteStatusStore(self.database)
        store.merge_batch("cafe", {"cancel_requested_at": "2026-01-01T00:00:00.000+00:00"})
        store.close()
        return super().speak(utterance)


def test_a_cancelled_batch_ends_with_what_was_done(house: House) -> None:
    """Once a batch is to stop, its end comes with fewer narrations, and what was made stays."""
    house.voice = CancellingVoice(database=house.folder / "status.db")
    titles = [f"Título {n}" for n in range(200)]
    house.run(message(titles=titles), ends=[("cafe", "cancelled")])
    batch = house.batch()
    assert 0 < batch["completed_items"] < batch["total_items"]
    assert batch["failed_items"] == 0
    assert len(house.files()) == batch["completed_items"]
    house.voice = FakeVoice()
    house.run(message("run-2", titles=titles), ends=[("cafe", "completed")])
    assert len(house.files()) == batch["total_items"]
    assert house.batch()["completed_items"] == batch["total_items"]


def test_step_names_are_those_recorded(house: House) -> None:
    """A running job is replaced by its step names: changing one is a decision, not a slip."""
    pipeline = beam.Pipeline(options=local_bounded())
    messages = pipeline | "Read requests" >> beam.Create([message()])
    _ = messages | "Narrate batches" >> NarrateBatches(house.services())
    names: set[str] = set()

    class Visitor(beam.pipeline.PipelineVisitor):
        def enter_composite_transform(self, transform_node: Any) -> None:
            names.add(transform_node.full_label)

        def visit_transform(self, transform_node: Any) -> None:
            names.add(transform_node.full_label)

    pipeline.visit(Visitor())
    ours = sorted(name for name in names if re.fullmatch("Narrate batches/[^/]+", name))
    assert ours == STEPS.read_text(encoding="utf-8").splitlines()


def test_the_graph_pickles(house: House) -> None:
    """What a worker receives is only factories: nothing is connected while the graph is built."""
    pipeline = beam.Pipeline(options=local_bounded())
    _ = pipeline | beam.Create([message()]) | NarrateBatches(house.services())
    assert pipeline.to_runner_api().components.transforms
    assert not (house.folder / "status.db").exists()


def test_an_end_tells_its_numbers(house: House) -> None:
    """The graph's output says how many items were made, failed and were left."""
    house.voice.errors = {"es-ES": Unavailable("away")}
    pipeline = beam.Pipeline(options=local_bounded())
    ends = pipeline | beam.Create([message(titles=["Café"])]) | NarrateBatches(house.services())
    uri = str(house.folder / "batches/cafe/manifest.json")
    timeless = ends | beam.Map(replace, completed_at="")
    expected = batch_end(owner="unknown", completed_at="", manifest_uri=uri)
    assert_that(timeless, equal_to([expected]))
    pipeline.run()
