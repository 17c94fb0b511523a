"""`roteiro start`: batches from a subscription, one after the other and side by side."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Final

from domain.request import RequestError
from launcher import bootstrap
from launcher.consoles import error_console, print_problems
from launcher.dataflow import load_dataflow
from launcher.exits import BAD_INPUT, DONE, INTERRUPTED, SOME_FAILED, BadInput, leave_at_once
from launcher.interrupts import Interrupts
from launcher.launching import launch
from launcher.logs import configure_logging
from launcher.making import told
from launcher.places import opened_statuses
from launcher.settings import DIRECT, load_settings
from launcher.validate import made_by
from launcher.worker import Worker
from services.errors import ServiceError
from services.logs import logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from launcher.settings import Flags, Settings
    from services.ports import Delivery, Subscription

NEEDS_SUBSCRIPTION: Final = "needs --subscription projects/<project>/subscriptions/<subscription>"
DATAFLOW: Final = ("dataflow", "dataflowrunner")
"""The runner's names, in lower case."""
TEND_EVERY: Final = 0.2
"""Seconds between two looks at what is being made."""
LOOK_EVERY: Final = 60.0
"""Seconds between two looks for batches that another process has left."""
PAUSE: Final = 1.0
"""Seconds between two pulls where the subscription answers at once that it has nothing."""
LONGEST_PAUSE: Final = 60.0
"""Seconds between two pulls while the subscription is away."""

log = logger()


def start(flags: Flags, job: Flags, beam_flags: Sequence[str], *, verbose: bool) -> int:
    """Make what a subscription asks for, until somebody interrupts; returns the exit code.

    Args:
        flags: settings.
        job: those of a job on Dataflow, which is left alone once it runs.
        beam_flags: Beam's own.
        verbose: whether to log more.
    """
    settings = load_settings(flags)
    if not settings.subscription:
        raise BadInput(f"start {NEEDS_SUBSCRIPTION}")
    if settings.runner.lower() in DATAFLOW:
        configure_logging(verbose=verbose)
        return launch(settings, load_dataflow(job), beam_flags)
    if given := [f"--{name}" for name, value in job.items() if value is not None]:
        raise BadInput(f"{', '.join(given)}: of Dataflow only; --runner dataflow is missing")
    bootstrap.check_access(settings)
    configure_logging(verbose=verbose)
    if settings.runner != DIRECT:
        return _stream(settings, beam_flags)
    if beam_flags:
        raise BadInput(f"{beam_flags[0]}: the direct runner takes no flags of Beam's")
    try:
        return _work(settings)
    except RequestError as error:  # a folder that cannot be written
        print_problems("start", error.problems)
        return BAD_INPUT


class _Receiver(threading.Thread):
    """Takes messages from a subscription when it is asked to, while others look after the rest.

    Attributes:
        received: what was taken.
    """

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(name="receiver", daemon=True)
        self.received: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._subscription = subscription
        self._most = 0
        self._asked = threading.Event()
        self._stopped = threading.Event()

    def ask(self, most: int) -> None:
        """Take so many messages, at most; nothing new while it is still at it."""
        if not self._asked.is_set():
            self._most = most
            self._asked.set()

    def stop(self) -> None:
        """Take nothing more."""
        self._stopped.set()

    def run(self) -> None:
        """Take what is there, each time it is asked for."""
        pause = PAUSE
        while self._asked.wait() and not self._stopped.is_set():
            deliveries: list[Delivery] = []
            try:
                deliveries = self._subscription.receive(self._most)
                pause = PAUSE
            except ServiceError as error:
                pause = min(2 * pause, LONGEST_PAUSE)
                if not self._stopped.is_set():
                    log.warning("no messages", seconds=round(pause), reason=error.message)
            for delivery in deliveries:
                self.received.put(delivery)
            if not deliveries:
                self._stopped.wait(pause)
            self._asked.clear()


def update(flags: Flags, job: Flags, beam_flags: Sequence[str], *, verbose: bool) -> int:
    """Replace the job that runs on Dataflow by this version; returns the exit code."""
    settings = load_settings(flags)
    if not settings.subscription:
        raise BadInput(f"update {NEEDS_SUBSCRIPTION}")
    configure_logging(verbose=verbose)
    return launch(settings, load_dataflow(job), beam_flags, update=True)


