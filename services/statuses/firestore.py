"""The status store in Firestore: a document a batch, and below it one a job."""

from __future__ import annotations

import json
import random
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.field_path import FieldPath

from domain import status
from domain.search import is_found, searchable
from services.errors import Unavailable
from services.googleapi import told
from services.ports import Acceptance
from services.retrying import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from domain.request import BatchRequest
    from domain.status import BatchDoc, JobDoc, Patch
    from services.ports import BatchQuery

TIMEOUT: Final = 30.0
"""Seconds that a call may take, with what the client repeats of it."""
TIMEOUT_CANCEL: Final = 5.0
"""Seconds for the question that is asked every second; without an answer, the last one holds."""
CONTENTION: Final = Policy(attempts=20, base=0.05, cap=1.0)
"""How often a write is begun anew where others write the same documents; some ten seconds in all."""

COMMIT_WRITES: Final = 500
COMMIT_BYTES: Final = 4 * 2**20
"""Of JSON; a commit is larger by its masks, and refused from 10 MiB on.
Source: https://firebase.google.com/docs/firestore/quotas"""
READ: Final = 100
"""Job documents read for one commit; the largest have 700 KB each."""
FIRST_PAGE: Final = 20
PAGE: Final = 500
PAGE_ITEMS: Final = 20_000
"""A page of jobs holds no more items than these; their documents are then some 14 MB."""
SEARCHED: Final = 100
"""Batches read at a time to look for a text; each may have 100 KB of titles."""

JOBS_STORED: Final = "jobs_stored"
"""Of a batch: whether all its jobs have been; what began to store them may have died."""
SEARCH: Final = "search"
"""Of a batch: its titles as they are looked for. Firestore itself finds whole values only."""
COUNTS: Final = "counts"
"""Of a job: what its items amount to."""
INTERNAL: Final = frozenset({JOBS_STORED, SEARCH, COUNTS})
"""Fields of stored documents that the port's do not have."""

# Committing again what may have been stored is harmless here: a merge finds nothing to change,
# a created document is the one meant, and a conditional write finds itself.
REPEATED: Final = if_exception_type(
    exceptions.InternalServerError, exceptions.ServiceUnavailable, exceptions.ResourceExhausted
)
UNMET: Final = (
    exceptions.Aborted,
    exceptions.AlreadyExists,
    exceptions.FailedPrecondition,
    exceptions.NotFound,
)
"""What a conditional write ends in where somebody else wrote the document, or removed it."""

Document: TypeAlias = dict[str, Any]
Write: TypeAlias = tuple[str, Document, Any]
"""A document's id, its fields by path, and the precondition."""
T = TypeVar("T")


class Overtaken(Exception):
    """Somebody else wrote first what was to be written on condition."""


