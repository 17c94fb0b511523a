"""Making: what a process that leaves in the middle of a pipeline writes down."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from domain.work import Message
from launcher.making import Making
from pipeline.graph import NarrateBatches, Services
from services.artifacts.folder import FolderArtifactStore
from services.statuses.coalescing import CoalescingStatusStore
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import encoded, request_document
from tests.fake_services import FakeVoice, FakeWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.ports import Speech, Utterance

PATIENCE = 30.0
"""Seconds after which a test gives up."""
NEVER = 3_600.0


@dataclass
class Hanging(FakeVoice):
    """A voice that does not answer in one language until a file is there."""

    folder: Path | None = None

    def speak(self, utterance: Utterance) -> Speech:
        """Silence, sooner or later."""
        assert self.folder
        until = time.monotonic() + PATIENCE
        while utterance.language == "en-US" and not (self.folder / "over").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        return super().speak(utterance)


def never(path: Path) -> CoalescingStatusStore:
    """A store that writes nothing of itself."""
    return CoalescingStatusStore(SqliteStatusStore(path), NEVER)


@pytest.mark.parametrize(
    ("leave", "status"),
    [(Making.leave, "queued"), (partial(Making.settle, cancelled=True), "cancelled")],
)
def test_who_leaves_writes_down_what_was_made(
    tmp_path: Path, leave: Callable[[Making], None], status: str
) -> None:
    """What the steps have recorded is stored first, though their pipeline never ends."""
    agent = {"target_languages": ["pt-BR", "en-US"]}
    data = encoded(request_document(batch_id="cafe", agent=agent))
    services = Services(
        writer=FakeWriter(),
        voice=Hanging(folder=tmp_path),
        artifacts=partial(FolderArtifactStore, str(tmp_path)),
        statuses=partial(never, tmp_path / "status.db"),
        max_in_flight=4,
    )
    with closing(SqliteStatusStore(tmp_path / "status.db")) as statuses:
        making = Making(
            Message(data, "cafe", "run-1"), "cafe", lambda: NarrateBatches(services), statuses
        )
        making.start()
        try:
            until = time.monotonic() + PATIENCE
            while not list(tmp_path.rglob("*.pt-BR.mp3")):
                assert time.monotonic() < until
                time.sleep(0.02)
            while (batch := statuses.batch("cafe")) is None or not batch["completed_items"]:
                assert time.monotonic() < until
                leave(making)
            assert (batch["status"], batch["completed_items"]) == (status, 1)
        finally:
            (tmp_path / "over").touch()
            making.join(PATIENCE)