def _work(settings: Settings) -> int:
    """Be a worker on the in-process runner."""
    from pipeline.graph import NarrateBatches

    console = error_console()
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        subscription = stack.enter_context(closing(bootstrap.subscription(settings)))
        for name in filter(None, (settings.dead_letter_topic, settings.events_topic)):
            bootstrap.topic(name).close()
        statuses = stack.enter_context(opened_statuses(settings))
        worker = Worker(
            statuses=statuses,
            claims=bootstrap.claims(settings, statuses),
            subscription=subscription,
            flow=NarrateBatches(bootstrap.services(settings)),
            output=settings.output,
            console=console,
        )
        console.print(
            f"Taking requests from {settings.subscription}; {made_by(settings)}. Ctrl-C stops.",
            soft_wrap=True,
        )
        _take(worker, subscription, settings.max_batches, interrupts)
        return _drain(worker, settings.grace, interrupts, console)


def _take(worker: Worker, subscription: Subscription, most: int, interrupts: Interrupts) -> None:
    """First what was left unfinished, then what comes, until an interrupt."""
    receiver = _Receiver(subscription)
    receiver.start()
    waiting = deque(worker.unfinished())
    look_at = time.monotonic() + LOOK_EVERY
    while not interrupts.wait(TEND_EVERY):
        worker.tend()
        if not waiting and time.monotonic() >= look_at:
            waiting.extend(_unfinished(worker))
            look_at = time.monotonic() + LOOK_EVERY
        while waiting and worker.busy < most:
            worker.take_up(waiting.popleft())
        while worker.busy < most and not receiver.received.empty():
            worker.take(receiver.received.get())
        if worker.busy < most and receiver.received.empty():
            receiver.ask(most - worker.busy)
    receiver.stop()  # what it has taken and nobody began comes again


def _unfinished(worker: Worker) -> list[str]:
    """What others have left meanwhile; nothing, where the store is away."""
    try:
        return list(worker.unfinished())
    except ServiceError as error:
        log.warning("batches that others left are looked for later", reason=error.message)
        return []


def _drain(worker: Worker, grace: float, interrupts: Interrupts, console: Console) -> int:
    """Let calls under way finish; returns the exit code."""
    worker.stop()
    deadline = time.monotonic() + grace
    if worker.busy:
        console.print(
            f"Stopping: calls under way are finished, for {grace:g} seconds at most. "
            "Ctrl-C again stops at once.",
            soft_wrap=True,
        )
    while worker.busy and time.monotonic() < deadline and interrupts.count < 2:
        worker.tend()
        time.sleep(TEND_EVERY)
    hurried = interrupts.count > 1
    left = worker.leave()
    told = f"Stopped. Batches left for the next start: {', '.join(left)}." if left else "Stopped."
    console.print(told, soft_wrap=True)
    if worker.busy:  # what is under its final name is whole; the rest is made next time
        leave_at_once(INTERRUPTED if hurried else DONE)
    return DONE


class _Ending(threading.Thread):
    """Waits for the end of a pipeline.

    Attributes:
        error: what ended it, where it did not end by itself.
    """

    def __init__(self, result: Any) -> None:
        super().__init__(name="ending", daemon=True)
        self.error: Exception | None = None
        self._result = result

    def run(self) -> None:
        """Wait."""
        try:
            self._result.wait_until_finish()
        except Exception as error:  # noqa: BLE001 - the main thread tells it
            self.error = error


def _stream(settings: Settings, beam_flags: Sequence[str]) -> int:
    """Hand the streaming pipeline to a runner, and stay as long as it stays in this process."""
    import apache_beam as beam
    from apache_beam.runners.direct.direct_runner import DirectPipelineResult

    from pipeline.graph import NarrateBatches
    from pipeline.options import streaming
    from pipeline.sources import narrate_subscription

    flow = NarrateBatches(bootstrap.services(settings))
    try:
        pipeline = beam.Pipeline(options=streaming(settings.runner, *beam_flags))
    except ValueError as error:
        raise BadInput(f"--runner: {error}") from None
    narrate_subscription(pipeline, settings.subscription, flow)
    console = error_console()
    with Interrupts() as interrupts:
        result = pipeline.run()
        console.print(f"The pipeline runs on {settings.runner}.", soft_wrap=True)
        ended = _Ending(result)
        ended.start()
        while ended.is_alive() and not interrupts.wait(TEND_EVERY):
            pass
        if ended.is_alive():
            flow.watch().stop()  # reaches it where it runs in this process
            ended.join(settings.grace)
    if ended.error is not None:
        console.print(f"The pipeline broke off: {told(ended.error)}", soft_wrap=True)
        log.debug("the pipeline broke off", exc_info=ended.error)
        leave_at_once(SOME_FAILED)
    if isinstance(result, DirectPipelineResult):
        leave_at_once(DONE)  # its threads wait for messages, and would until the end of time
    if ended.is_alive():
        console.print(
            f"No longer watching. A pipeline on a service goes on; {settings.runner} can stop it.",
            soft_wrap=True,
        )
        leave_at_once(DONE)
    return DONE
