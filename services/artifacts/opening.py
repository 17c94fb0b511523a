"""Opening by scheme: what one store wrote is read beside another."""

from __future__ import annotations

import threading
from typing import IO, TYPE_CHECKING

from services.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from services.ports import ArtifactStore


class OpensAnywhere:
    """A store that opens what others have written, too.

    A batch's documents keep the uris of its files, wherever new ones go.

    Args:
        store: what is written to and listed.
        by_scheme: make the store that opens uris of a scheme, `gs` for gs://…
            and an empty one for paths; called once, when it is needed.
    """

    def __init__(
        self, store: ArtifactStore, by_scheme: Mapping[str, Callable[[], ArtifactStore]]
    ) -> None:
        self._store = store
        self._by_scheme = by_scheme
        self._others: dict[str, ArtifactStore] = {}
        self._lock = threading.Lock()

    def check(self) -> None:
        """See ArtifactStore."""
        self._store.check()

    def uri(self, path: str) -> str:
        """See ArtifactStore."""
        return self._store.uri(path)

    def create(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """See ArtifactStore."""
        return self._store.create(path)

    def write(self, path: str, data: bytes) -> str:
        """See ArtifactStore."""
        return self._store.write(path, data)

    def create_only(self, path: str, data: bytes) -> bool:
        """See ArtifactStore."""
        return self._store.create_only(path, data)

    def existing(self, folder: str) -> Mapping[str, int]:
        """See ArtifactStore."""
        return self._store.existing(folder)

    def open(self, uri: str) -> IO[bytes]:
        """See ArtifactStore; any uri of a known scheme."""
        scheme = _scheme(uri)
        if scheme == _scheme(self._store.uri("")):
            return self._store.open(uri)
        if scheme not in self._by_scheme:
            raise Refused(f"cannot read {uri}: {scheme}:// is no storage that is known here")
        with self._lock:
            if scheme not in self._others:
                self._others[scheme] = self._by_scheme[scheme]()
        return self._others[scheme].open(uri)


def _scheme(uri: str) -> str:
    return uri.partition("://")[0] if "://" in uri else ""
