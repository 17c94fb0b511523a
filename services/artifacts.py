"""Artifacts on Beam's file systems: a folder, a bucket, one adapter for both."""

from __future__ import annotations

import io
import itertools
import os
import posixpath
import re
import shutil
import tempfile
import uuid
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final, cast

from services.errors import Refused, ServiceError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apache_beam.io.filesystems import FileSystems

CONTENT_TYPES: Final = {
    ".mp3": "audio/mpeg",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
SPOOL_BYTES: Final = 8 * 1024 * 1024
"""Kept in memory of a file on its way to a bucket; the rest waits on disk."""


class BeamArtifactStore:
    """Files below a root that Beam's FileSystems can write.

    Args:
        root: a folder's path or a bucket's prefix, such as gs://bucket/prefix.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/") or "/"

    def uri(self, path: str) -> str:
        """See ArtifactStore."""
        return f"{self._root}/{path}"

    @contextmanager
    def create(self, path: str) -> Iterator[IO[bytes]]:
        """See ArtifactStore.

        A local file is written under a hidden name and renamed. An object in
        a bucket appears when its upload is complete, which begins only once
        all its bytes are there.
        """
        target = self.uri(path)
        if _is_remote(target):
            with _write_remote(target) as file:
                yield file
        else:
            with _write_local(target) as raw, io.BufferedWriter(raw) as file:
                yield file

    def write(self, path: str, data: bytes) -> str:
        """See ArtifactStore."""
        target = self.uri(path)
        # Bytes at hand need no buffer: of a local file, every system call less counts.
        with _write_remote(target) if _is_remote(target) else _write_local(target) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
        return target

    def open(self, uri: str) -> IO[bytes]:
        """See ArtifactStore."""
        systems = _file_systems()
        try:
            return cast("IO[bytes]", systems.open(uri, "application/octet-stream", _as_it_is()))
        except Exception as error:
            if not _exists(systems, uri):
                raise Refused(f"{uri} is not there", code="not_found") from error
            raise _unavailable("read", uri, error) from error

    def existing(self, folder: str) -> dict[str, int]:
        """See ArtifactStore."""
        place = self.uri(folder)
        return dict(_remote_files(place) if _is_remote(place) else _local_files(place))


def _is_remote(uri: str) -> bool:
    return "://" in uri


def _local_files(folder: str) -> Iterator[tuple[str, int]]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = posixpath.join(place, name)
            yield path, os.stat(path).st_size  # noqa: PTH116 - a Path costs more than the call


def _remote_files(folder: str) -> Iterator[tuple[str, int]]:
    # A pattern cannot quote its own signs; any character stands for them, and is checked here.
    pattern = re.sub(r"[*?\[]", "?", folder) + "/**"
    try:
        (found,) = _file_systems().match([pattern])
    except Exception as error:
        raise _unavailable("list", folder, error) from error
    for entry in found.metadata_list:
        if entry.path.startswith(f"{folder}/"):
            yield entry.path, entry.size_in_bytes


_PROCESS: Final = uuid.uuid4().hex[:12]
_serial: Final = itertools.count()


@contextmanager
def _write_local(target: str) -> Iterator[io.FileIO]:
    folder, name = posixpath.split(target)
    partial = f"{folder}/.{name}.{_PROCESS}-{os.getpid()}-{next(_serial)}.part"
    try:
        with _opened(partial) as file:
            yield file
        os.replace(partial, target)  # noqa: PTH105 - a Path costs more than the call
    except BaseException as error:
        with suppress(OSError):
            os.unlink(partial)  # noqa: PTH108
        if isinstance(error, OSError):
            raise _unavailable("write", target, error) from error
        raise


def _opened(path: str) -> io.FileIO:
    try:
        return io.FileIO(path, "wb")
    except FileNotFoundError:  # the first file of its folder
        os.makedirs(posixpath.dirname(path), exist_ok=True)  # noqa: PTH103
        return io.FileIO(path, "wb")


@contextmanager
def _write_remote(target: str) -> Iterator[IO[bytes]]:
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        yield cast("IO[bytes]", spool)
        spool.seek(0)
        try:
            with _file_systems().create(target, _content_type(target), _as_it_is()) as file:
                shutil.copyfileobj(spool, file)
        except Exception as error:
            raise _unavailable("write", target, error) from error


def _file_systems() -> type[FileSystems]:
    """Beam takes seconds to import; whoever only names files does not need it."""
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


def _as_it_is() -> str:
    from apache_beam.io.filesystem import CompressionTypes

    return CompressionTypes.UNCOMPRESSED


def _exists(systems: type[FileSystems], uri: str) -> bool:
    try:
        return bool(systems.exists(uri))
    except Exception:  # noqa: BLE001 - the error of the read is the one to tell
        return True


def _content_type(target: str) -> str:
    return CONTENT_TYPES.get(posixpath.splitext(target)[1], "application/octet-stream")


def _unavailable(verb: str, target: str, error: Exception) -> ServiceError:
    return Unavailable(f"cannot {verb} {target}: {error}", code="storage_unavailable")
