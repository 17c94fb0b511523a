"""Consoles: people read tables, programs read JSON, and errors go their own way."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.request import Problem

PIPE_WIDTH = 160
"""Columns where the output is no terminal, so that a path stays on one line."""


def output_console() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, markup=False)


def error_console() -> Console:
    """Standard error."""
    return Console(
        stderr=True,
        width=None if sys.stderr.isatty() else PIPE_WIDTH,
        highlight=False,
        markup=False,
    )


def print_json(document: Any) -> None:
    """One JSON document, indented."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def print_problems(subject: str, problems: Iterable[Problem]) -> None:
    """Every problem of a request, under one heading."""
    listed = list(problems)
    console = error_console()
    count = "1 problem" if len(listed) == 1 else f"{len(listed)} problems"
    console.print(f"{subject}: {count}; nothing was touched.", soft_wrap=True)
    for problem in listed:
        console.print(f"  {problem}", soft_wrap=True)


def plain_table(*columns: str) -> Table:
    """A table that reads well without colour and copies well without borders."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        name, _, right = column.partition(">")
        table.add_column(name, justify="right" if column.endswith(">") else "left", overflow="fold")
        assert not right  # noqa: S101 - the mark is the last character
    return table


def clock(seconds: float) -> str:
    """75.4 → 1:15, 3700 → 1:01:40."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
