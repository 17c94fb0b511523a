"""`roteiro cache prune`: kept answers that were not used for a while are removed."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from launcher.consoles import output_console
from launcher.exits import DONE, BadInput
from launcher.settings import BUCKET, load_settings
from services.caching import AUDIO, SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from launcher.settings import Flags

_AGE: Final = re.compile(r"(\d{1,6})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ENTRY: Final = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\..+\.part")
"""An entry, or what a process that was killed had begun to write of one."""


def prune(older_than: str, flags: Flags) -> int:
    """Remove entries below an output folder; returns the exit code."""
    age = _age(older_than)
    settings = load_settings(flags, statuses=False)
    if settings.output.startswith(BUCKET):
        bucket = BUCKET + settings.output.removeprefix(BUCKET).partition("/")[0]
        raise BadInput(
            f"{settings.output} is pruned by its bucket: gcloud storage buckets update {bucket} "
            "--lifecycle-file=deploy/lifecycle.json; docs/cache.md has the rule"
        )
    removed, size = 0, 0
    for path, bytes_ in _unused(Path(settings.output), time.time() - age.total_seconds()):
        try:
            path.unlink()
        except FileNotFoundError:  # somebody else prunes, too
            continue
        except OSError as error:
            raise BadInput(f"{path} cannot be removed: {error.strerror}") from None
        removed, size = removed + 1, size + bytes_
        with suppress(OSError):  # while there are others in it
            path.parent.rmdir()
    told = "1 entry" if removed == 1 else f"{removed:,} entries"
    output_console().print(f"Removed {told}, {size / 1e6:.1f} MB.")
    return DONE


def _age(text: str) -> timedelta:
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise BadInput(
            f"--older-than must be a number and s, m, h, d or w, such as 7d (got {text!r})"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _unused(output: Path, since: float) -> Iterator[tuple[Path, int]]:
    """Entries, and their bytes, that were neither written nor read since.

    File systems note the time of a read once a day, as a rule, and some never.

    Args:
        output: root of the deliverables.
        since: seconds since the epoch.
    """
    for folder in (SCRIPTS, AUDIO):
        for place, _, names in os.walk(output / folder):
            for name in filter(_ENTRY.fullmatch, names):
                path = Path(place, name)
                with suppress(FileNotFoundError):
                    found = path.stat()
                    if max(found.st_mtime, found.st_atime) < since:
                        yield path, found.st_size
