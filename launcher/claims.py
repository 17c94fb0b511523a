"""Claims: which process on this machine is making a batch."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def claim(database: Path, batch_id: str) -> Iterator[None]:
    """Hold a batch for this process; the system lets go when it dies.

    Raises:
        RequestError: where another process holds it, or the claim cannot be written.
    """
    from domain.request import Problem, RequestError

    path = _path(database, batch_id)
    try:
        lock = _acquire(path)
    except OSError as error:
        reason = f"{path} cannot be written: {error.strerror}; --status names another place"
        raise RequestError([Problem("status", reason)]) from None
    if lock is None:
        raise RequestError([Problem("batch_id", f"{batch_id} is being made by another process")])
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def is_claimed(database: Path, batch_id: str) -> bool:
    """Whether a process on this machine is making the batch now."""
    path = _path(database, batch_id)
    if not path.exists():
        return False
    lock = _acquire(path)
    if lock is None:
        return True
    path.unlink(missing_ok=True)
    lock.release()
    return False


def _path(database: Path, batch_id: str) -> Path:
    return database.with_name(f".{database.name}.{batch_id}.lock")


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
