"""The worker: what it does with batches whose stores or pipelines fail it."""

from __future__ import annotations

import io
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from launcher.claims import FileClaims
from launcher.worker import FIRST_RETRY, Worker
from pipeline.graph import NarrateBatches, Services
from services.artifacts.folder import FolderArtifactStore
from services.errors import Unavailable
from services.ports import Delivery
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import batch_request, encoded, request_document
from tests.fake_services import FakeVoice, FakeWriter
from tests.fakes import UnsteadyStatusStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 30.0
"""Seconds after which a test gives up."""


@dataclass
class Acknowledged:
    """A Subscription that delivers nothing and remembers what was acknowledged."""

    receipts: list[str] = field(default_factory=list)
    away: bool = False

    def check(self) -> None:
        """See Subscription."""

    def receive(self, most: int) -> list[Delivery]:
        """See Subscription."""
        return [][:most]

    def acknowledge(self, delivery: Delivery) -> None:
        """See Subscription."""
        if self.away:
            raise Unavailable("the subscription is away")
        self.receipts.append(delivery.receipt)

    def close(self) -> None:
        """See Subscription."""


@dataclass
class House:
    """A worker in a folder, a clock that a test sets, and a store that it can break."""

    folder: Path
    statuses: UnsteadyStatusStore
    subscription: Acknowledged = field(default_factory=Acknowledged)
    seconds: float = 0.0
    told: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.services = Services(
            writer=FakeWriter(),
            voice=FakeVoice(),
            artifacts=partial(FolderArtifactStore, str(self.folder / "output")),
            statuses=partial(SqliteStatusStore, self.folder / "status.db"),
            max_in_flight=4,
        )
        self.worker = Worker(
            statuses=self.statuses,
            claims=FileClaims(self.folder / "status.db"),
            subscription=self.subscription,
            flow=NarrateBatches(self.services),
            output=str(self.folder / "output"),
            console=Console(file=self.told, width=200),
            now=lambda: self.seconds,
        )

    def deliver(self, data: bytes, message_id: str = "1") -> None:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        self.worker.take(Delivery(data, message_id, moment, receipt=f"receipt {message_id}"))

    def tend_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.told.getvalue()
            self.worker.tend()

    def status(self, batch_id: str = "cafe") -> str:
        with closing(SqliteStatusStore(self.folder / "status.db")) as statuses:
            batch = statuses.batch(batch_id)
            return batch["status"] if batch else "none"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with closing(UnsteadyStatusStore(tmp_path / "status.db")) as statuses:
        yield House(tmp_path, statuses)


def request(**fields: object) -> bytes:
    return encoded(request_document(batch_id="cafe", **fields))


def test_a_message_is_acknowledged_when_its_batch_is_stored(house: House) -> None:
    """And told with its owner and its size; at the end with what was made."""
    house.deliver(request(owner="ana@example.com"))
    assert house.subscription.receipts == []
    house.tend_until(lambda: not house.worker.busy)
    assert house.subscription.receipts == ["receipt 1"]
    assert "Batch cafe of ana@example.com: 1 narrations." in house.told.getvalue()
    assert "Batch cafe completed: 1 of 1 narrations" in house.told.getvalue()


def test_what_was_not_accepted_is_not_acknowledged(house: House) -> None:
    """A pipeline that could not reach the store leaves the message to come again."""
    nowhere = partial(SqliteStatusStore, "/proc/nowhere/status.db")
    house.worker.flow = NarrateBatches(replace(house.services, statuses=nowhere))
    house.deliver(request())
    house.tend_until(lambda: not house.worker.busy)
    assert house.subscription.receipts == []


def test_an_acknowledgement_that_fails_does_no_harm(house: House) -> None:
    """The batch is made; the message comes again, and is known."""
    house.subscription.away = True
    house.deliver(request())
    house.tend_until(lambda: not house.worker.busy)
    assert house.status() == "completed"
    house.subscription.away = False
    house.deliver(request(), message_id="1")
    house.tend_until(lambda: not house.worker.busy)
    assert house.subscription.receipts == ["receipt 1"]


def test_a_batch_whose_pipeline_broke_off_is_made_later(house: House) -> None:
    """It is queued meanwhile, and taken up after the wait, by this worker or by another."""
    output = house.folder / "output"
    output.mkdir()
    blocked = output / "batches"
    blocked.write_text("a file where a folder should be")  # so that no manifest can be written
    house.deliver(request())
    house.tend_until(lambda: not house.worker.busy)
    assert house.subscription.receipts == ["receipt 1"]
    assert house.status() == "queued"
    assert list(house.worker.unfinished()) == []  # it waits for its time

    blocked.unlink()
    house.seconds += FIRST_RETRY + 1
    house.tend_until(lambda: house.status() == "completed")


def test_what_is_left_in_the_store_is_found(house: House) -> None:
    """Queued batches, and running ones whose process is gone; not those that have ended."""
    store = house.statuses
    for batch_id, run_id in (("left", "gone"), ("queued", ""), ("done", "x")):
        store.accept(batch_id, batch_request("Chá"), run_id=run_id, resume=False)
    store.merge_batch("done", {"status": "completed"})
    assert set(house.worker.unfinished()) == {"left", "queued"}


def test_a_second_message_leaves_files_alone_that_are_being_written(house: House) -> None:
    """What is half-written belongs to the run that writes it, until that has ended."""
    folder = house.folder / "output" / "batches" / "cafe"
    folder.mkdir(parents=True)
    house.deliver(request())
    (folder / ".being-written.part").write_bytes(b"half")
    house.deliver(request(), message_id="2")
    assert (folder / ".being-written.part").exists()
    house.tend_until(lambda: not house.worker.busy)
    house.statuses.merge_batch("cafe", {"status": "queued"})
    house.worker.take_up("cafe")
    assert not (folder / ".being-written.part").exists()
    house.tend_until(lambda: not house.worker.busy)
    assert sorted(house.subscription.receipts) == ["receipt 1", "receipt 2"]


def test_a_store_that_is_away_is_asked_again_later(house: House) -> None:
    """Taking up a batch fails, and is tried again after a while."""
    house.statuses.accept("cafe", batch_request("Chá"), run_id="", resume=False)
    house.statuses.away = {"cafe"}
    house.worker.take_up("cafe")
    assert not house.worker.busy
    house.statuses.away = set()
    house.seconds += FIRST_RETRY + 1
    house.tend_until(lambda: house.status() == "completed")


def test_a_stop_leaves_everything_in_the_queue(house: House) -> None:
    """Nothing is begun any more, and the next process finds the batch."""
    house.worker.stop()
    house.deliver(request())
    house.tend_until(lambda: not house.worker.busy)
    assert house.worker.leave() == ["cafe"]
    assert house.status() == "queued"
    assert not list((house.folder / "output").rglob("*.mp3"))
