"""The worker: several batches at once in one process, each a bounded run of the graph."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from domain.request import RequestError, parse_request
from domain.status import TERMINAL
from domain.work import Message
from launcher.consoles import clock
from launcher.making import Making, end, sweep
from launcher.requests import stored_request
from launcher.unfinished import unfinished
from services.errors import ServiceError
from services.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from domain.status import BatchDoc
    from launcher.claims import Claims
    from pipeline.graph import NarrateBatches
    from services.ports import Delivery, StatusStore, Subscription

FIRST_LOOK: Final = 0.25
"""Seconds until it is asked whether a batch was accepted; twice as long each time after."""
FIRST_RETRY: Final = 5.0
LAST_RETRY: Final = 300.0
"""Seconds until a batch whose pipeline broke off is taken up again, the first time and at most."""
NOT_ACCEPTED: Final = "a message was not accepted and will come again"

log = logger()


@dataclass
class _Task:
    """A message that is being worked on.

    Attributes:
        delivery: what is to be acknowledged once the batch is accepted; None
            where it is, or where the batch was taken up from the status store.
        look_at: monotonic seconds of the next look at it.
    """

    making: Making
    held: ExitStack
    delivery: Delivery | None
    look_at: float
    patience: float = FIRST_LOOK
    announced: bool = False


@dataclass
class Worker:
    """Makes batches side by side, acknowledges their messages, and leaves none behind.

    A message is acknowledged when the status store has its batch, or when its
    dead letter is stored: until then the subscription delivers it again, and
    from then on the store tells of it. A batch whose pipeline broke off is
    taken up again, after ever longer waits.

    Attributes:
        statuses: where batches are; claims: who makes them.
        subscription: what acknowledges.
        flow: the graph, the same for all.
        output: root of the deliverables.
        console: where people read what happens.
    """

    statuses: StatusStore
    claims: Claims
    subscription: Subscription
    flow: NarrateBatches
    output: str
    console: Console
    now: Callable[[], float] = time.monotonic
    _tasks: list[_Task] = field(default_factory=list)
    _waits: dict[str, float] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _left: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._watch = self.flow.watch()  # held, or it would be another one each time

    @property
    def busy(self) -> int:
        """Messages that are being worked on."""
        return len(self._tasks)

    def take(self, delivery: Delivery) -> None:
        """Begin with a message."""
        message = Message.published(delivery.data, delivery.message_id, delivery.published_at)
        try:
            batch_id = parse_request(message.data).batch_id or message.batch_id
        except RequestError:
            batch_id = message.batch_id  # the graph keeps its dead letter
        with ExitStack() as held:
            try:
                if all(task.making.batch_id != batch_id for task in self._tasks):
                    # Where somebody else holds it, the store says that this is a duplicate.
                    with suppress(RequestError):
                        self._claim(batch_id, held)
            except ServiceError as error:
                log.warning(NOT_ACCEPTED, reason=error.message)
            else:
                self._begin(message, batch_id, held.pop_all(), delivery)

    def _claim(self, batch_id: str, held: ExitStack) -> None:
        """Hold a batch; nobody writes its files then, and what was left half-written can go.

        Raises:
            RequestError: where another process holds it.
        """
        held.enter_context(self.claims.claim(batch_id))
        sweep(self.output, batch_id)

    def unfinished(self) -> Iterator[str]:
        """Batches that wait in the store, or whose process is gone, oldest first."""
        mine = {task.making.batch_id for task in self._tasks} | self._due.keys()
        for batch in reversed(unfinished(self.statuses)):
            if batch["batch_id"] not in mine and self._is_free(batch):
                yield batch["batch_id"]

    def _is_free(self, batch: BatchDoc) -> bool:
        """Whether it waits, or nobody makes it any more."""
        return batch["status"] == "queued" or self.claims.is_left(batch)

    def take_up(self, batch_id: str) -> None:
        """Begin with a batch of the store, where nobody else has; later, where the store is away."""
        try:
            self._take_up(batch_id)
        except ServiceError as error:
            self._later(batch_id, error.message)

    def _take_up(self, batch_id: str) -> None:
        batch = self.statuses.batch(batch_id)
        if batch is None or not self._is_free(batch):
            return
        with ExitStack() as held:
            try:
                self._claim(batch_id, held)
            except RequestError:
                return  # another process was faster
            if batch.get("cancel_requested_at"):  # whoever made it died before it could stop
                end(batch, self.statuses, cancelled=True)
                return
            data = stored_request(batch, self.statuses.jobs(batch_id)).encoded()
            resume = batch["status"] == "running"
            message = Message(data, batch_id, uuid.uuid4().hex[:12], resume)
            self._begin(message, batch_id, held.pop_all(), None)

    def _begin(
        self, message: Message, batch_id: str, held: ExitStack, delivery: Delivery | None
    ) -> None:
        making = Making(message, batch_id, lambda: self.flow, self.statuses)
        self._tasks.append(_Task(making, held, delivery, self.now() + FIRST_LOOK))
        making.start()

    def tend(self) -> None:
        """Look after what is being worked on; to be called several times a second."""
        for task in list(self._tasks):
            if not task.making.is_alive():
                self._tasks.remove(task)
                self._finish(task)
            elif not task.announced and self.now() >= task.look_at:
                self._look(task)
        for batch_id in [batch_id for batch_id, due in self._due.items() if self.now() >= due]:
            del self._due[batch_id]
            self.take_up(batch_id)

    def _look(self, task: _Task) -> None:
        """Acknowledge a message once its batch is accepted."""
        task.patience *= 2
        task.look_at = self.now() + task.patience
        try:
            batch = task.making.batch()
        except ServiceError:
            return  # the next look is soon enough
        if batch is not None:
            self._announce(task, batch)

    def _announce(self, task: _Task, batch: BatchDoc) -> None:
        if not task.announced:
            task.announced = True
            self._acknowledge(task)
            total = f"{batch['total_items']:,} narrations"
            self._say(f"Batch {batch['batch_id']} of {batch['owner']}: {total}.")

    def _acknowledge(self, task: _Task) -> None:
        delivery, task.delivery = task.delivery, None
        if delivery is None:
            return
        try:
            self.subscription.acknowledge(delivery)
        except ServiceError as error:
            log.warning("a message may come again", reason=error.message)

    def _finish(self, task: _Task) -> None:
        """See to what a pipeline has left when it ended."""
        making = task.making
        if making.error is not None:
            log.debug("a pipeline broke off", exc_info=making.error)
        with task.held:
            try:
                batch = making.batch()
                if batch is None:
                    self._not_accepted(task)
                elif batch["status"] in TERMINAL:
                    self._announce(task, batch)
                    self._say(_summary(batch))
                    self._waits.pop(making.batch_id, None)
                else:
                    self._announce(task, batch)
                    if not making.leave():
                        self._say(f"Batch {making.batch_id} cancelled.")
                    elif self._watch.stopping:
                        self._left.append(making.batch_id)
                    else:
                        self._later(making.batch_id, making.told() or "it ended early")
            except ServiceError as error:
                self._later(making.batch_id, error.message)

    def _not_accepted(self, task: _Task) -> None:
        if task.making.error is None:  # a duplicate, or rejected and kept as a dead letter
            self._acknowledge(task)
        elif task.delivery is None:
            self._later(task.making.batch_id, task.making.told())
        else:  # not acknowledged: it comes again
            log.error(NOT_ACCEPTED, reason=task.making.told())

    def _later(self, batch_id: str, reason: str) -> None:
        """Take up a batch again after a while."""
        wait = min(2 * self._waits.get(batch_id, FIRST_RETRY / 2), LAST_RETRY)
        self._waits[batch_id] = wait
        self._due[batch_id] = self.now() + wait
        log.error(
            "a batch is taken up again later",
            batch_id=batch_id,
            seconds=round(wait),
            reason=reason,
        )

    def stop(self) -> None:
        """Begin no call any more; those under way go on, and end their pipelines."""
        self._watch.stop()

    def leave(self) -> list[str]:
        """Put back in the queue what is still being worked on; returns all that is left there."""
        for task in self._tasks:
            waits = True
            with suppress(ServiceError):  # else it is left as running, which is found as well
                waits = task.making.leave()
            if waits:
                self._left.append(task.making.batch_id)
        return [*self._left, *self._due]

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


def _summary(batch: BatchDoc) -> str:
    failed = f", {batch['failed_items']:,} failed" if batch["failed_items"] else ""
    return (
        f"Batch {batch['batch_id']} {batch['status']}: {batch['completed_items']:,} of "
        f"{batch['total_items']:,} narrations, "
        f"{clock(batch['stats']['audio_seconds'])} of speech{failed}."
    )
