"""Statuses: the documents that tell how far a batch is, and the merges that move them on."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict

from domain import keys
from domain.work import CANCELLED, Failure, GeneratedScript, Narration, Progress, Script, item_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import timedelta

    from domain.request import BatchRequest

Status: TypeAlias = Literal[
    "queued", "running", "completed", "partial", "failed", "rejected", "cancelled"
]
STATUSES: Final[tuple[Status, ...]] = Status.__args__  # type: ignore[attr-defined]
TERMINAL: Final[frozenset[str]] = frozenset(
    {"completed", "partial", "failed", "rejected", "cancelled"}
)
MESSAGE_CHARACTERS: Final = 300
"""Of an error's message in a document: a thousand of them stay under Firestore's 1 MiB."""


class ItemError(TypedDict):
    """Why an item failed."""

    stage: str
    code: str
    message: str
    attempts: int


class ItemDoc(TypedDict, total=False):
    """One narration, in its job's `items`; absent until its script is written.

    `stage` is the step it went on to last, `adapted` whether it ever was in its
    language, in this run or an earlier one. `status` is how it ended: without
    one the item is running. See `item_status`.
    """

    status: Status
    stage: str
    adapted: bool
    aspect: str
    audio_uri: str
    script_uri: str
    sha256: str
    audio_bytes: int
    audio_seconds: float
    characters: int
    writer: str
    voice: str
    error: ItemError | None


class JobDoc(TypedDict, total=False):
    """One title of a batch."""

    job_id: str
    batch_id: str
    position: int
    title: str
    status: Status
    total_items: int
    completed_at: str | None
    items: dict[str, ItemDoc]


class Counts(TypedDict):
    """What the items of a job, or of all jobs of a batch, amount to.

    Items that have a script, that are adapted, that ended so; sums over the
    narrations; and jobs, of which one job counts as one or none: all made,
    ended with a failure, begun and not ended.
    """

    scripts: int
    adaptations: int
    completed: int
    failed: int
    audio_seconds: float
    audio_bytes: int
    characters: int
    completed_jobs: int
    failed_jobs: int
    running_jobs: int


COUNTS: Final = tuple(Counts.__annotations__)


class Stats(TypedDict):
    """What has been made so far: scripts, adaptations, and sums over the narrations."""

    scripts: int
    adaptations: int
    audio_seconds: float
    audio_bytes: int
    characters: int


class BatchDoc(TypedDict, total=False):
    """One batch.

    `request` is the request as accepted but for its titles, which are in the
    jobs: ten thousand of them would not fit into a Firestore document.
    `run_id` names the delivery that is being worked on, or was last.
    `progressed_at` is when one of its items was last heard of, or the batch was
    taken up; it is written now and then only. See `last_progress`.
    """

    batch_id: str
    owner: str
    status: Status
    total_jobs: int
    completed_jobs: int
    failed_jobs: int
    running_jobs: int
    total_items: int
    completed_items: int
    failed_items: int
    progress_percentage: float
    created_at: str
    started_at: str | None
    progressed_at: str | None
    completed_at: str | None
    cancel_requested_at: str | None
    held_until: str | None
    manifest_uri: str | None
    run_id: str
    content_hash: str
    request: dict[str, Any]
    stats: Stats


Patch: TypeAlias = dict[str, Any]
"""An RFC 7396 merge patch: objects merge, null removes, anything else replaces."""


def merge(document: Any, patch: Any) -> Any:
    """Apply an RFC 7396 merge patch; the arguments are left as they are."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def absorb(first: Patch, second: Patch) -> Patch:
    """Make the first patch do what the two do one after the other; nulls are kept.

    The first is changed and returned; objects of the second become part of it.

    But for an object that follows a null or a value under the same name: no
    merge patch can say that what the document held there is to go first. The
    fields of such an object must all be written every time, as ItemError's are.
    """
    for key, value in second.items():
        earlier = first.get(key)
        if isinstance(value, dict) and isinstance(earlier, dict):
            absorb(earlier, value)
        else:
            first[key] = value
    return first


