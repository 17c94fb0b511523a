"""Exit codes; README.md lists them."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
SOME_FAILED: Final = 1
"""The batch has ended, and some of its items failed."""
BAD_INPUT: Final = 2
"""Nothing was begun: the request, a setting or a name is wrong, or a store is away."""
INTERRUPTED: Final = 130
"""As of a shell: 128 + SIGINT."""
