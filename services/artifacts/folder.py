"""Artifacts in a folder."""

from __future__ import annotations

import errno
import io
import itertools
import os
import posixpath
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from services.errors import Refused, Unavailable
from services.retrying import Policy, retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RETRIES: Final = Policy(attempts=5, base=1.0)
"""The waits add up to some seven seconds, fifteen at most."""


class FolderArtifactStore:
    """Files below a folder of this machine.

    Bytes at hand are written again where that fails, since a disk that is full
    or away may not be so for long.

    Args:
        root: the folder's path; it is made where it is missing.
        sleep: waits for so many seconds.
    """

    def __init__(self, root: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._root = root.rstrip("/") or "/"
        self._sleep = sleep

    def check(self) -> None:
        """See ArtifactStore; afterwards the folder is there."""
        try:
            Path(self._root).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._root):
                pass
        except OSError as error:
            raise _unavailable("write", self._root, error) from error

    def uri(self, path: str) -> str:
        """See ArtifactStore."""
        return f"{self._root}/{path}"

    @contextmanager
    def create(self, path: str) -> Iterator[IO[bytes]]:
        """See ArtifactStore; the file has a hidden name until it is whole."""
        with _written(self.uri(path)) as raw, io.BufferedWriter(raw) as file:
            yield file

    def write(self, path: str, data: bytes) -> str:
        """See ArtifactStore."""
        target = self.uri(path)
        retry(partial(_write, target, data), RETRIES, sleep=self._sleep)
        return target

    def create_only(self, path: str, data: bytes) -> bool:
        """See ArtifactStore.

        Where the file system has no hard links, two writers at the very same
        moment may both be told that they wrote it; the file is whole all the same.
        """
        target = self.uri(path)
        try:
            _write(target, data, _link)
        except _Taken:
            return False
        return True

    def open(self, uri: str) -> IO[bytes]:
        """See ArtifactStore; any path of this machine, below the root or not."""
        try:
            return Path(uri).open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Refused(f"{uri} is not there", code="not_found") from error
        except (OSError, ValueError) as error:
            raise _unavailable("read", uri, error) from error

    def existing(self, folder: str) -> dict[str, int]:
        """See ArtifactStore."""
        return dict(_files(self.uri(folder)))


def _write(target: str, data: bytes, settle: Callable[[str, str], None] = os.replace) -> None:
    # Bytes at hand need no buffer: every system call less counts.
    with _written(target, len(data), settle) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]


def _files(folder: str) -> Iterator[tuple[str, int]]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = posixpath.join(place, name)
            yield path, os.stat(path).st_size  # noqa: PTH116 - a Path costs more than the call


_PROCESS: Final = uuid.uuid4().hex[:12]
_serial: Final = itertools.count()
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What file systems without hard links answer to whoever wants one."""


@contextmanager
def _written(
    target: str, size: int | None = None, settle: Callable[[str, str], None] = os.replace
) -> Iterator[io.FileIO]:
    """A file under a hidden name, which `settle` gives its final one when it is whole.

    Raises:
        Unavailable: for errors of the system.
    """
    folder, name = posixpath.split(target)
    unfinished = f"{folder}/.{name}.{_PROCESS}-{os.getpid()}-{next(_serial)}.part"
    try:
        with _opened(unfinished) as file:
            yield file
        if size is not None:
            _check_size(unfinished, size)
        settle(unfinished, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(unfinished)  # noqa: PTH108
        if isinstance(error, OSError):
            raise _unavailable("write", target, error) from error
        raise


class _Taken(Exception):
    """Another file has the name."""


def _link(partial: str, target: str) -> None:
    """Give a file its final name, or raise _Taken."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise _Taken from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise _Taken from None
        os.replace(partial, target)  # noqa: PTH105
    else:
        os.unlink(partial)  # noqa: PTH108


def _check_size(path: str, size: int) -> None:
    """Whether it is all there once the file is closed.

    A file system over a network or at its quota may take a write and lose it
    then, and not all of them say so.
    """
    if os.stat(path).st_size != size:  # noqa: PTH116 - a Path costs more than the call
        raise OSError(errno.EIO, f"of {size} bytes that were written, not all are there")


def _opened(path: str) -> io.FileIO:
    try:
        return io.FileIO(path, "wb")
    except FileNotFoundError:  # the first file of its folder
        os.makedirs(posixpath.dirname(path), exist_ok=True)  # noqa: PTH103
        return io.FileIO(path, "wb")


def _unavailable(verb: str, target: str, error: Exception) -> Unavailable:
    return Unavailable(f"cannot {verb} {target}: {error}", code="storage_unavailable")