def timestamp(moment: datetime) -> str:
    """ISO 8601 with milliseconds: sorts as text where all are UTC."""
    return moment.isoformat(timespec="milliseconds")


def new_batch(batch_id: str, run_id: str, request: BatchRequest, now: datetime) -> BatchDoc:
    """The document of a batch that has just been accepted."""
    return {
        "batch_id": batch_id,
        "owner": request.owner,
        "status": "running" if run_id else "queued",
        "total_jobs": len(request.titles),
        "total_items": request.total_items,
        "created_at": timestamp(now),
        "run_id": run_id,
        "content_hash": request.content_hash(),
        "request": request.model_dump(mode="json", exclude={"titles", "batch_id"}),
        **({"started_at": timestamp(now)} if run_id else {}),
    }


def is_taken(batch: Mapping[str, Any], run_id: str, *, resume: bool) -> bool:
    """Whether a run may make a batch that is there: its own, a queued one, or one to resume."""
    mine = run_id != "" and batch["run_id"] == run_id
    return mine or resume or batch["status"] == "queued"


def taken_up(batch: Mapping[str, Any], run_id: str, now: datetime) -> Patch:
    """A batch that waited, stopped or ended goes on in another run; empty where it does already."""
    if batch["run_id"] == run_id and (run_id or batch["status"] == "queued"):
        return {}
    return {
        "status": "running" if run_id else "queued",
        "run_id": run_id,
        "started_at": batch.get("started_at") or (timestamp(now) if run_id else None),
        "progressed_at": timestamp(now),
        "completed_at": None,
        "cancel_requested_at": None,
        "manifest_uri": None,
    }


def ended(final: Status, manifest_uri: str, now: datetime) -> Patch:
    """A batch's end."""
    return {"status": final, "manifest_uri": manifest_uri, "completed_at": timestamp(now)}


def cancelling(batch: Mapping[str, Any], now: datetime) -> Patch:
    """A batch is to stop: one that waits is cancelled, a running one has yet to hear of it.

    Empty where there is nothing to change.
    """
    if batch["status"] in TERMINAL:
        return {}
    asked = {"cancel_requested_at": batch.get("cancel_requested_at") or timestamp(now)}
    if batch["status"] == "queued":
        return {**asked, "status": "cancelled", "completed_at": timestamp(now)}
    return {} if batch.get("cancel_requested_at") else asked


def broken_off(batch: BatchDoc, now: datetime, *, cancelled: bool) -> Patch:
    """The end of a batch whose run will not write it any more; empty where it has ended.

    Args:
        batch: with its counts.
        now: an aware time.
        cancelled: whether what is missing is cancelled, or failed.
    """
    if batch["status"] in TERMINAL:
        return {}
    completed, failed = batch["completed_items"], batch["failed_items"]
    total = max(batch["total_items"], completed + failed + 1)  # if only the manifest is missing
    return _broken_off(completed, failed, total, now, cancelled=cancelled)


def broken_off_jobs(
    jobs: Iterable[JobDoc], now: datetime, *, cancelled: bool
) -> Iterator[tuple[str, Patch]]:
    """The ends of its jobs, by job_id; for those of which none is written."""
    for job in jobs:
        if job.get("completed_at"):
            continue
        ends = [item.get("status") for item in job["items"].values()]
        counts = ends.count("completed"), ends.count("failed"), job["total_items"]
        yield job["job_id"], _broken_off(*counts, now, cancelled=cancelled)


def _broken_off(
    completed: int, failed: int, total: int, now: datetime, *, cancelled: bool
) -> Patch:
    missing = total - completed - failed
    final = final_status(
        completed=completed,
        failed=failed + (0 if cancelled else missing),
        cancelled=missing if cancelled else 0,
    )
    return {"status": final, "completed_at": timestamp(now)}


