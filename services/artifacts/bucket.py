"""Artifacts in a bucket of Cloud Storage, through its own client."""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
import tempfile
import threading
import weakref
from base64 import b64encode
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Final, cast

import google_crc32c
import requests
import urllib3
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud.storage import Blob, Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from services.errors import Overloaded, Refused, ServiceError, Unavailable
from services.googleapi import LOGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEME: Final = "gs://"
CONTENT_TYPES: Final = {
    ".mp3": "audio/mpeg",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
SPOOL_BYTES: Final = 8 * 1024 * 1024
"""Kept in memory of a file on its way to the bucket; the rest waits on disk."""
CHUNK_BYTES: Final = 8 * 1024 * 1024
"""Of one request of a larger file, either way; the service wants multiples of 256 KiB."""
NAME_BYTES: Final = 1024
"""Of an object's name in UTF-8; https://cloud.google.com/storage/docs/objects#naming"""
DEFAULT_CONNECTIONS: Final = 100
DEFAULT_TIMEOUT: Final = 60.0
DEFAULT_DEADLINE: Final = 120.0
DEFAULT_BACKOFF: Final = 1.0
ROLE: Final = "roles/storage.objectUser"
"""The smallest of Google's own that may list, read, create and replace objects."""

# Computed in Python, CRC32C takes longer than the upload.
_CHECKSUM: Final = "md5" if google_crc32c.implementation == "python" else "crc32c"


class BucketArtifactStore:
    """Objects below a prefix of a bucket.

    What was written is told only when the bucket has answered with the
    checksum of the same bytes; what is read is compared with its checksum at
    its end. A call that fails for a while is made again: to write an object
    twice is to write it once.

    Instances connect with their first call, share one client among all
    threads, and pickle without it. STORAGE_EMULATOR_HOST names a server to
    use instead of Google's, without credentials.

    Args:
        root: gs://bucket or gs://bucket/prefix.
        connections: kept open; as many as there are threads. More threads
            work, but open and close connections of their own.
        timeout: seconds to wait for a connection, and for each answer.
        deadline: seconds after which a call is not made again.
        backoff: seconds before a second call at most; doubled for each further one.

    Raises:
        Refused: `invalid_argument`, where the root names no bucket.
    """

    def __init__(
        self,
        root: str,
        *,
        connections: int = DEFAULT_CONNECTIONS,
        timeout: float = DEFAULT_TIMEOUT,
        deadline: float = DEFAULT_DEADLINE,
        backoff: float = DEFAULT_BACKOFF,
    ) -> None:
        self._root = root.rstrip("/")
        self._bucket, self._prefix = _parts(self._root)
        self._settings = {
            "connections": connections,
            "timeout": timeout,
            "deadline": deadline,
            "backoff": backoff,
        }
        self._connections = connections
        self._calls: dict[str, Any] = {
            "timeout": timeout,
            "retry": Retry(
                DEFAULT_RETRY._predicate,  # noqa: SLF001 - the client's own judgement
                initial=backoff,
                timeout=deadline,
                on_error=_let_go,
            ),
        }
        self._lock = threading.Lock()
        self._client: Client | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._root, self._settings)

    def check(self) -> None:
        """See ArtifactStore; whether objects may be listed and created, without making any."""
        probe = f"{self._prefix}/check" if self._prefix else "check"
        with _telling("write", self._root):
            bucket = self._connected().bucket(self._bucket)
            for _ in bucket.list_blobs(prefix=f"{probe}/", max_results=1, **self._calls):
                pass
            # An upload that is begun and never finished leaves no object; it expires by itself.
            bucket.blob(probe).create_resumable_upload_session(**self._calls)

    def uri(self, path: str) -> str:
        """See ArtifactStore."""
        return f"{self._root}/{path}"

    @contextmanager
    def create(self, path: str) -> Iterator[IO[bytes]]:
        """See ArtifactStore; the upload begins once all bytes are there."""
        target = self.uri(path)
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            try:
                yield cast("IO[bytes]", spool)
            except OSError as error:  # of the disk that the spool is on
                raise _unavailable("write", target, str(error)) from error
            self._upload(target, cast("IO[bytes]", spool))

    def write(self, path: str, data: bytes) -> str:
        """See ArtifactStore."""
        target = self.uri(path)
        self._upload(target, io.BytesIO(data))
        return target

    def create_only(self, path: str, data: bytes) -> bool:
        """See ArtifactStore; the bucket itself decides who was first."""
        return self._upload(self.uri(path), io.BytesIO(data), if_generation_match=0)

    def open(self, uri: str) -> IO[bytes]:
        """See ArtifactStore; any object of any bucket, a few megabytes at a time."""
        bucket, name = _parts(uri)
        with _telling("read", uri):
            blob = self._connected().bucket(bucket).get_blob(name, **self._calls)
        if blob is None:
            raise Refused(f"{uri} is not there", code="not_found")
        return io.BufferedReader(_ObjectReader(blob, uri, self._calls))

    def existing(self, folder: str) -> dict[str, int]:
        """See ArtifactStore; a missing bucket is an error."""
        place = self.uri(folder)
        bucket, name = _parts(place)
        with _telling("list", place):
            found = self._connected().list_blobs(
                bucket, prefix=f"{name}/", fields="items(name,size),nextPageToken", **self._calls
            )
            return {
                f"{SCHEME}{bucket}/{blob.name}": int(blob.size)
                for blob in found
                if not blob.name.endswith("/")  # what the console makes of an empty folder
            }

    def close(self) -> None:
        """Let go of the connections; the next call makes others."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _upload(self, target: str, file: IO[bytes], **conditions: int) -> bool:
        """Write an object; False where it may not be, by the conditions."""
        bucket, name = _parts(target)
        if len(name.encode()) > NAME_BYTES or "\n" in name or "\r" in name:
            reason = f"a name has {NAME_BYTES} bytes at most, and no line breaks"
            raise Refused(f"cannot write {target}: {reason}", code="invalid_argument")
        with _telling("write", target):
            checksum, size = _sum(file)
            file.seek(0)
            blob = self._connected().bucket(bucket).blob(name, chunk_size=CHUNK_BYTES)
            try:
                blob.upload_from_file(
                    file,
                    size=size,
                    content_type=_content_type(name),
                    checksum=_CHECKSUM,
                    **conditions,
                    **self._calls,
                )
            except exceptions.PreconditionFailed as error:
                if not conditions:
                    raise
                _let_go(error)
                return False
        # The service verifies small files, the client large ones; here it is sure for both.
        if _stored_checksum(blob) != checksum:
            raise _unavailable("write", target, "its bytes were changed on their way; try again")
        return True

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = _connect(self._connections)
                # A client is part of a cycle, and would keep its connections for a while.
                weakref.finalize(self, self._client.close)
            return self._client


def _rebuild(root: str, settings: dict[str, Any]) -> BucketArtifactStore:
    return BucketArtifactStore(root, **settings)


def _parts(uri: str) -> tuple[str, str]:
    """gs://bucket/a/b → bucket, a/b."""
    bucket, _, name = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not bucket:
        raise Refused(f"{uri} names no bucket; write gs://bucket/prefix")
    return bucket, name


