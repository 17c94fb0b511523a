"""What Firestore adds to the contract of status stores: races, crashes, limits and errors."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError, TransportError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.request import MAX_LANGUAGES, MAX_VARIATIONS
from domain.search import SEARCHABLE_BYTES
from domain.status import item_patches, merge
from services.errors import Overloaded, Refused, ServiceError, Unavailable
from services.ports import BatchQuery
from services.statuses.firestore import (
    COMMIT_BYTES,
    COMMIT_WRITES,
    INTERNAL,
    FirestoreStatusStore,
    _commits,
    _difference,
)
from tests.builders import batch_request, item, job, narration
from tests.emulators.firestore import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from domain.request import BatchRequest
    from domain.status import Patch
    from services.ports import Acceptance

LANGUAGES = """
    af am ar az be bg bn bs ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it
    ja ka kk km kn ko lo lt lv mk ml mn mr ms my ne nl pl pt ro ru
"""
ROUNDS = 10
NOBODY = "127.0.0.1:1"
"""An address that nothing listens at."""


class Interrupted(FirestoreStatusStore):
    """A store that something happens to.

    Attributes:
        before_commit: is called between reading and writing of a merge.
        pages: of jobs it stores until it dies.
        waits: seconds that it gave way to others.
    """

    def __init__(self, project: str) -> None:
        self.before_commit: Callable[[], object] = lambda: None
        self.pages: int | None = None
        self.waits: list[float] = []
        super().__init__(project, sleep=self.waits.append)

    def _commit(self, collection: Any, writes: Any) -> None:
        self.before_commit()
        super()._commit(collection, writes)

    def _create_jobs(self, collection: Any, jobs: Any) -> None:
        if self.pages is not None:
            if self.pages == 0:
                raise Unavailable("died")
            self.pages -= 1
        super()._create_jobs(collection, jobs)


@pytest.fixture
def store(firestore_project: str) -> Iterator[Interrupted]:
    made = Interrupted(firestore_project)
    yield made
    made.close()


@pytest.fixture
def other(firestore_project: str) -> Iterator[FirestoreStatusStore]:
    """Another process's store of the same documents."""
    made = FirestoreStatusStore(firestore_project)
    yield made
    made.close()


def many(number: int) -> BatchRequest:
    return batch_request(*(f"Título {n}" for n in range(1, number + 1)))


def accept(
    store: FirestoreStatusStore,
    request: BatchRequest,
    run_id: str = "run-1",
    *,
    resume: bool = False,
) -> Acceptance:
    return store.accept("cafe", request, run_id=run_id, resume=resume)


def ended(n: int) -> dict[str, Any]:
    """A patch that completes the nth job's one item."""
    of = job(f"Título {n}", n)
    return {of.job_id: {"items": dict(item_patches(narration(item(of=of))))}}


# ── Merges ─────────────────────────────────────────────────────────────────────

NAMES = st.sampled_from(["a", "b", "v1.pt-BR", "ação", "a`b", "a\\b.", "'$[0]*~/"]) | st.text(
    min_size=1, max_size=3
)
SAFE = 2**53 - 1
"""Greater integers are JavaScript's limit, and with it the emulator's; Firestore has 64 bits."""
# Firestore has no lists of lists, no empty names, and keeps names like `__id__` to itself.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(-1e6, 1e6) | st.text(),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
PATCHES = st.lists(st.dictionaries(NAMES, VALUES, max_size=3), min_size=1, max_size=3)
BATCHES = itertools.count()


