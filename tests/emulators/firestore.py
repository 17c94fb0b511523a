"""The Firestore emulator of npm, mended (see server.mjs), on this machine.

`python -m tests.emulators.firestore --port 8086` serves it by hand, for
`FIRESTORE_EMULATOR_HOST=127.0.0.1:8086`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import fasteners

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "FIRESTORE_EMULATOR_HOST"
"""What Google's client libraries look for; where it is set, that emulator is used."""
FOLDER: Final = Path(__file__).parent
INSTALL_SECONDS: Final = 300.0


class Missing(Exception):
    """There is no emulator to be had here, and why."""


class FirestoreEmulator:
    """An emulator; entered, it serves on a port of 127.0.0.1.

    Args:
        port: 0 takes a free one.
        environment: may name an emulator that is there already.

    Attributes:
        host: where it is, as Google's client libraries want to know it.

    Raises:
        Missing: on entering, without Node.js or its packages.
    """

    def __init__(self, port: int = 0, environment: Mapping[str, str] = os.environ) -> None:
        self.host = environment.get(VARIABLE, "")
        self._port = port
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if self.host:
            return self
        install()
        self._process = subprocess.Popen(
            ["node", "server.mjs", str(self._port)],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self._process.stdout is not None
        self.host = self._process.stdout.readline().strip()
        if not self.host:
            self.__exit__()
            raise Missing("Node.js did not start the Firestore emulator")
        return self

    def wait(self) -> None:
        """Until it ends."""
        if self._process is not None:
            self._process.wait()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()


def install() -> None:
    """The packages of package-lock.json, once.

    Raises:
        Missing: saying what is.
    """
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        raise Missing("the Firestore emulator needs Node.js and npm")
    lock, stamp = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".stamp"
    # Test workers are processes.
    with fasteners.InterProcessLock(FOLDER / ".installing"):
        if stamp.is_file() and stamp.read_bytes() == lock.read_bytes():
            return
        try:
            subprocess.run(
                [npm, "ci", "--ignore-scripts"],
                cwd=FOLDER,
                check=True,
                capture_output=True,
                encoding="utf-8",
                timeout=INSTALL_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            raise Missing(
                f"npm could not install the Firestore emulator: {error.stderr}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise Missing(f"npm did not install the Firestore emulator: {error}") from error
        stamp.write_bytes(lock.read_bytes())


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8086)
    given = parser.parse_args()
    with suppress(KeyboardInterrupt), FirestoreEmulator(given.port, {}) as emulator:
        print(f"Firestore, emulated, on {emulator.host}", flush=True)
        emulator.wait()


if __name__ == "__main__":
    main()
