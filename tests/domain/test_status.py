"""The documents that tell how far a batch is, and the merges that move them on."""

from __future__ import annotations

import itertools
import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import status
from domain.request import AgentConfig
from domain.status import absorb, item_patches, merge, percentage
from domain.work import CANCELLED, Item, Progress
from tests.builders import batch_request, failure, generated_script, item, job, narration, script

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_does_what_rfc_7396_says(document: Any, patch: Any, expected: Any) -> None:
    """The examples of the RFC's appendix A come out as it says; the arguments stay."""
    before = json.dumps([document, patch])
    assert merge(document, patch) == expected
    assert json.dumps([document, patch]) == before


SHAPES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.fixed_dictionaries({}),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def _filled(shape: dict[str, Any], leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Patches with an object under a name wherever the shape has one, a leaf elsewhere."""
    objects: dict[str, st.SearchStrategy[Any]] = {
        key: _filled(inner, leaves) for key, inner in shape.items()
    }
    others = dict.fromkeys("xyz", leaves)
    return st.fixed_dictionaries({}, optional={**objects, **others})


LEAVES = st.none() | st.integers(0, 3) | st.lists(st.integers(), max_size=2)
PATCHES = SHAPES.flatmap(
    lambda shape: st.tuples(
        _filled(shape, st.integers(0, 3)), _filled(shape, LEAVES), _filled(shape, LEAVES)
    )
)


@given(PATCHES)
def test_a_combined_patch_does_what_both_do(patches: tuple[Any, Any, Any]) -> None:
    """Where an object stands in one it stands in all, and one merge is as good as two."""
    document, first, second = patches
    assert merge(document, absorb(deepcopy(first), second)) == merge(merge(document, first), second)


ITEMS = [item(language, variation) for language in ("pt-BR", "en-US") for variation in (1, 2)]
STEPS: dict[str, Any] = {
    "adapt": lambda of: script(of=of),
    "narrated": narration,
    "failed": failure,
    "cancelled": lambda of: failure(of, code=CANCELLED),
}
RECORDS = st.lists(st.tuples(st.sampled_from(ITEMS), st.sampled_from(sorted(STEPS))), max_size=8)


def patch_of(progress: Progress) -> status.Patch:
    return {"items": dict(item_patches(progress))}


@given(RECORDS)
def test_progress_can_be_combined_however_it_comes(records: list[tuple[Item, str]]) -> None:
    """Of whatever is recorded, one combined merge does what the single ones do in turn."""
    document: Any = {"items": {}}
    combined: status.Patch = {}
    for of, step in records:
        patch = patch_of(STEPS[step](of))
        document, combined = merge(document, patch), absorb(combined, patch)
    assert merge({"items": {}}, combined) == document


@given(RECORDS.filter(lambda records: len({of for of, _ in records}) == len(records)), st.randoms())
def test_progress_of_different_items_commutes(records: list[tuple[Item, str]], random: Any) -> None:
    """Merges of different items give the same document in any order, and when repeated."""
    patches = [patch_of(STEPS[step](of)) for of, step in records]
    shuffled = patches * 2
    random.shuffle(shuffled)
    documents: list[Any] = []
    for order in (patches, shuffled):
        document: Any = {}
        for patch in order:
            document = merge(document, patch)
        documents.append(document)
    assert documents[0] == documents[1]


@pytest.mark.parametrize("outcome", ["narrated", "failed", "cancelled"])
def test_an_outcome_and_a_stage_commute(outcome: str) -> None:
    """Whichever of them comes late, an item has the one's status and the other's stage."""
    (of, *_) = ITEMS
    stage, end = patch_of(script(of=of)), patch_of(STEPS[outcome](of))
    document: Any = merge(merge({}, stage), end)
    assert merge(merge({}, end), stage) == document
    ended: Any = merge({}, end)
    running: status.JobDoc = {"status": "queued"}
    assert status.item_status(document["items"][of.name], running) == status.item_status(
        ended["items"][of.name], running
    )


def test_an_item_without_an_outcome_stands_as_its_job() -> None:
    """It is queued until something is recorded of it, then running, and cancelled at the end."""
    running: status.JobDoc = {"status": "queued"}
    ended: status.JobDoc = {"status": "cancelled"}
    assert status.item_status({}, running) == "queued"
    assert status.item_status({"stage": "adapt"}, running) == "running"
    assert status.item_status({"stage": "adapt"}, ended) == "cancelled"
    assert status.item_status({"stage": "narrate", "status": "failed"}, ended) == "failed"


@pytest.mark.parametrize(
    ("stored", "ends", "expected"),
    [
        ("queued", [], "queued"),
        ("queued", ["adapt"], "running"),
        ("queued", ["completed"], "running"),
        ("queued", ["completed", "completed"], "completed"),
        ("queued", ["completed", "failed"], "partial"),
        ("queued", ["failed", "failed"], "failed"),
        ("cancelled", ["completed"], "cancelled"),
    ],
)
def test_a_job_stands_as_its_items_until_its_end(
    stored: Any, ends: list[str], expected: str
) -> None:
    """Its own status is written at its end only."""
    items: Any = {
        f"v{n}.pt-BR": {"stage": end} if end == "adapt" else {"status": end}
        for n, end in enumerate(ends, 1)
    }
    assert status.job_status({"status": stored, "total_items": 2, "items": items}) == expected


def test_what_is_made_again_is_not_yet_made() -> None:
    """All items but those that are done lose what they came to; a whole job is left alone."""
    items: Any = {
        "v1.pt-BR": {"status": "completed"},
        "v1.en-US": {"status": "failed"},
        "v2.pt-BR": {"stage": "narrate", "status": "failed", "error": {"code": "timeout"}},
        "v2.en-US": {"stage": "adapt"},
    }
    partial: status.JobDoc = {"status": "partial", "total_items": 4, "items": items}
    patch = status.taken_up_again(partial, {"v1.pt-BR"})
    assert merge(partial, patch) == {
        "status": "queued",
        "total_items": 4,
        "items": {
            "v1.pt-BR": {"status": "completed"},
            "v2.pt-BR": {"stage": "narrate"},
            "v2.en-US": {"stage": "adapt"},
        },
    }
    running: status.JobDoc = {
        "status": "queued",
        "total_items": 1,
        "items": {"v1.en-US": {"stage": "adapt"}},
    }
    assert status.taken_up_again(running, set()) == {}
    assert status.taken_up_again({**partial, "status": "completed"}, items) == {}


def test_a_master_script_moves_all_its_items_on() -> None:
    """Once it is written, each language waits to be adapted."""
    generated = generated_script(languages=("pt-BR", "en-US"))
    running = {"stage": "adapt"}
    assert dict(item_patches(generated)) == {"v1.pt-BR": running, "v1.en-US": running}


def test_an_adapted_script_waits_to_be_narrated() -> None:
    """Its item is at the next stage."""
    assert dict(item_patches(script(of=item("en-US")))) == {
        "v1.en-US": {"stage": "narrate", "adapted": True}
    }


def test_a_narration_is_told_with_all_that_is_known() -> None:
    """Its item is completed; the error of an earlier run goes."""
    made = narration(item("pt-BR", 2))
    failed = merge({}, dict(item_patches(failure(item("pt-BR", 2)))))
    assert merge(failed, dict(item_patches(made))) == {
        "v2.pt-BR": {
            "status": "completed",
            "aspect": made.aspect,
            "audio_uri": made.audio_uri,
            "script_uri": made.script_uri,
            "sha256": made.sha256,
            "audio_bytes": 1_000,
            "audio_seconds": 1.5,
            "characters": 20,
            "writer": "a-model",
            "voice": "a-voice",
        }
    }


def test_a_failure_is_told_with_its_reason() -> None:
    """Stage, code, attempts and at most 300 characters of the message."""
    failed = failure(stage="generate", code="refused_safety", message="x" * 1_000, attempts=1)
    assert dict(item_patches(failed)) == {
        "v1.pt-BR": {
            "status": "failed",
            "error": {
                "stage": "generate",
                "code": "refused_safety",
                "message": "x" * 300,
                "attempts": 1,
            },
        }
    }


def test_a_cancelled_item_has_no_error() -> None:
    """Nobody is to blame for a call that was not made."""
    cancelled = failure(stage="adapt", code=CANCELLED)
    assert dict(item_patches(cancelled)) == {"v1.pt-BR": {"status": "cancelled"}}


@given(st.integers(1, 200_000), st.data())
def test_a_percentage_never_falls(total: int, data: st.DataObject) -> None:
    """It grows with what is finished, and is 100 only where everything is."""
    some = data.draw(st.integers(0, total))
    more = data.draw(st.integers(some, total))
    assert 0 <= percentage(some, total) <= percentage(more, total) <= 100
    assert (percentage(some, total) == 100) == (some == total)


@pytest.mark.parametrize(
    ("finished", "total", "expected"),
    [(0, 9, 0.0), (1, 9, 11.1), (9, 9, 100.0), (199_999, 200_000, 99.9), (0, 0, 100.0)],
)
def test_a_percentage_has_one_decimal(finished: int, total: int, expected: float) -> None:
    """Rounding alone does not finish a batch."""
    assert percentage(finished, total) == expected


@pytest.mark.parametrize(
    ("completed", "failed", "cancelled", "expected"),
    [
        (9, 0, 0, "completed"),
        (8, 1, 0, "partial"),
        (0, 9, 0, "failed"),
        (8, 0, 1, "cancelled"),
        (0, 8, 1, "cancelled"),
        (0, 0, 9, "cancelled"),
        (4, 4, 1, "cancelled"),
    ],
)
def test_an_end_is_told_from_the_items(
    completed: int, failed: int, cancelled: int, expected: str
) -> None:
    """A job or batch ends as its items did, cancelled before anything else."""
    final = status.final_status(completed=completed, failed=failed, cancelled=cancelled)
    assert final == expected
    assert final in status.TERMINAL


def test_statuses_are_all_named() -> None:
    """A status is on its way or at an end."""
    assert set(status.STATUSES) - status.TERMINAL == {"queued", "running"}


def test_timestamps_sort_as_text() -> None:
    """Milliseconds and the zone are always written."""
    moments = [NOW, NOW + timedelta(milliseconds=5), NOW + timedelta(seconds=10), LATER]
    written = [status.timestamp(moment) for moment in moments]
    assert written[0] == "2026-01-01T12:00:00.000+00:00"
    assert written == sorted(written)


def test_a_new_batch_runs_where_a_run_has_it() -> None:
    """It holds the request but for titles and id, and its totals."""
    request = batch_request("Café", "Chá", languages=("pt-BR", "en-US"), variations=3)
    batch = status.new_batch("bebidas", "run-1", request, NOW)
    stored = batch.pop("request")
    assert batch == {
        "batch_id": "bebidas",
        "owner": "ana@example.com",
        "status": "running",
        "total_jobs": 2,
        "total_items": 12,
        "created_at": "2026-01-01T12:00:00.000+00:00",
        "started_at": "2026-01-01T12:00:00.000+00:00",
        "run_id": "run-1",
        "content_hash": request.content_hash(),
    }
    assert set(stored) == {"version", "owner", "variations", "agent"}
    assert AgentConfig.model_validate_json(json.dumps(stored["agent"])) == request.agent


def test_a_new_batch_without_a_run_is_queued() -> None:
    """Nobody works on it yet, so it has not started."""
    batch = status.new_batch("cafe", "", batch_request(), NOW)
    assert (batch["status"], batch["run_id"]) == ("queued", "")
    assert "started_at" not in batch


def test_a_batch_that_ended_goes_on_in_another_run() -> None:
    """It keeps when it started first; its end and a wish to stop it go."""
    batch: Any = status.new_batch("cafe", "run-1", batch_request(), NOW)
    ended = merge(batch, status.ended("cancelled", "out/manifest.json", LATER))
    asked = merge(ended, {"cancel_requested_at": status.timestamp(NOW)})
    taken = merge(asked, status.taken_up(asked, "run-2", LATER))
    assert taken == {**batch, "run_id": "run-2", "progressed_at": status.timestamp(LATER)}


def test_a_wish_to_stop() -> None:
    """A batch that waits is cancelled, a running one is asked once, an ended one left alone."""
    waiting: Any = status.new_batch("cafe", "", batch_request(), NOW)
    moment = status.timestamp(LATER)
    asked = {"cancel_requested_at": moment}
    ended = {**asked, "status": "cancelled", "completed_at": moment}
    assert status.cancelling(waiting, LATER) == ended
    running: Any = status.new_batch("cafe", "run-1", batch_request(), NOW)
    assert status.cancelling(running, LATER) == asked
    assert status.cancelling({**running, **asked}, LATER) == {}
    assert status.cancelling({**waiting, **asked}, LATER) == ended
    for final in status.TERMINAL:
        assert status.cancelling({**running, "status": final}, LATER) == {}


@pytest.mark.parametrize(
    ("cancelled", "batch_end", "job_ends"),
    [(True, "cancelled", ["cancelled", "cancelled"]), (False, "partial", ["partial", "failed"])],
)
def test_a_run_that_broke_off(cancelled: bool, batch_end: str, job_ends: list[str]) -> None:
    """What is missing is cancelled or failed; jobs that have ended stay as they are."""
    request = batch_request("Café", "Chá", "Mate", languages=("pt-BR", "en-US"))
    jobs = list(status.new_jobs("cafe", request))
    jobs[0]["items"]["v1.pt-BR"] = {"status": "completed"}
    jobs[2]["completed_at"] = "x"
    ends = dict(status.broken_off_jobs(jobs, LATER, cancelled=cancelled))
    moment = status.timestamp(LATER)
    names = ("0001-cafe", "0002-cha")
    assert ends == {
        name: {"status": end, "completed_at": moment}
        for name, end in zip(names, job_ends, strict=True)
    }
    batch: Any = status.new_batch("cafe", "run-1", request, NOW)
    batch |= {"completed_items": 3, "failed_items": 0}
    end = status.broken_off(batch, LATER, cancelled=cancelled)
    assert end == {"status": batch_end, "completed_at": moment}
    batch["status"] = "completed"
    assert status.broken_off(batch, LATER, cancelled=cancelled) == {}


def test_progress_that_stalls() -> None:
    """It is the latest of what is known; a batch that has ended does not stall."""
    patience = timedelta(minutes=15)
    batch: Any = status.new_batch("cafe", "", batch_request(), NOW)
    assert status.last_progress(batch) == NOW
    assert status.is_stalled(batch, NOW + patience, patience)
    assert not status.is_stalled(batch, NOW + patience - timedelta(seconds=1), patience)
    heard = {**batch, "status": "running", "progressed_at": status.timestamp(NOW + patience)}
    assert status.last_progress(heard) == NOW + patience
    assert not status.is_stalled(heard, NOW + patience, patience)
    assert status.is_stalled(heard, NOW + 2 * patience, patience)
    assert not status.is_stalled({**heard, "status": "partial"}, NOW + 2 * patience, patience)


def test_a_queued_batch_starts_when_it_is_taken_up() -> None:
    """Its start is that of its first run."""
    batch: Any = status.new_batch("cafe", "", batch_request(), NOW)
    taken = merge(batch, status.taken_up(batch, "run-1", LATER))
    assert (taken["status"], taken["run_id"]) == ("running", "run-1")
    assert taken["started_at"] == status.timestamp(LATER)


def test_a_batch_taken_up_by_no_run_is_queued() -> None:
    """It waits for a run again, with its first start or none."""
    for run_id, started in (("run-1", True), ("", False)):
        batch: Any = status.new_batch("cafe", run_id, batch_request(), NOW)
        taken = merge(batch, status.taken_up(batch, "", LATER))
        assert (taken["status"], taken["run_id"]) == ("queued", "")
        assert ("started_at" in taken) == started


def test_jobs_stand_in_the_titles_order() -> None:
    """Each title is a queued job of its own."""
    request = batch_request("Café", "Chá", "Café", languages=("pt-BR", "en-US"), variations=3)
    jobs = list(status.new_jobs("bebidas", request))
    assert [made["job_id"] for made in jobs] == ["0001-cafe", "0002-cha", "0003-cafe"]
    assert jobs[1] == {
        "job_id": "0002-cha",
        "batch_id": "bebidas",
        "position": 2,
        "title": "Chá",
        "status": "queued",
        "total_items": 6,
        "items": {},
    }


def test_completed_items_need_no_more_work() -> None:
    """Failed, cancelled and running ones do."""
    document: Any = {"items": {}}
    for of, progress in itertools.zip_longest(ITEMS, STEPS.values()):
        document = merge(document, patch_of(progress(of)))
    assert status.finished_items(document) == {ITEMS[1].name}
    assert status.finished_items({}) == frozenset()


def test_a_manifest_lists_every_item_asked_for() -> None:
    """In the order asked for: made, failed, cancelled, under way or not begun."""
    request = batch_request("Café", languages=("pt-BR", "en-US"), variations=3)
    (document,) = status.new_jobs("cafe", request)
    batch = status.new_batch("cafe", "run-1", request, NOW)
    of = job("Café")
    made: list[Progress] = [
        narration(item("pt-BR", 1, of=of)),
        failure(item("en-US", 1, of=of), stage="adapt"),
        failure(item("pt-BR", 2, of=of), code=CANCELLED),
        script(of=item("en-US", 2, of=of)),
    ]
    for progress in reversed(made):
        document = merge(document, patch_of(progress))
    entries = list(status.manifest_items(document, batch["request"]))
    assert [(entry["item"], entry["status"]) for entry in entries] == [
        ("v1.pt-BR", "completed"),
        ("v1.en-US", "failed"),
        ("v2.pt-BR", "cancelled"),
        ("v2.en-US", "running"),
        ("v3.pt-BR", "queued"),
        ("v3.en-US", "queued"),
    ]
    assert entries[0] == {
        "job_id": "0001-cafe",
        "title": "Café",
        "item": "v1.pt-BR",
        "variation": 1,
        "language": "pt-BR",
        "status": "completed",
        "uri": "out/v1.pt-BR.mp3",
        "script_uri": "out/v1.pt-BR.txt",
        "sha256": "0" * 64,
        "seconds": 1.5,
        "bytes": 1_000,
        "characters": 20,
        "aspect": "curiosidades",
        "writer": "a-model",
        "voice": "a-voice",
    }
    assert entries[1]["error"]["stage"] == "adapt"
    assert all("error" not in entry for entry in entries[2:])


def test_counts_of_a_job_follow_from_its_items() -> None:
    """A variation has one script; what is made, adapted or failed counts whatever came first."""
    (new,) = status.new_jobs("cafe", batch_request("Café", languages=("pt-BR", "en"), variations=2))
    assert set(status.counts_of(new).values()) == {0}
    made: dict[str, Any] = {"status": "completed", "audio_seconds": 1.5, "audio_bytes": 9}
    items = {"v1.pt-BR": {**made, "characters": 4}, "v1.en": {"stage": "adapt"}}
    begun = cast("status.JobDoc", {**new, "items": items})
    assert status.counts_of(begun) == {
        "scripts": 1,
        "adaptations": 1,
        "completed": 1,
        "failed": 0,
        "audio_seconds": 1.5,
        "audio_bytes": 9,
        "characters": 4,
        "completed_jobs": 0,
        "failed_jobs": 0,
        "running_jobs": 1,
    }
    assert set(status.COUNTS) == set(status.counts_of(begun))


@pytest.mark.parametrize(
    ("ends", "jobs"),
    [
        (["completed", "completed"], (1, 0, 0)),
        (["completed", "failed"], (0, 1, 0)),
        (["failed", "failed"], (0, 1, 0)),
        (["completed", "cancelled"], (0, 0, 1)),
        (["cancelled", "cancelled"], (0, 0, 0)),
    ],
)
def test_a_job_counts_as_what_it_became(ends: list[str], jobs: tuple[int, int, int]) -> None:
    """Made as a whole, ended with a failure, or begun."""
    (new,) = status.new_jobs("cafe", batch_request("Café", languages=("pt-BR", "en")))
    items = {f"v1.{tag}": {"status": end} for tag, end in zip(("pt-BR", "en"), ends, strict=True)}
    counts = status.counts_of(cast("status.JobDoc", {**new, "items": items}))
    assert (counts["completed_jobs"], counts["failed_jobs"], counts["running_jobs"]) == jobs
