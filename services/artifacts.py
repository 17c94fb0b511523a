"""Artifacts on Beam's file systems: a folder, a bucket, one adapter for both."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import PurePosixPath
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
        write = _write_remote if "://" in target else _write_local
        with write(target) as file:
            yield file

    def write(self, path: str, data: bytes) -> str:
        """See ArtifactStore."""
        with self.create(path) as file:
            file.write(data)
        return self.uri(path)

    def open(self, uri: str) -> IO[bytes]:
        """See ArtifactStore."""
        systems = _file_systems()
        try:
            return cast("IO[bytes]", systems.open(uri, "application/octet-stream", _as_it_is()))
        except Exception as error:
            if not _exists(systems, uri):
                raise Refused(f"{uri} is not there", code="not_found") from error
            raise _unavailable("read", uri, error) from error

    def existing(self, folder: str) -> frozenset[str]:
        """See ArtifactStore."""
        systems, pattern = _file_systems(), self.uri(f"{folder}/**")
        try:
            (found,) = systems.match([pattern])
        except Exception as error:
            raise _unavailable("list", pattern, error) from error
        return frozenset(entry.path for entry in found.metadata_list)


@contextmanager
def _write_local(target: str) -> Iterator[IO[bytes]]:
    systems, final = _file_systems(), PurePosixPath(target)
    partial = str(final.with_name(f".{final.name}.{uuid.uuid4().hex}.part"))
    try:
        with systems.create(partial, _content_type(target), _as_it_is()) as file:
            yield file
        systems.rename([partial], [target])
    except BaseException as error:
        if systems.exists(partial):
            systems.delete([partial])
        if isinstance(error, OSError):  # Beam's own errors are OSErrors too
            raise _unavailable("write", target, error) from error
        raise


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
    return CONTENT_TYPES.get(PurePosixPath(target).suffix, "application/octet-stream")


def _unavailable(verb: str, target: str, error: Exception) -> ServiceError:
    return Unavailable(f"cannot {verb} {target}: {error}", code="storage_unavailable")
