"""Logs: events with fields, through the standard library's handlers on any runner."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def logger() -> Any:
    """The `roteiro` logger: an event and its fields in one line, a traceback behind it."""
    return structlog.wrap_logger(
        logging.getLogger("roteiro"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            _traceback_last,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


_render = structlog.processors.LogfmtRenderer(key_order=["event"], bool_as_flag=False)


def _traceback_last(log: Any, method: str, event: MutableMapping[str, Any]) -> str:
    trace = event.pop("exception", "")
    line = _render(log, method, event).replace("event=", "", 1)
    return f"{line}\n{trace}" if trace else line
