"""The steps between: parsing, accepting, expanding, recording, closing, rejecting."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import pytest
from apache_beam.coders.typecoders import registry
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from domain import keys
from domain.letters import DeadLetter
from domain.status import new_jobs
from domain.work import (
    CANCELLED,
    Batch,
    Item,
    Message,
    Rejected,
    Script,
    ScriptTask,
    Submission,
)
from pipeline.options import local_bounded
from services.artifacts.folder import FolderArtifactStore
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import (
    batch_request,
    encoded,
    failure,
    generated_script,
    job,
    narration,
    request_document,
    script,
)
from tests.fake_services import sqlite
from transforms import coders, expand
from transforms.accept import accept
from transforms.close import CloseBatch, CloseJob, earlier_marks
from transforms.coders import ScriptTaskCoder
from transforms.concurrent import OncePerProcess
from transforms.parse import REJECTED, ParseRequests, parse
from transforms.record import (
    MARK_CANCELLED,
    MARK_COMPLETED,
    MARK_FAILED,
    UNMARKED,
    RecordItems,
    job_key,
)
from transforms.reject import KeepRejected

if TYPE_CHECKING:
    from domain.request import BatchRequest

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LANGUAGES = ("pt-BR", "en-US", "es-ES")


def message(document: Any, **fields: Any) -> Message:
    data = document if isinstance(document, bytes) else encoded(document)
    return Message(data, **{"batch_id": "given", "run_id": "run-1", **fields})


def batch(request: BatchRequest, done: dict[str, frozenset[str]] | None = None) -> Batch:
    return Batch("cafe", "run-1", request, done or {})


@pytest.fixture
def store(tmp_path: Path) -> SqliteStatusStore:
    """An empty status store."""
    return SqliteStatusStore(tmp_path / "status.db")


@pytest.fixture
def artifacts(tmp_path: Path) -> FolderArtifactStore:
    """An empty artifact store."""
    return FolderArtifactStore(str(tmp_path / "output"))


def test_a_valid_message_is_a_submission() -> None:
    """A message with a valid request goes on with it."""
    (submission,) = parse(message(request_document(titles=["A", "B"])), None)
    assert isinstance(submission, Submission)
    assert submission.request.titles == ("A", "B")


def test_a_request_without_id_has_its_message_s() -> None:
    """The client's id comes first, the one given to the message otherwise."""
    (anonymous,) = parse(message(request_document()), None)
    (named,) = parse(message(request_document(batch_id="mine")), None)
    assert isinstance(anonymous, Submission)
    assert isinstance(named, Submission)
    assert (anonymous.batch_id, named.batch_id) == ("given", "mine")


def test_parsing_rejects_with_every_reason() -> None:
    """Poison and good messages part ways in one pipeline; the poison keeps its bytes."""
    good, poison = message(request_document()), message(b"\xff\x00")
    wrong = message(request_document(titles=[], variations=0))
    pipeline = beam.Pipeline(options=local_bounded())
    out = pipeline | beam.Create([poison, good, wrong]) | ParseRequests()
    assert_that(out.submissions | beam.Map(lambda s: s.message), equal_to([good]))
    reasons = out[REJECTED] | beam.Map(
        lambda rejected: (rejected.message.data, len(rejected.problems))
    )
    assert_that(reasons, equal_to([(poison.data, 1), (wrong.data, 2)]), label="rejected")
    pipeline.run()


def test_a_language_that_the_writer_has_not_is_rejected() -> None:
    """The writer's languages are checked with the rest of the request."""
    asked = message(request_document(agent={"target_languages": ["ja-JP"]}))
    (output,) = parse(asked, {"pt-BR"})
    assert isinstance(output, beam.pvalue.TaggedOutput)
    assert "agent.target_languages[0]" in str(output.value.problems[0])