def last_progress(batch: Mapping[str, Any]) -> datetime:
    """When something was last heard of a batch; of one that only waits, since when it does."""
    moments = (batch.get("progressed_at"), batch.get("started_at"), batch["created_at"])
    return datetime.fromisoformat(max(filter(None, moments)))


def is_stalled(batch: Mapping[str, Any], now: datetime, patience: timedelta) -> bool:
    """Whether a batch that has not ended has made no progress for so long."""
    return batch["status"] not in TERMINAL and now - last_progress(batch) >= patience


def new_jobs(batch_id: str, request: BatchRequest) -> Iterator[JobDoc]:
    """The documents of its jobs, in the titles' order."""
    for position, title in enumerate(request.titles, 1):
        yield {
            "job_id": keys.job_id(position, title),
            "batch_id": batch_id,
            "position": position,
            "title": title,
            "status": "queued",
            "total_items": request.items_per_job,
            "items": {},
        }


def item_patches(progress: Progress) -> Iterator[tuple[str, ItemDoc]]:
    """What an element says of its items: (item name, fields to merge).

    A stage names `stage` and an outcome everything else, so that merges can
    come in any order: a late one of a stage does not undo an outcome.
    """
    match progress:
        case GeneratedScript(task):
            for item in task.items():
                yield item.name, {"stage": "adapt"}
        case Script(item):
            yield item.name, {"stage": "narrate", "adapted": True}
        case Narration(item):
            yield (
                item.name,
                {
                    "status": "completed",
                    "aspect": progress.aspect,
                    "audio_uri": progress.audio_uri,
                    "script_uri": progress.script_uri,
                    "sha256": progress.sha256,
                    "audio_bytes": progress.audio_bytes,
                    "audio_seconds": progress.audio_seconds,
                    "characters": progress.characters,
                    "writer": progress.writer,
                    "voice": progress.voice,
                    "error": None,
                },
            )
        case Failure(item, code=code) if code == CANCELLED:
            yield item.name, {"status": "cancelled"}
        case Failure(item):
            yield (
                item.name,
                {
                    "status": "failed",
                    "error": {
                        "stage": progress.stage,
                        "code": progress.code,
                        "message": progress.message[:MESSAGE_CHARACTERS],
                        "attempts": progress.attempts,
                    },
                },
            )


def final_status(*, completed: int, failed: int, cancelled: int) -> Status:
    """How a job or a batch ends, from the numbers of its items."""
    if cancelled:
        return "cancelled"
    if not failed:
        return "completed"
    return "partial" if completed else "failed"


def percentage(finished: int, total: int) -> float:
    """Finished of total, failed ones too, to one decimal; 100 only where all are."""
    if finished >= total:
        return 100.0
    return min(99.9, round(100 * finished / total, 1))


def job_status(job: JobDoc) -> Status:
    """How a job stands: as it ended, or as its items do while its end is not yet written."""
    if job["status"] in TERMINAL:
        return job["status"]
    ends = [item.get("status") for item in job["items"].values()]
    completed, failed = ends.count("completed"), ends.count("failed")
    if completed + failed >= job["total_items"]:
        return final_status(completed=completed, failed=failed, cancelled=0)
    return "running" if ends else "queued"


def as_it_stands(job: JobDoc) -> JobDoc:
    """A job as it is shown: its own status is written at its end only."""
    return {**job, "status": job_status(job)}


def counts_of(job: JobDoc) -> Counts:
    """What a job's items amount to; absolute, so that repeating a merge changes nothing."""
    items = job["items"]
    made = [item for item in items.values() if item.get("status") == "completed"]
    completed, failed = len(made), sum(item.get("status") == "failed" for item in items.values())
    scripts = {
        name.split(".", 1)[0]
        for name, item in items.items()
        if item.get("status") == "completed" or item.get("stage")
    }
    ended = completed + failed >= job["total_items"]
    return {
        "scripts": len(scripts),
        "adaptations": sum(
            item.get("status") == "completed" or item.get("adapted", False)
            for item in items.values()
        ),
        "completed": completed,
        "failed": failed,
        "audio_seconds": sum((item.get("audio_seconds", 0.0) for item in made), 0.0),
        "audio_bytes": sum(item.get("audio_bytes", 0) for item in made),
        "characters": sum(item.get("characters", 0) for item in made),
        "completed_jobs": int(completed >= job["total_items"]),
        "failed_jobs": int(ended and failed > 0),
        "running_jobs": int(bool(scripts) and not ended),
    }


