"""Logs: events with fields, through the standard library's handlers on any runner."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def logger() -> Any:
    """The `roteiro` logger: an event and its fields in one line; handlers add the traceback."""
    return structlog.wrap_logger(
        logging.getLogger("roteiro"),
        processors=[structlog.stdlib.filter_by_level, _one_line],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


_render = structlog.processors.LogfmtRenderer(key_order=["event"], bool_as_flag=False)


def _one_line(
    log: Any, method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, Any]]:
    exc_info = event.pop("exc_info", None)
    line = _render(log, method, event).replace("event=", "", 1)
    return (line,), {"exc_info": exc_info}