@given(PATCHES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_merge_is_the_domains(store: Interrupted, patches: list[Patch]) -> None:
    """What is stored after any patches is what the domain says, whatever the names."""
    batch_id = f"batch-{next(BATCHES)}"
    request = batch_request("Café")
    store.accept(batch_id, request, run_id="run-1", resume=False)
    expected: Any = request.model_dump(mode="json", exclude={"titles", "batch_id"})
    for patch in patches:
        store.merge_batch(batch_id, {"request": patch})
        expected = merge(expected, patch)
    batch = store.batch(batch_id)
    assert batch is not None
    assert json.dumps(batch["request"], sort_keys=True) == json.dumps(expected, sort_keys=True)


# ── Races ─────────────────────────────────────────────────────────────────────


def test_a_merge_that_is_overtaken_is_made_again(
    store: Interrupted, other: FirestoreStatusStore
) -> None:
    """What two workers say of one job at once is all there, and counted once."""
    accept(store, batch_request("Título 1", variations=3))
    of = job("Título 1", 1)
    first, second, third = (
        dict(item_patches(narration(item("pt-BR", n, of=of)))) for n in (1, 2, 3)
    )
    overtaking = iter([second, third])

    def overtake() -> None:
        for items in overtaking:
            other.merge_jobs("cafe", {of.job_id: {"items": items}})
            return

    store.before_commit = overtake
    store.merge_jobs("cafe", {of.job_id: {"items": first}})
    batch, stored = store.batch("cafe"), store.job("cafe", of.job_id)
    assert batch is not None
    assert stored is not None
    assert stored["items"] == merge({}, first | second | third)
    assert (batch["completed_items"], batch["completed_jobs"]) == (3, 1)
    assert batch["stats"]["audio_seconds"] == 4.5
    assert len(store.waits) == 2


def test_one_contended_job_does_not_hold_up_the_others(
    store: Interrupted, other: FirestoreStatusStore
) -> None:
    """All of a commit is stored, though one of its jobs is written again and again."""
    accept(store, many(40))
    rounds = iter(range(8))

    def overtake() -> None:
        with suppress(StopIteration):
            other.merge_jobs("cafe", {"0001-titulo-1": {"completed_at": str(next(rounds))}})

    store.before_commit = overtake
    store.merge_jobs("cafe", {job_id: it for n in range(1, 41) for job_id, it in ended(n).items()})
    batch = store.batch("cafe")
    assert batch is not None
    assert batch["completed_jobs"] == 40


def test_a_merge_that_is_always_overtaken_gives_up(
    store: Interrupted, other: FirestoreStatusStore
) -> None:
    """After so many tries, with the name of the database; what it was to merge is not lost silently."""
    accept(store, many(1))
    accept(other, many(1))
    store.before_commit = lambda: other.merge_batch("cafe", {"manifest_uri": str(len(store.waits))})
    with pytest.raises(
        Unavailable, match=r"project test-.*: others keep writing the same documents"
    ):
        store.merge_batch("cafe", {"status": "completed"})
    assert max(store.waits) <= 1.0


def test_repeating_a_merge_writes_nothing(store: Interrupted) -> None:
    """It is read, found to change nothing, and costs no write."""
    accept(store, many(1))
    store.merge_jobs("cafe", ended(1))
    commits: list[None] = []
    store.before_commit = lambda: commits.append(None)
    store.merge_jobs("cafe", ended(1))
    store.merge_batch("cafe", {"status": "running", "completed_at": None})
    assert commits == []


@pytest.mark.parametrize("queued", [False, True], ids=["new", "queued"])
def test_of_two_runs_at_once_one_is_accepted(
    store: Interrupted, other: FirestoreStatusStore, queued: bool
) -> None:
    """Whether the batch is new or waits for a run; its jobs are there whoever won."""
    request, start = many(3), threading.Barrier(2)

    def run(of: FirestoreStatusStore, number: int, run_id: str) -> str:
        start.wait()
        batch_id = f"cafe-{number}"
        return of.accept(batch_id, request, run_id=run_id, resume=False).verdict

    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            if queued:
                store.accept(f"cafe-{number}", request, run_id="", resume=False)
            first = pool.submit(run, store, number, "run-1")
            second = pool.submit(run, other, number, "run-2")
            verdicts = [first.result(), second.result()]
            assert sorted(verdicts) == ["accepted", "duplicate"]
            batch = store.batch(f"cafe-{number}")
            assert batch is not None
            assert batch["run_id"] == f"run-{verdicts.index('accepted') + 1}"
            assert len(list(store.jobs(f"cafe-{number}"))) == 3


# ── Crashes ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("began", "goes_on", "resume"),
    [("run-1", "run-1", False), ("run-1", "run-2", True), ("", "run-1", False), ("", "", False)],
    ids=["delivered again", "resumed", "taken up", "queued again"],
)
@pytest.mark.parametrize("pages", [0, 1])
def test_an_acceptance_that_died_is_finished_by_the_next(
    store: Interrupted,
    other: FirestoreStatusStore,
    pages: int,
    began: str,
    goes_on: str,
    resume: bool,
) -> None:
    """The jobs that are missing are stored; those that are there keep what they have."""
    request, store.pages = many(COMMIT_WRITES + 2), pages
    with pytest.raises(Unavailable, match="died"):
        accept(store, request, began)
    other.merge_jobs("cafe", ended(1))
    assert len(list(other.jobs("cafe"))) == pages * COMMIT_WRITES
    assert accept(other, request, goes_on, resume=resume).verdict == "accepted"
    assert [made["position"] for made in other.jobs("cafe")] == list(range(1, COMMIT_WRITES + 3))
    batch = other.batch("cafe")
    assert batch is not None
    assert batch["completed_items"] == pages


