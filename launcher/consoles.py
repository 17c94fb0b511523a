"""Consoles: people read tables, programs read JSON, and errors go their own way."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    sys.stdout.write(f"{_dump(document)}\n")


def print_json_with(document: Mapping[str, Any], name: str, values: Iterable[Any]) -> None:
    """The same, with one more field whose list is as long as it likes to be."""
    head = _dump(document).removesuffix("\n}")
    sys.stdout.write(f"{head},\n  {json.dumps(name)}: [")
    separator = "\n"
    for value in values:
        sys.stdout.write(separator + textwrap.indent(_dump(value), "    "))
        separator = ",\n"
    sys.stdout.write("\n  ]\n}\n")


def _dump(document: Any) -> str:
    """Letters as they are where the output has them."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return json.dumps(document, ensure_ascii=ascii_only, indent=2)


def print_problems(subject: str, problems: Iterable[Problem]) -> None:
    """Every problem of a request, under one heading."""
    listed = list(problems)
    console = error_console()
    count = "1 problem" if len(listed) == 1 else f"{len(listed):,} problems"
    console.print(f"{subject}: {count}; nothing was touched.", soft_wrap=True)
    for problem in listed:
        console.print(f"  {problem}", soft_wrap=True)


def plain_table(*columns: str) -> Table:
    """A table that reads well without colour and copies well without borders.

    Args:
        columns: headings; a `>` behind one aligns its column to the right.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        name = column.removesuffix(">")
        table.add_column(name, justify="left" if name == column else "right", overflow="fold")
    return table


def clock(seconds: float) -> str:
    """75.4 → 1:15, 3700 → 1:01:40."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def ago(seconds: float) -> str:
    """40 → `just now`, 720 → `12 min ago`, 7300 → `2 h ago`, 90000 → `25 h ago`."""
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    hours = seconds // 3600
    return f"{hours:.0f} h ago" if hours < 48 else f"{hours // 24:.0f} days ago"


def moment(timestamp: str) -> str:
    """`2026-03-01T09:30:00.123+00:00` → `2026-03-01 09:30:00`, of UTC as all of them are."""
    return timestamp[:19].replace("T", " ")
