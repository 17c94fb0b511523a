"""Artifacts in a folder."""

from __future__ import annotations

import errno
import io
import itertools
import os
import posixpath
import tempfile
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from services.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class FolderArtifactStore:
    """Files below a folder of this machine.

    Args:
        root: the folder's path; it is made where it is missing.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/") or "/"

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
        # Bytes at hand need no buffer: every system call less counts.
        with _written(target) as file:
            _write_all(file, data)
        return target

    def create_only(self, path: str, data: bytes) -> bool:
        """See ArtifactStore.

        Where the file system has no hard links, two writers at the very same
        moment may both be told that they wrote it; the file is whole all the same.
        """
        target = self.uri(path)
        try:
            with _written(target, _link) as file:
                _write_all(file, data)
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
    target: str,
    settle: Callable[[str, str], None] = os.replace,
) -> Iterator[io.FileIO]:
    """A file under a hidden name, which `settle` gives its final one when it is whole.

    Raises:
        Unavailable: for errors of the system.
    """
    folder, name = posixpath.split(target)
    partial = f"{folder}/.{name}.{_PROCESS}-{os.getpid()}-{next(_serial)}.part"
    try:
        with _opened(partial) as file:
            yield file
        settle(partial, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(partial)  # noqa: PTH108
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


def _write_all(file: io.FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _opened(path: str) -> io.FileIO:
    try:
        return io.FileIO(path, "wb")
    except FileNotFoundError:  # the first file of its folder
        os.makedirs(posixpath.dirname(path), exist_ok=True)  # noqa: PTH103
        return io.FileIO(path, "wb")


def _unavailable(verb: str, target: str, error: Exception) -> Unavailable:
    return Unavailable(f"cannot {verb} {target}: {error}", code="storage_unavailable")
