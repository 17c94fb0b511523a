"""Making: one message on the in-process runner, whose end can be awaited and brought about."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain import keys, status
from services.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.status import BatchDoc
    from domain.work import Message
    from pipeline.graph import NarrateBatches
    from services.ports import StatusStore

LAST_FLUSH: Final = 2.0
"""Seconds that a process which is about to leave gives its status store for the latest progress."""


class Making(threading.Thread):
    """The pipeline of one message, in a thread of its own, so that the main one can be interrupted.

    Args:
        message: the encoded request.
        batch_id: of the batch that it asks for.
        flow: makes the graph; called in the thread, because Beam takes seconds to import.
        statuses: where the batch can be watched.

    Attributes:
        error: what broke the pipeline off, once it has ended.
    """

    def __init__(
        self,
        message: Message,
        batch_id: str,
        flow: Callable[[], NarrateBatches],
        statuses: StatusStore,
    ) -> None:
        super().__init__(name=f"pipeline {batch_id}", daemon=True)
        self.message = message
        self.batch_id = batch_id
        self.error: Exception | None = None
        self._flow = flow
        self._statuses = statuses
        self._steps: StatusStore | None = None  # the steps' own store, which merges wait in
        self._stopped = threading.Event()

    def run(self) -> None:
        """Run the pipeline to its end."""
        try:
            import apache_beam as beam

            from pipeline.options import local_bounded

            flow = self._flow()
            if self._stopped.is_set():
                return
            self._steps = flow.statuses()
            pipeline = beam.Pipeline(options=local_bounded())
            messages = pipeline | "Read requests" >> beam.Create([self.message])
            _ = messages | "Narrate batches" >> flow
            pipeline.run().wait_until_finish()
        except Exception as error:  # noqa: BLE001 - whoever waits for the thread tells it
            self.error = error

    def batch(self) -> BatchDoc | None:
        """The batch as this pipeline has it; None until it was accepted."""
        batch = self._statuses.batch(self.batch_id)
        return batch if batch and batch["run_id"] == self.message.run_id else None

    def stop(self) -> None:
        """Cancel the batch: calls under way finish; may be asked again and again.

        The request is repeated because accepting a batch takes back an earlier one.
        """
        self._stopped.set()
        batch = self.batch()
        if batch and batch["status"] == "running" and not batch.get("cancel_requested_at"):
            now = status.timestamp(datetime.now(UTC))
            self._statuses.merge_batch(self.batch_id, {"cancel_requested_at": now})

    def _flush(self) -> None:
        """Store what the steps have recorded, where the store has it soon enough."""
        steps = self._steps
        if steps is None:
            return

        def flush() -> None:
            with suppress(ServiceError):
                steps.flush()

        flushing = threading.Thread(target=flush, name="last flush", daemon=True)
        flushing.start()
        flushing.join(LAST_FLUSH)

    def settle(self, *, cancelled: bool) -> None:
        """Write down the end of a batch whose pipeline will not do it any more."""
        self._flush()
        batch = self.batch()
        if batch is not None and batch["status"] not in status.TERMINAL:
            end(batch, self._statuses, cancelled=cancelled)

    def leave(self) -> bool:
        """Put an unfinished batch back in the queue, for the next process that takes it up.

        One that somebody wants to stop is cancelled instead. Returns whether it waits now.
        """
        self._flush()
        batch = self.batch()
        if batch is None:  # not accepted: it waits where it was
            return True
        if batch["status"] in status.TERMINAL:
            return False
        if batch.get("cancel_requested_at"):
            end(batch, self._statuses, cancelled=True)
            return False
        now = datetime.now(UTC)
        self._statuses.merge_batch(self.batch_id, status.taken_up(batch, "", now))
        return True

    def told(self) -> str:
        """What broke it off, in a line."""
        return told(self.error) if self.error else ""


def told(error: Exception) -> str:
    """An error in a line."""
    if isinstance(error, ServiceError):
        return error.message
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first} (--verbose shows its traceback)"


def end(batch: BatchDoc, statuses: StatusStore, *, cancelled: bool) -> None:
    """Write down the end of a batch that nobody makes any more, and first those of its jobs.

    Args:
        batch: with its counts; of one that has ended, only jobs without an end are written.
        statuses: where it is.
        cancelled: whether what is missing is cancelled, or failed.
    """
    now, batch_id = datetime.now(UTC), batch["batch_id"]
    jobs = status.broken_off_jobs(statuses.jobs(batch_id), now, cancelled=cancelled)
    statuses.merge_jobs(batch_id, dict(jobs))
    statuses.merge_batch(batch_id, status.broken_off(batch, now, cancelled=cancelled))


def sweep(output: str, batch_id: str) -> None:
    """Remove what a process that was killed had begun to write of a batch, in a folder."""
    if "://" not in output:
        for partial in Path(output, keys.batch_folder(batch_id)).rglob(".*.part"):
            with suppress(OSError):
                partial.unlink()
