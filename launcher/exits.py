"""Exit codes; `roteiro --help` lists them."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
SOME_FAILED: Final = 1
"""The command was carried out, but for some of its narrations."""
BAD_INPUT: Final = 2
"""Nothing was begun: the request, a setting or a name is wrong, or a store is away."""
INTERRUPTED: Final = 130
"""As of a shell: 128 + SIGINT."""


class BadInput(Exception):
    """Something was asked that cannot be done; the message says what would be right."""
