"""Checks: what is asked of a service to know that it is there."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from services.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

REACH: Final = "check the network, its proxies, and the address where one is set"


@dataclass(frozen=True, slots=True)
class Check:
    """One question to a service.

    Attributes:
        service: as people call it.
        asked: what is asked of it, and what that costs.
        call: asks, and raises a ServiceError where the answer is not as it
            should be; None where the service is not used.
        remedies: by the error's code, where its message has none.
    """

    service: str
    asked: str
    call: Callable[[], None] | None
    remedies: Mapping[str, str] = field(default_factory=dict)


def check_writable(folder: Path, setting: str) -> None:
    """Whether files can be written in a folder, or in what it would be made in.

    Raises:
        Unavailable: `storage_unavailable`, naming the setting.
    """
    try:
        place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise Unavailable(
            f"{folder} cannot be written: {error.strerror}; --{setting} names another place",
            code="storage_unavailable",
        ) from error