def test_jobs_that_come_late_do_not_undo_what_was_made(
    store: Interrupted, other: FirestoreStatusStore
) -> None:
    """Who queued a batch may still be storing its jobs when a run has taken it up."""
    request, store.pages = many(2), 0
    with pytest.raises(Unavailable):
        accept(store, request, "")
    accept(other, request)
    other.merge_jobs("cafe", ended(1))
    store.pages = None
    store._store_jobs("cafe", request)
    made = store.job("cafe", "0001-titulo-1")
    assert made is not None
    assert made["status"] == "completed"


# ── Limits ────────────────────────────────────────────────────────────────────


def test_batches_beyond_a_commit_are_whole_and_summed_by_the_database(store: Interrupted) -> None:
    """1,200 jobs: in the titles' order, with exact counts."""
    accept(store, many(1_200))
    made = [n for n in range(1, 1_201) if n % 3 == 0]
    store.merge_jobs("cafe", {job_id: it for n in made for job_id, it in ended(n).items()})
    assert [stored["position"] for stored in store.jobs("cafe")] == list(range(1, 1_201))
    batch = store.batch("cafe")
    assert batch is not None
    assert (batch["completed_jobs"], batch["completed_items"]) == (400, 400)
    assert batch["progress_percentage"] == 33.3
    assert batch["stats"] == {
        "scripts": 400,
        "adaptations": 400,
        "audio_seconds": 600.0,
        "audio_bytes": 400_000,
        "characters": 8_000,
    }
    assert not INTERNAL & (batch.keys() | next(store.jobs("cafe")).keys())


def test_the_largest_job_is_one_document(store: Interrupted) -> None:
    """Twenty variations in fifty languages are merged in one write, and counted."""
    languages = tuple(LANGUAGES.split()[:MAX_LANGUAGES])
    accept(store, batch_request("Título 1", languages=languages, variations=MAX_VARIATIONS))
    of = job("Título 1", 1)
    items = {
        name: made
        for variation in range(1, MAX_VARIATIONS + 1)
        for language in languages
        for name, made in item_patches(narration(item(language, variation, of=of)))
    }
    assert len(items) == 1_000
    store.merge_jobs("cafe", {of.job_id: {"items": items}})
    batch = store.batch("cafe")
    assert batch is not None
    assert (batch["completed_items"], batch["completed_jobs"]) == (1_000, 1)


