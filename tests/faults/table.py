"""The table of faults as docs/reliability.md has it; `python -m tests.faults.table` writes it there.

What stands in a row is what its test has seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.faults.rows import ITEMS, ROWS, Row

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN: Final = "<!-- The table of faults: python -m tests.faults.table -->"
END: Final = "<!-- Its end. -->"
HEAD: Final = (
    "| what fails | how | items made | items failed | code | calls of Gemini | of Text-to-Speech |",
    "|---|---|---|---|---|---|---|",
)


def table() -> str:
    """Markdown."""
    return "\n".join([*HEAD, *map(_line, ROWS)])


def _line(row: Row) -> str:
    code = f"`{row.code}`" if row.code else "–"
    how = f"{row.fault}; kept as a dead letter" if row.dead_letters else row.fault
    cells = (row.service, how, ITEMS - row.failed, row.failed, code, row.written, row.spoken)
    return f"| {' | '.join(map(str, cells))} |"


def renewed(document: str) -> str:
    """The document with the table of now."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text("utf-8")), "utf-8")