def counted(batch: BatchDoc, sums: Mapping[str, float]) -> BatchDoc:
    """A batch's document with its counts.

    Args:
        batch: as stored.
        sums: of the Counts of its jobs, by name.
    """
    completed, failed = int(sums["completed"]), int(sums["failed"])
    counts: BatchDoc = {
        "completed_jobs": int(sums["completed_jobs"]),
        "failed_jobs": int(sums["failed_jobs"]),
        "running_jobs": int(sums["running_jobs"]) if batch["status"] == "running" else 0,
        "completed_items": completed,
        "failed_items": failed,
        "progress_percentage": percentage(completed + failed, batch["total_items"]),
        "stats": {
            "scripts": int(sums["scripts"]),
            "adaptations": int(sums["adaptations"]),
            "audio_seconds": round(float(sums["audio_seconds"]), 3),
            "audio_bytes": int(sums["audio_bytes"]),
            "characters": int(sums["characters"]),
        },
    }
    return {**batch, **counts}


def item_status(item: ItemDoc, job: JobDoc) -> Status:
    """How an item stands; of one that was never recorded, the document is empty."""
    if ended := item.get("status"):
        return ended
    if job["status"] in TERMINAL:
        return "cancelled"
    return "running" if item else "queued"


def whole_items(job: JobDoc, stored: Mapping[str, int]) -> frozenset[str]:
    """Items that a run finished, and whose files are still there and whole.

    Args:
        job: its document.
        stored: the batch's files, uri → size in bytes.
    """
    items = job["items"]
    return frozenset(
        name
        for name in finished_items(job)
        if stored.get(items[name]["audio_uri"]) == items[name]["audio_bytes"]
        and items[name]["script_uri"] in stored
    )


def taken_up_again(job: JobDoc, done: Collection[str]) -> Patch:
    """What is to be made again is not yet made: all items of a job but those that are done.

    How far they were stays, so that what was written is not taken back from
    the counts. Empty where there is nothing to change.
    """
    again: Patch = {}
    for name, item in job["items"].items():
        if name not in done:
            outcome = {field: None for field in item if field not in {"stage", "adapted"}}
            if "stage" not in item:
                again[name] = None
            elif outcome:
                again[name] = outcome
    if again or (job["status"] in TERMINAL and len(done) < job["total_items"]):
        return {"status": "queued", "completed_at": None, "items": again}
    return {}


def finished_items(job: JobDoc) -> frozenset[str]:
    """Names of the items of a job that need no more work."""
    return frozenset(
        name for name, item in job.get("items", {}).items() if item.get("status") == "completed"
    )


def manifest_items(job: JobDoc, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A manifest's entries of one job: every item of it, made or not, in the order asked for."""
    items = job.get("items", {})
    for variation in range(1, int(request["variations"]) + 1):
        for language in request["agent"]["target_languages"]:
            name = item_name(variation, language)
            item = items.get(name, {})
            entry: dict[str, Any] = {
                "job_id": job["job_id"],
                "title": job["title"],
                "item": name,
                "variation": variation,
                "language": language,
                "status": item_status(item, job),
            }
            if item.get("status") == "completed":
                entry |= {
                    "uri": item["audio_uri"],
                    "script_uri": item["script_uri"],
                    "sha256": item["sha256"],
                    "seconds": item["audio_seconds"],
                    "bytes": item["audio_bytes"],
                    "characters": item["characters"],
                    "aspect": item["aspect"],
                    "writer": item["writer"],
                    "voice": item["voice"],
                }
            elif error := item.get("error"):
                entry["error"] = error
            yield entry
