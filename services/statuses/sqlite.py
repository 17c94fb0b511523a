"""The embedded status store: JSON documents in one SQLite file, shared by processes."""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from domain import status
from domain.search import fold
from services.errors import Unavailable
from services.ports import Acceptance, BatchQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from domain.request import BatchRequest
    from domain.status import BatchDoc, JobDoc, Patch

BUSY_SECONDS: Final = 30.0
"""How long a writer waits for another process's transaction."""
TURNS: Final = 100
"""How often it lets others go first when it opens a new file."""
PAGE: Final = 500
"""Job documents read at a time; the database is free for others in between."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS batches (
    batch_id TEXT PRIMARY KEY,
    doc TEXT NOT NULL,
    owner TEXT GENERATED ALWAYS AS (json_extract(doc, '$.owner')) VIRTUAL,
    status TEXT GENERATED ALWAYS AS (json_extract(doc, '$.status')) VIRTUAL,
    created_at TEXT GENERATED ALWAYS AS (json_extract(doc, '$.created_at')) VIRTUAL
);
CREATE INDEX IF NOT EXISTS batches_newest ON batches (created_at, batch_id);
CREATE TABLE IF NOT EXISTS jobs (
    batch_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    doc TEXT NOT NULL,
    total INTEGER NOT NULL,
    scripts INTEGER NOT NULL DEFAULT 0,
    adaptations INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    audio_seconds REAL NOT NULL DEFAULT 0,
    audio_bytes INTEGER NOT NULL DEFAULT 0,
    characters INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (batch_id, position)
);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_id ON jobs (batch_id, job_id);
"""

# All patches of a flush in one statement each: sqlite3 lets go of the interpreter's
# lock at every statement, and among busy threads waits long to have it back.
MERGE: Final = """
WITH patch AS MATERIALIZED (SELECT key, value FROM json_each(:patches))
UPDATE jobs SET doc = json_patch(jobs.doc, patch.value) FROM patch
WHERE jobs.batch_id = :batch AND jobs.job_id = patch.key
"""
# Counts are derived from the items in the transaction that changes them, so
# that they are absolute, and reading a batch of 10,000 jobs sums integers.
COUNT: Final = """
UPDATE jobs SET
    (scripts, adaptations, completed, failed, audio_seconds, audio_bytes, characters) = (
    SELECT
        count(DISTINCT iif(
            json_extract(value, '$.status') = 'completed' OR json_extract(value, '$.stage') IS NOT NULL,
            substr(key, 1, instr(key, '.')), NULL)),
        total(json_extract(value, '$.status') = 'completed' OR json_extract(value, '$.adapted')),
        total(json_extract(value, '$.status') = 'completed'),
        total(json_extract(value, '$.status') = 'failed'),
        total(iif(json_extract(value, '$.status') = 'completed', json_extract(value, '$.audio_seconds'), 0)),
        total(iif(json_extract(value, '$.status') = 'completed', json_extract(value, '$.audio_bytes'), 0)),
        total(iif(json_extract(value, '$.status') = 'completed', json_extract(value, '$.characters'), 0))
    FROM json_each(doc, '$.items'))
WHERE batch_id = :batch AND job_id IN (SELECT key FROM json_each(:patches))
"""

# In the order of status.COUNTS.
SUMS: Final = """
SELECT
    sum(scripts), sum(adaptations), sum(completed), sum(failed),
    total(audio_seconds), sum(audio_bytes), sum(characters),
    sum(completed = total), sum(failed > 0 AND completed + failed = total),
    sum(scripts > 0 AND completed + failed < total)
FROM jobs WHERE batch_id = ?
"""