class FirestoreStatusStore:
    """Statuses in a Firestore database in native mode, safe for any number of processes.

    With FIRESTORE_EMULATOR_HOST in the environment the client goes there,
    without credentials. No call waits longer than `timeout`.

    A job's counts are in its document and are derived from its items in the
    write that changes them: it is read, merged, and written on condition that
    nobody has written it since. A batch's counts are sums over its jobs, made by
    the database. A batch of more than about 100 KB of titles is found by its
    id, and by those titles that fit.

    Args:
        project: of Google Cloud.
        database: in the project.
        clock: tells the time, aware.
        timeout: seconds that a call may take, its repetitions included.
        sleep: waits for so many seconds, where others write the same documents.

    Raises:
        Refused: `unauthenticated`, where there are no credentials.
    """

    def __init__(
        self,
        project: str,
        database: str = "(default)",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        timeout: float = TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = f"Firestore database {database} of project {project}"
        create = f"gcloud firestore databases create --project={project} --database={database!r}"
        self._remedies = {
            "not_found": f"create it with `{create} --location=…`",
            "permission_denied": "whoever runs this needs the role roles/datastore.user",
        }
        self._clock = clock
        self._sleep = sleep
        self._call: dict[str, Any] = {
            "timeout": timeout,
            "retry": Retry(REPEATED, initial=0.2, maximum=5.0, multiplier=2.0, timeout=timeout),
        }
        self._question: dict[str, Any] = {"timeout": min(timeout, TIMEOUT_CANCEL), "retry": None}
        with self._errors():
            self._client = firestore.Client(project=project, database=database)
        self._batches = self._client.collection("batches")
        self._sums = ThreadPoolExecutor(len(status.COUNTS), thread_name_prefix="firestore-sums")

    def _jobs(self, batch_id: str) -> Any:
        return self._batches.document(batch_id).collection("jobs")

    # ── Accepting ────────────────────────────────────────────────────────────

    def accept(
        self, batch_id: str, request: BatchRequest, *, run_id: str, resume: bool
    ) -> Acceptance:
        """See StatusStore.

        Whoever creates the batch's document has the batch; who takes up one
        that is there writes on condition that it is as it was read. The jobs
        follow, and are there when this returns "accepted": where the first to
        accept died in between, the next stores those that are missing.
        """
        with self._errors():
            return self._contended(partial(self._accept, batch_id, request, run_id, resume=resume))

    def _accept(
        self, batch_id: str, request: BatchRequest, run_id: str, *, resume: bool
    ) -> Acceptance:
        reference, now = self._batches.document(batch_id), self._clock()
        new = status.new_batch(batch_id, run_id, request, now)
        content_hash = new["content_hash"]
        snapshot: Any = reference.get(**self._call)
        if not snapshot.exists:
            internal = {JOBS_STORED: False, SEARCH: searchable(request.titles)}
            with _conditional():
                reference.create({**new, **internal}, **self._call)
            self._store_jobs(batch_id, request)
            return Acceptance("accepted", content_hash)
        stored = snapshot.to_dict()
        if stored["content_hash"] != content_hash:
            return Acceptance("conflict", stored["content_hash"])
        if not status.is_taken(stored, run_id, resume=resume):
            return Acceptance("duplicate", content_hash)
        if patch := status.taken_up(stored, run_id, now):
            self._update(snapshot, patch)
        if not stored[JOBS_STORED]:
            self._store_jobs(batch_id, request)
        return Acceptance("accepted", content_hash)

    def cancel(self, batch_id: str) -> None:
        """See StatusStore; written on condition that the batch is as it was read."""
        with self._errors():
            self._contended(partial(self._cancel, batch_id))

    def _cancel(self, batch_id: str) -> None:
        snapshot: Any = self._batches.document(batch_id).get(**self._call)
        if snapshot.exists and (patch := status.cancelling(snapshot.to_dict(), self._clock())):
            self._update(snapshot, patch)

    def _update(self, snapshot: Any, patch: Patch) -> None:
        """Merge a patch into a document, where it is still as it was read."""
        stored = snapshot.to_dict()
        changes = _difference(stored, status.merge(stored, patch))
        unchanged = self._client.write_option(last_update_time=snapshot.update_time)
        with _conditional():
            snapshot.reference.update(changes, option=unchanged, **self._call)

    def _store_jobs(self, batch_id: str, request: BatchRequest) -> None:
        """Create the jobs that are not there; those that are may have been worked on."""
        for page in _batched(status.new_jobs(batch_id, request), COMMIT_WRITES):
            self._contended(partial(self._create_missing, batch_id, page))
        with _conditional():
            self._batches.document(batch_id).update({JOBS_STORED: True}, **self._call)

    def _create_missing(self, batch_id: str, jobs: list[JobDoc]) -> None:
        collection = self._jobs(batch_id)
        missing = {job["job_id"]: job for job in jobs}
        try:
            self._create_jobs(collection, missing.values())
        except Overtaken:
            for snapshot in self._snapshots(collection, list(missing), ["position"]):
                del missing[snapshot.id]
            if missing:
                self._create_jobs(collection, missing.values())

    def _create_jobs(self, collection: Any, jobs: Iterable[JobDoc]) -> None:
        commit = self._client.batch()
        for job in jobs:
            document = {**job, COUNTS: status.counts_of(job)}
            commit.create(collection.document(job["job_id"]), document)
        with _conditional():
            commit.commit(**self._call)

    def _contended(self, call: Callable[[], T]) -> T:
        """What the call returns once nobody gets in between."""
        attempt = 1
        while True:
            try:
                return call()
            except Overtaken as error:
                self._give_way(attempt, error)
            attempt += 1

    def _give_way(self, attempt: int, error: Overtaken) -> None:
        """Wait for others to be done; raise where it has been too often."""
        message = f"{self._name}: others keep writing the same documents"
        busy = Unavailable(message, attempts=attempt)
        if attempt >= CONTENTION.attempts:
            raise busy from error
        self._sleep(CONTENTION.wait(attempt, busy, random.random))

    # ── Merging ──────────────────────────────────────────────────────────────

    def merge_batch(self, batch_id: str, patch: Patch) -> None:
        """See StatusStore."""
        with self._errors():
            self._merge(self._batches, {batch_id: patch}, lambda merged: merged)

    def merge_jobs(self, batch_id: str, patches: Mapping[str, Patch]) -> None:
        """See StatusStore; what changes nothing is read and not written."""
        with self._errors():
            self._merge(self._jobs(batch_id), patches, _with_counts)

    def _merge(
        self,
        collection: Any,
        patches: Mapping[str, Patch],
        derive: Callable[[Document], Document],
    ) -> None:
        """Merge patches into the documents that are there, and what is derived from both.

        Where somebody else writes one of a commit's documents, the commit is
        begun anew in two halves, so that one document does not hold up others.
        """
        waiting = deque((ids, 1) for ids in _batched(patches, READ))
        while waiting:
            ids, attempt = waiting.popleft()
            for writes in _commits(self._writes(collection, ids, patches, derive)):
                try:
                    self._commit(collection, writes)
                except Overtaken as error:
                    self._give_way(attempt, error)
                    again = [job_id for job_id, _, _ in writes]
                    half = (len(again) + 1) // 2
                    waiting.extend(
                        (part, attempt + 1) for part in (again[:half], again[half:]) if part
                    )

    def _writes(
        self,
        collection: Any,
        ids: list[str],
        patches: Mapping[str, Patch],
        derive: Callable[[Document], Document],
    ) -> Iterator[Write]:
        for snapshot in self._snapshots(collection, ids):
            stored = snapshot.to_dict()
            changes = _difference(stored, derive(status.merge(stored, patches[snapshot.id])))
            if changes:
                unchanged = self._client.write_option(last_update_time=snapshot.update_time)
                yield snapshot.id, changes, unchanged

    def _commit(self, collection: Any, writes: list[Write]) -> None:
        commit = self._client.batch()
        for name, changes, unchanged in writes:
            commit.update(collection.document(name), changes, option=unchanged)
        with _conditional():
            commit.commit(**self._call)

    def _snapshots(
        self, collection: Any, ids: list[str], fields: list[str] | None = None
    ) -> Iterator[Any]:
        """Those of the documents that are there, in any order."""
        references = [collection.document(name) for name in ids]
        for snapshot in self._client.get_all(references, field_paths=fields, **self._call):
            if snapshot.exists:
                yield snapshot

    def flush(self) -> None:
        """Nothing waits here: a merge returns when it is stored."""

    # ── Reading ──────────────────────────────────────────────────────────────

    def batch(self, batch_id: str) -> BatchDoc | None:
        """See StatusStore."""
        with self._errors():
            stored = self._get(self._batches.document(batch_id))
            return None if stored is None else self._counted(stored)

    def _get(self, reference: Any, fields: list[str] | None = None) -> Document | None:
        document: Document | None = reference.get(field_paths=fields, **self._call).to_dict()
        return document

    def _counted(self, stored: Document) -> BatchDoc:
        """With its counts as of now.

        The database sums one field a query: several would need an index of
        their own, without which no batch could end. A query bills a read a
        thousand jobs, and one at least; a few jobs are cheaper read.
        """
        jobs = self._jobs(stored["batch_id"])
        if stored["total_jobs"] <= len(status.COUNTS):
            each = [
                snapshot.to_dict()[COUNTS]
                for snapshot in jobs.select([COUNTS]).stream(**self._call)
            ]
            sums = {name: sum(counts[name] for counts in each) for name in status.COUNTS}
        else:
            values = self._sums.map(lambda name: self._sum(jobs, name), status.COUNTS)
            sums = dict(zip(status.COUNTS, values, strict=True))
        return status.counted(cast("BatchDoc", _port(stored)), sums)

    def _sum(self, jobs: Any, name: str) -> float:
        ((total,),) = jobs.sum(f"{COUNTS}.{name}", alias=name).get(**self._call)
        return total.value or 0

    def cancel_requested(self, batch_id: str) -> bool:
        """See StatusStore; reads one field of one document."""
        field = "cancel_requested_at"
        with self._errors():
            reference = self._batches.document(batch_id)
            found = reference.get(field_paths=[field], **self._question).to_dict()
            return bool((found or {}).get(field))

    def job(self, batch_id: str, job_id: str) -> JobDoc | None:
        """See StatusStore."""
        with self._errors():
            stored = self._get(self._jobs(batch_id).document(job_id))
        return None if stored is None else _job(stored)

    def jobs(self, batch_id: str) -> Iterator[JobDoc]:
        """See StatusStore."""
        in_order = self._jobs(batch_id).order_by("position")
        position, size = 0, FIRST_PAGE
        while True:
            beyond = in_order.where(filter=FieldFilter("position", ">", position)).limit(size)
            page = self._stream(beyond)
            for stored in page:
                yield _job(stored)
            if len(page) < size:
                return
            position = page[-1]["position"]
            size = max(1, min(PAGE, PAGE_ITEMS // page[-1]["total_items"]))

    def batches(self, query: BatchQuery) -> Iterator[BatchDoc]:
        """See StatusStore.

        A text is looked for here and not in the database, a hundred batches at a
        time, newest first, until enough are found: name owner or status too
        where there are thousands.
        """
        with self._errors():
            yield from map(self._counted, islice(self._newest(query), query.limit))

    def _newest(self, query: BatchQuery) -> Iterator[Document]:
        matching: Any = self._batches
        if query.owner:
            matching = matching.where(filter=FieldFilter("owner", "==", query.owner))
        if query.status:
            matching = matching.where(filter=FieldFilter("status", "==", query.status))
        last = None
        if query.before:
            last = self._get(self._batches.document(query.before), ["created_at", "batch_id"])
            if last is None:
                return
        size = SEARCHED if query.text else query.limit
        while True:
            page = self._older(matching, last, size)
            for stored in page:
                if not query.text or is_found(query.text, stored["batch_id"], stored[SEARCH]):
                    yield stored
            if len(page) < size:
                return
            last = page[-1]

    def _older(self, matching: Any, last: Document | None, size: int) -> list[Document]:
        """At least so many of those older than the last, newest first; fewer where there are no more.

        Batches of one instant come by id, which is the database's own order.
        """
        newest_first = matching.order_by("created_at", direction=firestore.Query.DESCENDING)
        if last is None:
            return self._stream(newest_first.limit(size))
        moment = last["created_at"]
        same = self._stream(matching.where(filter=FieldFilter("created_at", "==", moment)))
        rest = [stored for stored in same if stored["batch_id"] < last["batch_id"]]
        rest.sort(key=lambda stored: stored["batch_id"], reverse=True)
        older = newest_first.where(filter=FieldFilter("created_at", "<", moment))
        return rest + self._stream(older.limit(size))

    def _stream(self, query: Any) -> list[Document]:
        with self._errors():
            return [snapshot.to_dict() for snapshot in query.stream(**self._call)]

    def close(self) -> None:
        """See StatusStore."""
        self._sums.shutdown()
        self._client.close()

    def _errors(self) -> AbstractContextManager[None]:
        return told(self._name, self._remedies)


@contextmanager
def _conditional() -> Iterator[None]:
    try:
        yield
    except UNMET as error:
        raise Overtaken(error.message) from error


def _with_counts(job: Document) -> Document:
    return {**job, COUNTS: status.counts_of(cast("JobDoc", job))}


def _job(stored: Document) -> JobDoc:
    return status.as_it_stands(cast("JobDoc", _port(stored)))


def _port(stored: Document) -> Document:
    return {name: value for name, value in stored.items() if name not in INTERNAL}


def _difference(before: Document, after: Document, path: tuple[str, ...] = ()) -> Document:
    """What makes one document of another: values by field path, quoted where names need it."""
    changes: Document = {}
    for name in before.keys() - after.keys():
        changes[FieldPath(*path, name).to_api_repr()] = firestore.DELETE_FIELD
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            changes |= _difference(old, value, (*path, name))
        elif name not in before or old != value:
            changes[FieldPath(*path, name).to_api_repr()] = value
    return changes


def _commits(writes: Iterable[Write]) -> Iterator[list[Write]]:
    """As many at once as Firestore takes."""
    commit: list[Write] = []
    size = 0
    for write in writes:
        length = len(json.dumps(write[1], default=str))
        if commit and (len(commit) == COMMIT_WRITES or size + length > COMMIT_BYTES):
            yield commit
            commit, size = [], 0
        commit.append(write)
        size += length
    if commit:
        yield commit


def _batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(values)
    while page := list(islice(iterator, size)):
        yield page
