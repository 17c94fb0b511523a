"""A command beside the whole cloud on this machine: python -m tests.emulators [COMMAND …].

Without a command it is your shell; when it ends, so does the cloud.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.emulators.cloud import Cloud
from tests.emulators.firestore import Missing
from tests.emulators.storage import missing


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.emulators", description=__doc__)
    parser.add_argument("--latency", type=float, default=0.6, help="seconds a script takes [0.6]")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="by default your shell")
    given = parser.parse_args()
    if reason := missing():
        parser.error(reason)
    command = given.command or [os.environ.get("SHELL", "sh")]
    try:
        with Cloud(speech=True, latency=given.latency) as cloud:
            for name, value in cloud.environment.items():
                print(f"export {name}={value}", file=sys.stderr)
            here = str(Path(sys.executable).parent)  # where `roteiro` is
            variables = cloud.variables() | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
            return subprocess.run(command, env=variables, check=False).returncode
    except Missing as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