def test_acceptance_is_idempotent(store: SqliteStatusStore, artifacts: FolderArtifactStore) -> None:
    """The same delivery is accepted again, another copy of the message is a mere duplicate."""
    request = batch_request("A")
    first, copy = message(b""), message(b"", run_id="run-2")
    (made,) = accept(Submission(first, request), store, artifacts)
    (again,) = accept(Submission(first, request), store, artifacts)
    assert made == again == Batch("given", "run-1", request, {})
    assert list(accept(Submission(copy, request), store, artifacts)) == []


def test_a_conflict_is_rejected_with_both_hashes(
    store: SqliteStatusStore, artifacts: FolderArtifactStore
) -> None:
    """Another request under the same id does not touch the first."""
    ours, theirs = batch_request("A"), batch_request("B")
    list(accept(Submission(message(b""), ours), store, artifacts))
    (output,) = accept(Submission(message(b"", run_id="2"), theirs), store, artifacts)
    assert isinstance(output, beam.pvalue.TaggedOutput)
    (problem,) = output.value.problems
    assert problem.path == "batch_id"
    assert ours.content_hash() in problem.message
    assert theirs.content_hash() in problem.message


def test_resuming_leaves_out_what_is_done_and_still_whole(
    store: SqliteStatusStore, artifacts: FolderArtifactStore
) -> None:
    """An item is done where its files are as they were; the others are no longer in the status."""
    request = batch_request("A", languages=LANGUAGES, variations=2)
    list(accept(Submission(message(b""), request), store, artifacts))
    job_id = keys.job_id(1, "A")
    items: dict[str, Any] = {
        f"v{variation}.{language}": {
            "status": "completed",
            "audio_uri": artifacts.write(_path(job_id, variation, language, "mp3"), b"audio"),
            "script_uri": artifacts.write(_path(job_id, variation, language, "txt"), b"words"),
            "audio_bytes": 5,
        }
        for variation in (1, 2)
        for language in LANGUAGES
    }
    kept = {"v1.pt-BR", "v2.es-ES"}
    Path(items["v1.en-US"]["audio_uri"]).unlink()
    Path(items["v1.es-ES"]["script_uri"]).unlink()
    Path(items["v2.pt-BR"]["audio_uri"]).write_bytes(b"aud")
    items["v2.en-US"] = {"status": "failed"}
    store.merge_jobs("given", {job_id: {"status": "partial", "items": items}})
    resumed = Submission(message(b"", run_id="run-2", resume=True), request)
    (output,) = accept(resumed, store, artifacts)
    assert isinstance(output, Batch)
    assert output.done == {job_id: kept}
    document, batch = store.job("given", job_id), store.batch("given")
    assert document
    assert batch
    assert set(document["items"]) == kept
    assert document["status"] == "running"
    assert (batch["completed_items"], batch["failed_items"]) == (2, 0)


def _path(job_id: str, variation: int, language: str, ending: str) -> str:
    return keys.deliverable("given", job_id, f"v{variation}.{language}", ending)


def test_scripts_are_titles_times_variations() -> None:
    """One task a title × variation, whose items have distinct places in their job."""
    request = batch_request("A", "B", languages=LANGUAGES, variations=2)
    tasks = list(expand.script_tasks(batch(request)))
    assert [(task.title, task.variation) for task in tasks] == [
        ("A", 1),
        ("A", 2),
        ("B", 1),
        ("B", 2),
    ]
    for title in ("A", "B"):
        items = [item for task in tasks if task.title == title for item in task.items()]
        assert [item.index for item in items] == list(range(6))
        assert items[4].name == "v2.en-US"


def test_expansion_leaves_out_what_is_done() -> None:
    """A script is written only for the languages that are missing, and not at all for none."""
    request = batch_request("A", languages=LANGUAGES, variations=2)
    done = frozenset({"v1.pt-BR", "v1.en-US", "v1.es-ES", "v2.en-US"})
    (task,) = expand.script_tasks(batch(request, {keys.job_id(1, "A"): done}))
    assert task.variation == 2
    assert [item.name for item in task.items()] == ["v2.pt-BR", "v2.es-ES"]