def test_titles_beyond_what_a_document_holds_are_not_searched(store: Interrupted) -> None:
    """The batch is found by its id and by those that fit."""
    filling = ["x" * 500] * (SEARCHABLE_BYTES // 500)
    accept(store, batch_request("Primeiro", *filling, "Último"))
    found = {
        text: [*store.batches(BatchQuery(text=text))] for text in ("primeiro", "caf", "ultimo")
    }
    assert [len(batches) for batches in found.values()] == [1, 1, 0]


def test_commits_stay_below_what_firestore_takes() -> None:
    """In writes and in bytes; a write that is large alone goes alone."""
    small = [(str(n), {"a": 1}, None) for n in range(COMMIT_WRITES + 1)]
    assert [len(commit) for commit in _commits(small)] == [COMMIT_WRITES, 1]
    large = [(str(n), {"a": "x" * (COMMIT_BYTES // 2)}, None) for n in range(3)]
    assert [len(commit) for commit in _commits(large)] == [1, 1, 1]
    assert list(_commits([])) == []


def test_fields_are_named_as_firestore_reads_paths() -> None:
    """Names with dots, dashes and quotes are quoted; what is gone is deleted."""
    before = {"items": {"v1.pt-BR": {"error": 1, "same": {}}, "a`b": 1}, "gone": 1}
    after = {"items": {"v1.pt-BR": {"status": "x", "same": {}}, "a`b": {"c": 2}}, "new": {}}
    changes = _difference(before, after)
    assert {path: str(value)[:8] for path, value in changes.items()} == {
        "gone": "Sentinel",
        "items.`v1.pt-BR`.error": "Sentinel",
        "items.`v1.pt-BR`.status": "x",
        "items.`a\\`b`": "{'c': 2}",
        "new": "{}",
    }


INDEXES: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "deploy" / "firestore.indexes.json").read_text("utf-8")
)


@pytest.mark.parametrize("asked", [("owner",), ("status",), ("owner", "status")], ids=" ".join)
def test_what_lists_ask_for_has_an_index(asked: tuple[str, ...]) -> None:
    """Equal fields first, newest first; Firestore refuses a list without it."""
    ascending = [{"fieldPath": field, "order": "ASCENDING"} for field in asked]
    assert {
        "collectionGroup": "batches",
        "queryScope": "COLLECTION",
        "fields": [*ascending, {"fieldPath": "created_at", "order": "DESCENDING"}],
    } in INDEXES["indexes"]


def test_what_is_asked_for_keeps_its_own_index() -> None:
    """Fields without one are those that no query names."""
    exempt = {(of["collectionGroup"], of["fieldPath"]) for of in INDEXES["fieldOverrides"]}
    asked = {("batches", field) for field in ("owner", "status", "created_at")}
    assert not exempt & (asked | {("jobs", "position"), ("jobs", "counts")})
    assert ("jobs", "items") in exempt


# ── Errors ────────────────────────────────────────────────────────────────────


def test_a_store_that_is_away_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked of it ends, and names the database."""
    monkeypatch.setenv(VARIABLE, NOBODY)
    store = FirestoreStatusStore("nowhere", timeout=0.5)
    for call in (
        lambda: accept(store, many(1)),
        lambda: store.merge_batch("cafe", {"status": "completed"}),
        lambda: store.merge_jobs("cafe", ended(1)),
        lambda: store.batch("cafe"),
        lambda: store.cancel_requested("cafe"),
        lambda: store.job("cafe", "0001-titulo-1"),
        lambda: list(store.jobs("cafe")),
        lambda: list(store.batches(BatchQuery())),
    ):
        with pytest.raises(Unavailable, match=r"Firestore database \(default\) of project nowhere"):
            call()
    store.close()


@pytest.mark.parametrize(
    ("error", "kind", "code", "told"),
    [
        (exceptions.PermissionDenied("no"), Refused, "permission_denied", "roles/datastore.user"),
        (exceptions.Unauthenticated("no"), Refused, "unauthenticated", "no"),
        (RefreshError("expired"), Refused, "unauthenticated", "expired"),
        (
            exceptions.NotFound("The database (default) does not exist"),
            Refused,
            "not_found",
            "gcloud firestore databases create --project=a-project",
        ),
        (
            exceptions.FailedPrecondition("The query requires an index"),
            Refused,
            "invalid_argument",
            "requires an index",
        ),
        (exceptions.ResourceExhausted("quota"), Overloaded, "rate_limited", "quota"),
        (exceptions.DeadlineExceeded("late"), Unavailable, "timeout", "late"),
        (exceptions.ServiceUnavailable("away"), Unavailable, "unavailable", "away"),
        (exceptions.InternalServerError("oops"), Unavailable, "unavailable", "oops"),
        (exceptions.Aborted("busy"), Unavailable, "unavailable", "busy"),
        (TransportError("no route"), Unavailable, "unavailable", "no route"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
@pytest.mark.parametrize("repeated", [False, True], ids=["once", "repeated"])
def test_errors_of_the_client_are_the_services(
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[ServiceError],
    code: str,
    told: str,
    repeated: bool,
) -> None:
    """With the database's name, and what to do where something can be done."""
    monkeypatch.setenv(VARIABLE, NOBODY)
    store = FirestoreStatusStore("a-project", clock=lambda: datetime.now(UTC))
    raised = exceptions.RetryError("timeout", cause=error) if repeated else error
    with pytest.raises(kind) as caught, store._errors():
        raise raised
    assert caught.value.code == code
    assert caught.value.message.startswith("Firestore database (default) of project a-project")
    assert told in caught.value.message
    store.close()


def test_missing_credentials_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about them, before any call."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(
        Refused, match=r"of project nowhere needs credentials .*gcloud auth"
    ) as caught:
        FirestoreStatusStore("nowhere")
    assert caught.value.code == "unauthenticated"
