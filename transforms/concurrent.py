"""Concurrency inside the bundle: slow remote calls overlap, whatever the runner."""

import abc
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Final, Generic, TypeVar

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints import Union
from apache_beam.typehints.decorators import IOTypeHints
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from domain.work import CANCELLED, Failure, Item, Stage, Tick
from services.cancelling import CancelWatch
from services.errors import Refused, ServiceError
from services.logs import logger
from transforms.threads import Threads

FAILED: Final = "failed"
"""Tag of the output that holds Failures."""

TICK: Final = 0.05
"""Seconds without a finished element after which the steps behind are told."""
GATHER: Final = 0.003
"""Seconds. Where elements are finished in quick succession, taking them a few at a time spares
two threads from handing the interpreter's lock to and fro; for a slow call it is nothing."""

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")

log = logger()


class OncePerProcess(Generic[T]):
    """A factory whose product is shared by all DoFns of a process that hold it.

    It pickles where the factory does, and its copies share the product too.
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._shared = Shared()

    def __call__(self) -> T:
        return self._shared.acquire(self._factory)  # type: ignore[no-any-return]


class _Handled:
    """What became of one element: its outputs, or the error that ended it."""

    __slots__ = ("element", "error", "outputs")

    def __init__(
        self, element: WindowedValue, outputs: list[Any], error: ServiceError | None
    ) -> None:
        self.element = element
        self.outputs = outputs
        self.error = error


@dataclass(frozen=True)
class Concurrency:
    """What the slow steps of a process run on.

    Attributes:
        threads: makes the threads that all of them share.
        watch: makes the CancelWatch.
        max_in_flight: elements of one bundle that a step handles at once.
    """

    threads: OncePerProcess[Threads]
    watch: OncePerProcess[CancelWatch]
    max_in_flight: int


class ConcurrentDoFn(beam.DoFn, abc.ABC, Generic[In, Out]):
    """Handles many elements of a bundle at once, each in a thread of its own.

    `process` hands its element to the step's threads and emits what has been
    finished since; it blocks only while `max_in_flight` elements of the bundle
    are being handled. `finish_bundle` emits the rest as it is finished, so that
    a bundle is committed with all its outputs or not at all. While it waits for
    a slow call, Ticks make the steps behind it go on with what they have.

    A ServiceError of `handle` makes the element's items Failures with the
    error's code. Any other exception does so too, with code `internal`, and is
    logged once with its traceback: a streaming runner would retry its bundle
    for ever. Items of a batch that somebody cancels fail unasked; where the
    process is to stop, elements that were not begun go no further, and their
    batch stays unfinished for the next process that takes it up.

    Output:  Out      main: what `handle` returned, windows and timestamps kept; and Ticks.
             Failure  FAILED: one for each item of an element that failed.

    Args:
        concurrency: what it runs on; connected in setup.
    """

    stage: ClassVar[Stage]

    def __init__(self, concurrency: Concurrency) -> None:
        self._concurrency = concurrency
        self._finished = Metrics.counter("roteiro", f"{self.stage}_finished")
        self._failed = Metrics.counter("roteiro", f"{self.stage}_failed")

    @abc.abstractmethod
    def handle(self, element: In) -> Iterable[Out]:
        """Do the work; called from several threads at once."""

    def at_once(self, element: In) -> Iterable[Out] | None:  # noqa: ARG002 - for those who can
        """The outputs of an element that needs no call; None for one that does."""
        return None

    @abc.abstractmethod
    def items(self, element: In) -> Iterable[Item]:
        """The narrations that fail where the element does."""

    def setup(self) -> None:
        """Take part in the process's threads."""
        self._threads = self._concurrency.threads()
        self._watch = self._concurrency.watch()
        self._faults: set[Any] = set()

    def start_bundle(self) -> None:
        """Begin anew: what a failed bundle left behind goes to its own queue."""
        self._done: SimpleQueue[_Handled] = SimpleQueue()
        self._in_flight = 0

    def process(
        self,
        element: In | Tick,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        """Hand the element over; emit what has been finished since."""
        windowed = WindowedValue(element, timestamp, (window,))
        if isinstance(element, Tick):
            yield from self._emit_finished()
            yield windowed
            return
        if (outputs := self.at_once(element)) is not None:
            yield from self._emit_finished()
            yield from self._emit_outputs(windowed, outputs)
            return
        if self._in_flight == self._concurrency.max_in_flight:
            yield from self._wait(windowed)
        self._latest = windowed
        self._threads.submit(partial(self._run, windowed, self._done))
        self._in_flight += 1
        yield from self._emit_finished()

    def finish_bundle(self) -> Iterator[Any]:
        """Emit the rest in order of completion."""
        while self._in_flight:
            yield from self._wait(self._latest)

    def _wait(self, latest: WindowedValue) -> Iterator[Any]:
        """Emit what is finished next, and what is finished at about the same time.

        While nothing is, the steps behind must not wait too: they hear of it by a Tick.
        """
        while (handled := self._next()) is None:
            yield latest.with_value(Tick())
        if self._in_flight > 1:
            time.sleep(GATHER)
        yield from self._emit(handled)
        yield from self._emit_finished()

    def _next(self) -> _Handled | None:
        try:
            return self._done.get(timeout=TICK)
        except Empty:
            return None

    def _emit_finished(self) -> Iterator[Any]:
        while True:
            try:
                handled = self._done.get_nowait()
            except Empty:
                return
            yield from self._emit(handled)

    def _run(self, windowed: WindowedValue, done: "SimpleQueue[_Handled]") -> None:
        handled = _Handled(windowed, [], ServiceError("the step's thread came to an end"))
        try:
            handled = self._handled(windowed)
        finally:  # or the bundle would wait for it for ever
            done.put(handled)

    def _handled(self, windowed: WindowedValue) -> _Handled:
        if self._watch.stopping:
            return _Handled(windowed, [], None)
        try:
            batch_id = next(iter(self.items(windowed.value))).job.batch_id
            if self._watch.cancelled(batch_id):
                failure: ServiceError = Refused(
                    "the batch was cancelled", code=CANCELLED, attempts=0
                )
            else:
                return _Handled(windowed, list(self.handle(windowed.value)), None)
        except ServiceError as error:
            failure = error
        except BaseException as error:  # noqa: BLE001 - a failure with code internal
            self._log_once(error, windowed.value)
            failure = ServiceError(f"{type(error).__name__}: {error}")
        return _Handled(windowed, [], failure)

    def _log_once(self, error: BaseException, element: In) -> None:
        """A fault is logged with its traceback where it first shows; it may hit every element."""
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        fault = (type(error), trace and (trace.tb_frame.f_code, trace.tb_lineno))
        if fault not in self._faults:
            self._faults.add(fault)
            item = next(iter(self.items(element)))
            name = f"{item.job.batch_id}/{item.job.job_id}/{item.name}"
            log.error("unexpected error", stage=self.stage, item=name, exc_info=error)

    def _emit(self, handled: _Handled) -> Iterator[Any]:
        self._in_flight -= 1
        if handled.error is None:
            yield from self._emit_outputs(handled.element, handled.outputs)
            return
        self._failed.inc()
        error = handled.error
        for item in self.items(handled.element.value):
            failure = Failure(item, self.stage, error.code, error.message, error.attempts)
            yield TaggedOutput(FAILED, handled.element.with_value(failure))

    def _emit_outputs(self, element: WindowedValue, outputs: Iterable[Out]) -> Iterator[Any]:
        self._finished.inc()
        for output in outputs:
            yield element.with_value(output)

    def default_type_hints(self) -> IOTypeHints:
        """The types of `handle`, and of the failures."""
        hints = (IOTypeHints.from_callable(self.handle) or IOTypeHints.empty()).strip_iterable()
        ((taken, *_), _) = hints.input_types or ((Any,), {})
        made = hints.simple_output_type(type(self))
        return hints.with_input_types(Union[taken, Tick]).with_output_types(
            Union[made, Tick], failed=Failure
        )
