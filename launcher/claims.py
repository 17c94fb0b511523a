"""Claims: which process is making a batch."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from domain.status import timestamp
from services.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from domain.status import BatchDoc
    from services.ports import StatusStore

LEASE: Final = timedelta(seconds=90)
"""How long a process that is no longer heard of is taken for alive."""
RENEW_EVERY: Final = 20.0
"""Seconds."""


class Claims(Protocol):
    """Who makes what, as far as this process can know."""

    def claim(self, batch_id: str) -> AbstractContextManager[None]:
        """Hold a batch for this process, until it dies at the latest.

        Raises:
            RequestError: where another process holds it, or the claim cannot be written.
        """
        ...

    def is_left(self, batch: BatchDoc) -> bool:
        """Whether a batch was begun and it is known that nobody makes it any more."""
        ...


class FileClaims:
    """Claims of the processes of one machine: a locked file beside the database.

    Args:
        database: SQLite file of the statuses.
    """

    def __init__(self, database: Path) -> None:
        self._database = database

    @contextmanager
    def claim(self, batch_id: str) -> Iterator[None]:
        """See Claims; the system lets go when the process dies."""
        from domain.request import Problem, RequestError

        path = self._path(batch_id)
        try:
            lock = _acquire(path)
        except OSError as error:
            reason = f"{path} cannot be written: {error.strerror}; --status names another place"
            raise RequestError([Problem("status", reason)]) from None
        if lock is None:
            raise _held(batch_id)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.release()

    def is_left(self, batch: BatchDoc) -> bool:
        """See Claims; known at once, since the lock goes with its process."""
        return batch["status"] == "running" and not self._is_claimed(batch["batch_id"])

    def _is_claimed(self, batch_id: str) -> bool:
        path = self._path(batch_id)
        if not path.exists():
            return False
        lock = _acquire(path)
        if lock is None:
            return True
        path.unlink(missing_ok=True)
        lock.release()
        return False

    def _path(self, batch_id: str) -> Path:
        return self._database.with_name(f".{self._database.name}.{batch_id}.lock")


class LeaseClaims:
    """Claims of processes anywhere: a time in the batch's document that is put off again and again.

    A batch without such a time is made by a runner that has no process of its
    own to watch, such as Dataflow; it is never known to be left.

    Args:
        statuses: holds the documents.
        clock: tells the time, aware.
    """

    def __init__(
        self, statuses: StatusStore, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._statuses = statuses
        self._clock = clock

    @contextmanager
    def claim(self, batch_id: str) -> Iterator[None]:
        """See Claims; of a process that dies, the lease ends after LEASE."""
        batch = self._statuses.batch(batch_id)
        if batch and batch["status"] == "running" and self._is_held(batch):
            raise _held(batch_id)
        released = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(batch_id, released), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            released.set()
            keeper.join()
            self._let_go(batch_id)

    def _keep(self, batch_id: str, released: threading.Event) -> None:
        while True:
            self._merge(batch_id, timestamp(self._clock() + LEASE))
            if released.wait(RENEW_EVERY):
                return

    def _let_go(self, batch_id: str) -> None:
        """What still runs is left; what does not may be made by a runner without claims next."""
        with suppress(ServiceError):
            batch = self._statuses.batch(batch_id)
            left = batch is not None and batch["status"] == "running"
            self._merge(batch_id, timestamp(self._clock()) if left else None)

    def _merge(self, batch_id: str, until: str | None) -> None:
        with suppress(ServiceError):  # there is a next time, and the lease ends by itself
            self._statuses.merge_batch(batch_id, {"held_until": until})

    def is_left(self, batch: BatchDoc) -> bool:
        """See Claims."""
        return (
            batch["status"] == "running"
            and batch.get("held_until") is not None
            and not self._is_held(batch)
        )

    def _is_held(self, batch: BatchDoc) -> bool:
        until = batch.get("held_until")
        return until is not None and until > timestamp(self._clock())


def _held(batch_id: str) -> Exception:
    from domain.request import Problem, RequestError

    return RequestError([Problem("batch_id", f"{batch_id} is being made by another process")])


def _acquire(path: Path) -> Any:
    """The lock, or None where another process has it."""
    import fasteners

    while True:
        lock = fasteners.InterProcessLock(path)
        if not lock.acquire(blocking=False):
            return None
        # Who held it before may have removed the file that was just locked.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.lockfile.fileno()), path.stat()):
                return lock
        lock.release()
