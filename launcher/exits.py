"""Exit codes; `roteiro --help` lists them."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

DONE: Final = 0
SOME_FAILED: Final = 1
"""The command was carried out, but for some of its narrations."""
BAD_INPUT: Final = 2
"""Nothing was begun: the request, a setting or a name is wrong, or a store is away."""
INTERRUPTED: Final = 130
"""As of a shell: 128 + SIGINT."""


class BadInput(Exception):
    """Something was asked that cannot be done; the message says what would be right."""


def leave_at_once(code: int) -> NoReturn:
    """End the process while its threads still wait for answers."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