class SqliteStatusStore:
    """Statuses in one SQLite file (WAL), safe for several threads and processes.

    Args:
        path: the file; its folder is created.
        clock: tells the time, aware.
    """

    def __init__(
        self, path: str | Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        with _unavailable():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            weakref.finalize(self, self._db.close)
            self._db.create_function("fold", 1, fold, deterministic=True)
            _turn_to_wal(self._db)
            # WAL keeps the file consistent; only a power cut could lose the last commits.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA)

    def accept(
        self, batch_id: str, request: BatchRequest, *, run_id: str, resume: bool
    ) -> Acceptance:
        """See StatusStore; the batch and its jobs appear in one transaction."""
        new = status.new_batch(batch_id, run_id, request, self._clock())
        content_hash = new["content_hash"]
        with self._transaction() as db:
            stored = _first(db, "SELECT doc FROM batches WHERE batch_id = ?", batch_id)
            if stored is None:
                self._insert(db, new, request)
                return Acceptance("accepted", content_hash)
            if stored["content_hash"] != content_hash:
                return Acceptance("conflict", stored["content_hash"])
            if not status.is_taken(stored, run_id, resume=resume):
                return Acceptance("duplicate", content_hash)
            if patch := status.taken_up(stored, run_id, self._clock()):
                self._patch_batch(db, batch_id, patch)
            return Acceptance("accepted", content_hash)

    def cancel(self, batch_id: str) -> None:
        """See StatusStore."""
        with self._transaction() as db:
            stored = _first(db, "SELECT doc FROM batches WHERE batch_id = ?", batch_id)
            if stored and (patch := status.cancelling(stored, self._clock())):
                self._patch_batch(db, batch_id, patch)

    def _insert(self, db: sqlite3.Connection, batch: BatchDoc, request: BatchRequest) -> None:
        batch_id = batch["batch_id"]
        db.execute("INSERT INTO batches (batch_id, doc) VALUES (?, ?)", (batch_id, _dump(batch)))
        db.executemany(
            "INSERT INTO jobs (batch_id, position, job_id, doc, total) VALUES (?, ?, ?, ?, ?)",
            (
                (batch_id, job["position"], job["job_id"], _dump(job), job["total_items"])
                for job in status.new_jobs(batch_id, request)
            ),
        )

    def merge_batch(self, batch_id: str, patch: Patch) -> None:
        """See StatusStore."""
        with self._transaction() as db:
            self._patch_batch(db, batch_id, patch)

    def _patch_batch(self, db: sqlite3.Connection, batch_id: str, patch: Patch) -> None:
        db.execute(
            "UPDATE batches SET doc = json_patch(doc, ?) WHERE batch_id = ?",
            (_dump(patch), batch_id),
        )

    def merge_jobs(self, batch_id: str, patches: Mapping[str, Patch]) -> None:
        """See StatusStore; all patches are merged in one transaction."""
        values = {"batch": batch_id, "patches": _dump(patches)}
        with self._transaction() as db:
            db.execute(MERGE, values)
            db.execute(COUNT, values)

    def flush(self) -> None:
        """Nothing waits here: a merge returns when it is stored."""

    def batch(self, batch_id: str) -> BatchDoc | None:
        """See StatusStore."""
        with self._read() as db:
            stored = _first(db, "SELECT doc FROM batches WHERE batch_id = ?", batch_id)
            return None if stored is None else self._counted(db, cast("BatchDoc", stored))

    def _counted(self, db: sqlite3.Connection, batch: BatchDoc) -> BatchDoc:
        row = db.execute(SUMS, (batch["batch_id"],)).fetchone()
        sums = (value or 0 for value in row)
        return status.counted(batch, dict(zip(status.COUNTS, sums, strict=True)))

    def cancel_requested(self, batch_id: str) -> bool:
        """See StatusStore."""
        with self._read() as db:
            query = (
                "SELECT json_extract(doc, '$.cancel_requested_at') FROM batches WHERE batch_id = ?"
            )
            row = db.execute(query, (batch_id,)).fetchone()
            return bool(row and row[0])

    def job(self, batch_id: str, job_id: str) -> JobDoc | None:
        """See StatusStore."""
        with self._read() as db:
            query = "SELECT doc FROM jobs WHERE batch_id = ? AND job_id = ?"
            stored = _first(db, query, batch_id, job_id)
            return None if stored is None else status.as_it_stands(cast("JobDoc", stored))

    def jobs(self, batch_id: str) -> Iterator[JobDoc]:
        """See StatusStore."""
        position = 0
        while True:
            with self._read() as db:
                rows = db.execute(
                    "SELECT position, doc FROM jobs WHERE batch_id = ? AND position > ?"
                    " ORDER BY position LIMIT ?",
                    (batch_id, position, PAGE),
                ).fetchall()
            if not rows:
                return
            position = rows[-1][0]
            for _, doc in rows:
                yield status.as_it_stands(json.loads(doc))

    def batches(self, query: BatchQuery) -> Iterator[BatchDoc]:
        """See StatusStore."""
        conditions, values = ["TRUE"], []
        if query.owner:
            conditions.append("owner = ?")
            values.append(query.owner)
        if query.status:
            conditions.append("status = ?")
            values.append(query.status)
        if query.before:
            conditions.append(
                "(created_at, batch_id) <"
                " (SELECT created_at, batch_id FROM batches WHERE batch_id = ?)"
            )
            values.append(query.before)
        if query.text:
            conditions.append(
                "(instr(batch_id, ?) OR EXISTS (SELECT 1 FROM jobs"
                " WHERE jobs.batch_id = batches.batch_id AND instr(fold(json_extract(jobs.doc, '$.title')), ?)))"
            )
            values += [fold(query.text)] * 2
        with self._read() as db:
            rows = db.execute(
                f"SELECT doc FROM batches WHERE {' AND '.join(conditions)}"  # noqa: S608 - literals
                " ORDER BY created_at DESC, batch_id DESC LIMIT ?",
                (*values, query.limit),
            ).fetchall()
            counted = [self._counted(db, json.loads(doc)) for (doc,) in rows]
        yield from counted

    def close(self) -> None:
        """See StatusStore."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _unavailable():
            yield self._db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Take the write lock at once: a reader that turns writer would fail, not wait."""
        with self._lock, _unavailable(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db


def _turn_to_wal(db: sqlite3.Connection) -> None:
    """SQLite itself does not wait where several processes turn a new file to WAL at once."""
    for _ in range(TURNS):
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            db.execute("BEGIN IMMEDIATE")  # this does wait, up to BUSY_SECONDS
            db.execute("ROLLBACK")
        else:
            return
    raise sqlite3.OperationalError("others keep it from being opened")


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"the status store cannot be used: {error}") from error


def _first(db: sqlite3.Connection, query: str, *values: str) -> dict[str, Any] | None:
    row = db.execute(query, values).fetchone()
    return None if row is None else json.loads(row[0])


def _dump(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