def _connect(connections: int) -> Client:
    # Without a project: only whoever makes or lists buckets needs one.
    client = Client(project=None)
    session = client._http  # noqa: SLF001 - the client has no other way to a larger pool
    if not session.is_mtls:  # else an adapter with the certificate is there already
        adapter = HTTPAdapter(pool_maxsize=connections)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
    return client


def _content_type(name: str) -> str:
    return CONTENT_TYPES.get(posixpath.splitext(name)[1], "application/octet-stream")


# ── Bytes ─────────────────────────────────────────────────────────────────────


def _new_sum() -> Any:
    return hashlib.md5(usedforsecurity=False) if _CHECKSUM == "md5" else google_crc32c.Checksum()


def _sum(file: IO[bytes]) -> tuple[str, int]:
    """A file's checksum, as the service writes it, and its size in bytes."""
    file.seek(0)
    checksum, size = _new_sum(), 0
    while chunk := file.read(CHUNK_BYTES):
        checksum.update(chunk)
        size += len(chunk)
    return b64encode(checksum.digest()).decode(), size


def _stored_checksum(blob: Blob) -> str | None:
    return cast("str | None", blob.md5_hash if _CHECKSUM == "md5" else blob.crc32c)


class _ObjectReader(io.RawIOBase):
    """An object's bytes from first to last, a chunk in memory.

    Args:
        blob: with what the service knows of it; its generation is read, or nothing.
        calls: arguments of each call.
    """

    def __init__(self, blob: Blob, uri: str, calls: dict[str, Any]) -> None:
        super().__init__()
        self._blob = blob
        self._uri = uri
        self._calls = calls
        # Reading changes what the blob knows.
        self._size, self._checksum = int(blob.size), _stored_checksum(blob)
        self._sum = _new_sum()
        self._at = 0
        self._chunk = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._chunk and self._at < self._size:
            self._chunk = memoryview(self._next())
        count = min(len(buffer), len(self._chunk))
        buffer[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def _next(self) -> bytes:
        end = min(self._at + CHUNK_BYTES, self._size)
        try:
            with _telling("read", self._uri):
                data = self._blob.download_as_bytes(
                    start=self._at,
                    end=end - 1,
                    raw_download=True,  # as stored, whatever its encoding
                    checksum=None,  # the service has that of the whole only
                    **self._calls,
                )
        except Refused as error:
            if error.code == "not_found":
                raise self._changed() from error
            raise
        self._sum.update(data)
        whole = end < self._size or self._checksum in (None, b64encode(self._sum.digest()).decode())
        if len(data) != end - self._at or not whole:
            raise self._changed()
        self._at = end
        return cast("bytes", data)

    def _changed(self) -> Unavailable:
        return _unavailable("read", self._uri, "it was replaced or cut off meanwhile; try again")


# ── Errors ────────────────────────────────────────────────────────────────────

_SECRET: Final = re.compile(r"upload_id=[^&\s'\")]+")
"""In the address of an upload; whoever has it may go on with it."""


@contextmanager
def _telling(verb: str, uri: str) -> Iterator[None]:
    """What the client raises is raised as the port's error."""
    try:
        yield
    except (
        exceptions.GoogleAPIError,
        GoogleAuthError,
        DataCorruption,
        InvalidResponse,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise _service_error(verb, uri, error) from error


def _service_error(verb: str, uri: str, error: BaseException) -> ServiceError:
    if isinstance(error, exceptions.RetryError) and error.cause is not None:
        error = error.cause
    kind: type[ServiceError] = Refused
    bucket, said = _parts(uri)[0], _said(error)
    match _status(error):
        case 401:
            code, reason = "unauthenticated", f"Google credentials ({said}); {LOGIN}"
        case 403:
            code = "permission_denied"
            reason = f"it is not allowed ({said}); grant {ROLE} on bucket {bucket}"
        case 404:
            code, reason = (
                "not_found",
                f"bucket {bucket} is not there; create it or correct --output",
            )
        case 429:
            kind, code, reason = Overloaded, Overloaded.code, f"too many requests ({said})"
        case status if 400 <= status < 500 and status != 408:
            code, reason = "invalid_argument", said
        case _:
            kind, code, reason = Unavailable, "storage_unavailable", said
    return kind(f"cannot {verb} {uri}: {reason}", code=code)


def _status(error: BaseException) -> int:
    """Of HTTP; 0 where there was no answer."""
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        return 401
    if isinstance(error, exceptions.GoogleAPICallError):
        return int(error.code or 0)
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _let_go(error: BaseException) -> None:
    """Give back the connection of an answer that was an error; the client forgets it."""
    response = getattr(error, "response", None)
    if isinstance(response, requests.Response):
        response.close()


def _said(error: BaseException) -> str:
    """The service's own words, where there are any."""
    words = str(error).split(". ", maxsplit=1)[0].rstrip(".") or type(error).__name__
    response = getattr(error, "response", None)
    if isinstance(response, requests.Response):
        with suppress(KeyError, TypeError, ValueError, requests.RequestException):
            words = str(response.json()["error"]["message"])
        _let_go(error)
    return _SECRET.sub("upload_id=…", words)


def _unavailable(verb: str, uri: str, reason: str) -> Unavailable:
    return Unavailable(f"cannot {verb} {uri}: {reason}", code="storage_unavailable")
