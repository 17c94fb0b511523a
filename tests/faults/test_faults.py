"""Every fault of the table: the items end as it says, at the price it says, and all files are whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.rows import ITEMS, ROWS, Row
from tests.faults.scene import Scene, Time
from tests.faults.table import DOCUMENT, renewed, table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.emulators import storage


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_fault(row: Row, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing is lost, nothing is half-written, and nothing is paid for in vain."""
    emulator: storage.StorageEmulator | None = None
    if row.service == "Cloud Storage":
        request.getfixturevalue("bucket")
        emulator = request.getfixturevalue("storage_emulator")
    firestore = ""
    if row.service == "Firestore":
        request.getfixturevalue("firestore_project")
        firestore = request.getfixturevalue("firestore_emulator")
    with Scene(tmp_path, emulator, firestore) as scene:
        row.arrange(scene)
        scene.run()
        batch = scene.batch()
        calls = (len(scene.gemini.calls), len(scene.speech.calls))
    assert batch["failed_items"] == row.failed
    assert batch["completed_items"] + batch["failed_items"] == batch["total_items"] == ITEMS
    assert batch["progress_percentage"] == 100
    assert batch["status"] == ("partial" if row.failed else "completed")
    assert dict(scene.codes()) == ({row.code: row.failed} if row.failed else {})
    assert calls == (row.written, row.spoken)
    assert Time.seconds >= row.waited
    assert scene.dead_letters() == row.dead_letters
    scene.check_files()


def test_the_table_is_what_is_tested() -> None:
    """docs/reliability.md has every row as its test has it, and no cell is blank."""
    document = DOCUMENT.read_text("utf-8")
    assert renewed(document) == document
    cells = [
        cell.strip() for line in table().splitlines()[2:] for cell in line.strip("|").split("|")
    ]
    assert all(cells)
