"""ConcurrentDoFn: elements of a bundle overlap, and none of them is lost."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import combiners
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.typehints import Union

from domain.work import CANCELLED, Failure, GeneratedScript, Item, Script, Tick
from pipeline.options import local_bounded
from services.cancelling import CancelWatch
from services.errors import Overloaded, Refused
from services.statuses.sqlite import SqliteStatusStore
from tests.builders import batch_request, item, job, script
from transforms.concurrent import FAILED, Concurrency, ConcurrentDoFn, OncePerProcess
from transforms.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Watching: TypeAlias = "Callable[[int], Concurrency]"
PATIENCE = 20.0


def watch(database: Path) -> CancelWatch:
    return CancelWatch(SqliteStatusStore(database))


@pytest.fixture
def watching(tmp_path: Path) -> Watching:
    """Concurrency of a given size, with a store that knows the batch `cafe`."""
    store = SqliteStatusStore(tmp_path / "status.db")
    store.accept("cafe", batch_request(), run_id="run-1", resume=False)
    store.close()
    return lambda max_in_flight: Concurrency(
        threads=OncePerProcess(partial(Threads, max_in_flight, "test")),
        watch=OncePerProcess(partial(watch, tmp_path / "status.db")),
        max_in_flight=max_in_flight,
    )


class Shout(ConcurrentDoFn[Script, str]):
    """Answers in upper case; some titles are trouble."""

    stage = "adapt"
    together: ClassVar[dict[str, threading.Barrier]] = {}

    def handle(self, script: Script) -> Iterator[str]:
        match script.title:
            case "refuse":
                raise Refused("will not", code="refused_safety")
            case "overload":
                raise Overloaded("too much", attempts=5)
            case "break":
                raise ZeroDivisionError("a fault")
            case title if title in self.together:
                self.together[title].wait(PATIENCE)
        if script.title == "exit":
            raise SystemExit(1)
        yield script.text.upper()
        yield script.text.lower()

    def items(self, script: Script) -> Iterator[Item]:
        yield script.item


class ShoutForTwo(Shout):
    """The same for two items an element."""

    def items(self, script: Script) -> Iterator[Item]:
        yield script.item
        yield item("es-ES")


def run(dofn: ConcurrentDoFn[Any, Any], scripts: list[Any], window: Any = None) -> Any:
    """Apply the DoFn within a pipeline that is run at the end of the with-statement."""
    pipeline = beam.Pipeline(options=local_bounded())
    read = pipeline | beam.Create(scripts)
    if window:
        read = (
            read
            | beam.Map(lambda script: TimestampedValue(script, int(script.text)))
            | beam.WindowInto(window)
        )
    out = read | beam.ParDo(dofn).with_outputs(FAILED, main="main")
    made = out.main | "Leave out ticks" >> beam.Filter(lambda made: not isinstance(made, Tick))
    return pipeline, {"main": made, FAILED: out[FAILED]}


def titled(*titles: str) -> list[Script]:
    return [
        script(title, f"text {n}", of=item(of=job(position=n))) for n, title in enumerate(titles, 1)
    ]


def test_outputs_of_every_element(watching: Watching) -> None:
    """All outputs of all elements come out, with fewer in flight than there are elements."""
    pipeline, out = run(Shout(watching(3)), titled(*["a"] * 20))
    expected = [text for n in range(1, 21) for text in (f"TEXT {n}", f"text {n}")]
    assert_that(out["main"], equal_to(expected))
    assert_that(out[FAILED], equal_to([]), label="failures")
    pipeline.run()


def test_elements_are_handled_at_once(watching: Watching) -> None:
    """Fifty calls that end only together do end: they are under way at the same time."""
    Shout.together["fifty"] = threading.Barrier(50)
    pipeline, out = run(Shout(watching(50)), titled(*["fifty"] * 50))
    assert_that(out["main"] | combiners.Count.Globally(), equal_to([100]))
    pipeline.run()


def test_failures_are_elements(watching: Watching, caplog: pytest.LogCaptureFixture) -> None:
    """Each error becomes a Failure with its code; an unexpected one is logged with its traceback."""
    scripts = titled("refuse", "overload", "break", "fine")
    pipeline, out = run(Shout(watching(4)), scripts)
    expected = [
        Failure(scripts[0].item, "adapt", "refused_safety", "will not", 1),
        Failure(scripts[1].item, "adapt", "rate_limited", "too much", 5),
        Failure(scripts[2].item, "adapt", "internal", "ZeroDivisionError: a fault", 1),
    ]
    assert_that(out[FAILED], equal_to(expected), label="failures")
    assert_that(out["main"], equal_to(["TEXT 4", "text 4"]))
    with caplog.at_level(logging.ERROR, "roteiro"):
        pipeline.run()
    (logged,) = [record for record in caplog.records if record.name == "roteiro"]
    assert "v1.pt-BR" in logged.getMessage()
    assert logged.exc_info
    assert isinstance(logged.exc_info[1], ZeroDivisionError)


def test_not_even_an_exit_loses_an_element(watching: Watching) -> None:
    """A library that ends its thread fails its element; the bundle does not wait for ever."""
    pipeline, out = run(Shout(watching(2)), titled("exit", "fine"))
    assert_that(out[FAILED] | beam.Map(lambda failure: failure.code), equal_to(["internal"]))
    assert_that(out["main"], equal_to(["TEXT 2", "text 2"]), label="main")
    pipeline.run()


def test_an_element_fails_all_its_items(watching: Watching) -> None:
    """One Failure comes out for each item that waited for the element."""
    pipeline, out = run(ShoutForTwo(watching(4)), titled("refuse"))
    languages = out[FAILED] | beam.Map(lambda failure: failure.item.language)
    assert_that(languages, equal_to(["pt-BR", "es-ES"]))
    pipeline.run()


def test_windows_and_timestamps_are_kept(watching: Watching) -> None:
    """An output is in the window of its own element, whichever element it came out beside."""
    scripts = [script(text=str(second), of=item()) for second in (1, 2, 61, 62, 121)]
    pipeline, out = run(Shout(watching(5)), scripts, FixedWindows(60))
    per_window = out["main"] | combiners.Count.Globally().without_defaults()
    assert_that(per_window, equal_to([4, 4, 2]))
    pipeline.run()


def test_a_cancelled_batch_makes_no_call(watching: Watching, tmp_path: Path) -> None:
    """Once its batch is to stop, an element fails as cancelled without being handled."""
    store = SqliteStatusStore(tmp_path / "status.db")
    store.merge_batch("cafe", {"cancel_requested_at": "2026-01-01T00:00:00.000+00:00"})
    store.close()
    pipeline, out = run(Shout(watching(2)), titled("break", "fine"))
    codes = out[FAILED] | beam.Map(lambda failure: (failure.code, failure.attempts))
    assert_that(codes, equal_to([(CANCELLED, 0), (CANCELLED, 0)]))
    assert_that(out["main"], equal_to([]), label="none")
    pipeline.run()


def test_finished_and_failed_are_counted(watching: Watching) -> None:
    """Beam's counters tell the elements that a step finished and those it failed."""
    pipeline, _ = run(Shout(watching(4)), titled("refuse", "fine", "fine"))
    counters = pipeline.run().metrics().query()["counters"]
    counted = {counter.key.metric.name: counter.committed for counter in counters}
    assert (counted["adapt_finished"], counted["adapt_failed"]) == (2, 1)


def test_output_types_are_those_of_handle(watching: Watching) -> None:
    """Beam knows the type of the main output and that the other one holds Failures."""
    from transforms.generate import GenerateScript

    factory: Any = lambda: None  # noqa: E731 - nothing is connected here
    hints = GenerateScript(factory, factory, watching(1)).default_type_hints()
    assert hints.simple_output_type("GenerateScript") == Union[GeneratedScript, Tick]
    assert dict(hints.tagged_output_types()) == {FAILED: Failure}