def test_jobs_are_those_of_the_documents() -> None:
    """The ids in the elements are the ids in the status store."""
    request = batch_request("A história", "A história", "咖啡", "☕")
    assert [job.job_id for job in expand.jobs(batch(request))] == [
        document["job_id"] for document in new_jobs("cafe", request)
    ]


def test_a_script_goes_to_every_language_that_waits() -> None:
    """Each language has the master's text to begin with."""
    scripts = list(expand.by_language(generated_script("Texto.", languages=LANGUAGES)))
    assert [(each.item.language, each.text) for each in scripts if isinstance(each, Script)] == [
        (language, "Texto.") for language in LANGUAGES
    ]


def test_recording_merges_and_counts(store: SqliteStatusStore, tmp_path: Path) -> None:
    """Every outcome is in its job's document before its mark comes out."""
    request = batch_request("A", languages=LANGUAGES, variations=1)
    store.accept("cafe", request, run_id="run-1", resume=False)
    owner = job("A", items=3)
    made, failed, stopped = (
        Item(owner, 1, language, index) for index, language in enumerate(LANGUAGES)
    )
    pipeline = beam.Pipeline(options=local_bounded())
    branches: dict[str, list[Any]] = {
        "generated": [generated_script(title="A", languages=LANGUAGES, of=owner)],
        "adapted": [script("A", of=made)],
        "narrated": [narration(made)],
        "not narrated": [failure(failed), failure(stopped, code=CANCELLED)],
    }
    read = {
        label: pipeline | f"Create {label}" >> beam.Create(elements)
        for label, elements in branches.items()
    }
    connect = OncePerProcess(partial(sqlite, tmp_path / "status.db"))
    marks = read | "Record items" >> RecordItems(connect)
    merged = (
        marks
        | beam.MapTuple(lambda key, counted: (key, counted[2]))
        | beam.CombinePerKey(lambda many: bytes(map(max, zip(*many, strict=True))))
    )
    expected = bytes([MARK_COMPLETED, MARK_FAILED, MARK_CANCELLED])
    assert_that(merged, equal_to([(job_key(owner), expected)]))
    pipeline.run()
    document = store.job("cafe", owner.job_id)
    assert document
    states = {name: fields["status"] for name, fields in document["items"].items()}
    assert states == {"v1.pt-BR": "completed", "v1.en-US": "failed", "v1.es-ES": "cancelled"}
    error = document["items"]["v1.en-US"]["error"]
    assert error
    assert error["code"] == "unavailable"


def close(tmp_path: Path, counted: list[Any]) -> Any:
    """Close jobs and batches; returns the pipeline and its BatchEnds."""
    statuses = OncePerProcess(partial(sqlite, tmp_path / "status.db"))
    artifacts = OncePerProcess(partial(FolderArtifactStore, str(tmp_path / "output")))
    pipeline = beam.Pipeline(options=local_bounded())
    ends = (
        pipeline
        | beam.Create(counted)
        | "Close jobs" >> beam.ParDo(CloseJob(statuses))
        | "Close batches" >> beam.ParDo(CloseBatch(statuses, artifacts))
    )
    return pipeline, ends


def marks(position: int, jobs: int, values: bytes) -> Any:
    return (("cafe", "run-1", keys.job_id(position, "A")), (position, jobs, values))


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ((3, 3), "completed"),
        ((3, 2), "partial"),
        ((2, 2), "failed"),
        ((3, 1), "cancelled"),
        ((2, 1), "cancelled"),
    ],
)
def test_a_batch_ends_as_its_items_did(
    store: SqliteStatusStore, tmp_path: Path, values: tuple[int, int], status: str
) -> None:
    """The status of the end follows from the marks, in the job, the batch and the manifest."""
    store.accept("cafe", batch_request("A", variations=2), run_id="run-1", resume=False)
    pipeline, ends = close(tmp_path, [marks(1, 1, bytes(values))])
    assert_that(ends | beam.Map(lambda end: end.status), equal_to([status]))
    pipeline.run()
    document, ended = store.batch("cafe"), store.job("cafe", keys.job_id(1, "A"))
    assert document
    assert ended
    assert document["status"] == ended["status"] == status
    assert document["completed_at"]
    manifest = json.loads((tmp_path / "output/batches/cafe/manifest.json").read_bytes())
    assert manifest["status"] == status
    assert len(manifest["items"]) == 2


def test_marks_come_in_any_order_and_repeated(store: SqliteStatusStore, tmp_path: Path) -> None:
    """A batch ends once, when the last item of its last job has come to an end."""
    request = batch_request("A", "A", variations=3)
    store.accept("cafe", request, run_id="run-1", resume=False)
    counted = [
        marks(2, 2, bytes([UNMARKED, MARK_COMPLETED, UNMARKED])),
        marks(1, 2, bytes([MARK_COMPLETED] * 3)),
        marks(2, 2, bytes([UNMARKED, MARK_COMPLETED, UNMARKED])),
        marks(2, 2, bytes([MARK_COMPLETED, UNMARKED, MARK_FAILED])),
        marks(1, 2, bytes([MARK_COMPLETED] * 3)),
    ]
    pipeline, ends = close(tmp_path, counted)
    numbers = ends | beam.Map(lambda end: (end.completed, end.failed, end.cancelled))
    assert_that(numbers, equal_to([(5, 1, 0)]))
    pipeline.run()


class Cell:
    """A value of Beam's state."""

    def __init__(self) -> None:
        self.value: Any = None

    def read(self) -> Any:
        return self.value

    def write(self, value: Any) -> None:
        self.value = value

    def clear(self) -> None:
        self.value = None


def test_what_comes_again_after_the_end_ends_nothing_else(
    store: SqliteStatusStore, tmp_path: Path
) -> None:
    """Late duplicates of a job's marks are silent or say the same; its batch counts it once."""
    store.accept("cafe", batch_request("A", "A", variations=2), run_id="run-1", resume=False)
    connect = partial(sqlite, tmp_path / "status.db")
    jobs = CloseJob(connect)
    batches = CloseBatch(connect, partial(FolderArtifactStore, str(tmp_path / "output")))
    jobs.setup()
    batches.setup()
    of_job, of_batch = Cell(), Cell()
    first, second = (marks(1, 2, bytes(values)) for values in ((3, 0), (0, 3)))

    assert list(jobs.process(first, of_job)) == []
    (end,) = jobs.process(second, of_job)
    assert list(batches.process(end, of_batch)) == []
    assert list(jobs.process(second, of_job)) == []
    assert list(jobs.process(first, of_job)) == [end]
    assert list(batches.process(end, of_batch)) == []

    (last,) = jobs.process(marks(2, 2, bytes((3, 3))), Cell())
    (told,) = batches.process(last, of_batch)
    assert (told.status, told.completed) == ("completed", 4)
    for late in (end, last, end):
        again = [(e.status, e.completed) for e in batches.process(late, of_batch)]
        assert again in ([], [("completed", 4)])
    document = store.batch("cafe")
    assert document
    assert document["status"] == "completed"


def test_a_run_ends_no_batch_that_another_has_taken_up(
    store: SqliteStatusStore, tmp_path: Path
) -> None:
    """What comes late of an earlier run leaves the batch to the run that makes it."""
    request = batch_request("A", variations=2)
    store.accept("cafe", request, run_id="run-1", resume=False)
    store.accept("cafe", request, run_id="run-2", resume=True)
    pipeline, ends = close(tmp_path, [marks(1, 1, bytes([MARK_COMPLETED] * 2))])
    assert_that(ends, equal_to([]))
    pipeline.run()
    document = store.batch("cafe")
    assert document
    assert document["status"] == "running"


def test_an_unfinished_batch_does_not_end(store: SqliteStatusStore, tmp_path: Path) -> None:
    """While one item is missing, there is no end, no manifest, and the batch runs."""
    store.accept("cafe", batch_request("A", "A", variations=2), run_id="run-1", resume=False)
    counted = [
        marks(1, 2, bytes([MARK_COMPLETED, MARK_COMPLETED])),
        marks(2, 2, bytes([MARK_COMPLETED, UNMARKED])),
    ]
    pipeline, ends = close(tmp_path, counted)
    assert_that(ends, equal_to([]))
    pipeline.run()
    document = store.batch("cafe")
    assert document
    assert document["status"] == "running"
    assert not (tmp_path / "output/batches/cafe/manifest.json").exists()


def test_earlier_items_count_in_a_later_run() -> None:
    """What an earlier run finished is marked, each item at its own place."""
    request = batch_request("A", "B", languages=LANGUAGES, variations=2)
    done = {keys.job_id(2, "B"): frozenset({"v1.en-US", "v2.es-ES"})}
    ((key, (position, jobs, values)),) = earlier_marks(batch(request, done))
    assert key == ("cafe", "run-1", keys.job_id(2, "B"))
    assert (position, jobs) == (2, 2)
    assert values == bytes([0, MARK_COMPLETED, 0, 0, 0, MARK_COMPLETED])


def test_dead_letters_keep_bytes_and_reasons(tmp_path: Path) -> None:
    """A rejected message is stored with its original bytes and all errors, once a delivery."""
    (poison,) = parse(message(b"\xfe{"), None)
    assert isinstance(poison, beam.pvalue.TaggedOutput)
    rejected: Rejected = poison.value
    connect = OncePerProcess(partial(FolderArtifactStore, str(tmp_path)))
    pipeline = beam.Pipeline(options=local_bounded())
    kept = pipeline | beam.Create([rejected, rejected]) | KeepRejected(connect, clock=_noon)
    uris = kept | beam.Values() | beam.Distinct()
    assert_that(uris, equal_to([f"{tmp_path}/dead-letters/run-1.json"]))
    pipeline.run()
    stored = (tmp_path / "dead-letters/run-1.json").read_bytes()
    assert stored == DeadLetter.of(rejected, NOON).encoded()
    letter = json.loads(stored)
    assert base64.b64decode(letter["data_base64"]) == b"\xfe{"
    assert "UTF-8" in letter["errors"][0]["message"]
    assert letter["rejected_at"] == "2026-01-01T12:00:00.000+00:00"


def _noon() -> datetime:
    return NOON


def test_elements_stay_small() -> None:
    """What a shuffle holds of a script is a few words, however long its agent's instructions."""
    request = batch_request("A" * 40, languages=LANGUAGES, instructions="x" * 20_000)
    (task,) = expand.script_tasks(batch(request))
    assert len(ScriptTaskCoder().encode(task)) < 200


@given(st.text(min_size=1), st.integers(1, 20), st.lists(st.sampled_from(LANGUAGES), unique=True))
def test_a_script_task_survives_its_coder(title: str, variation: int, languages: list[str]) -> None:
    """Decoded, it is equal, whatever the title; equal tasks have equal bytes."""
    title = title.encode(errors="ignore").decode()  # a request holds no half characters
    missing = tuple(enumerate(languages, 3))
    task = ScriptTask(job(position=7, items=40, jobs=9), variation, title, missing)
    coder = ScriptTaskCoder()
    assert coder.decode(coder.encode(task)) == task


def test_the_shuffle_uses_the_coder() -> None:
    """Beam finds the coder for the collection that is reshuffled."""
    coders.register()
    assert isinstance(registry.get_coder(ScriptTask), ScriptTaskCoder)
