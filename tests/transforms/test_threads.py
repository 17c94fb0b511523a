"""Threads: as many as wait, no more than allowed, gone when nobody holds them."""

from __future__ import annotations

import gc
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import pytest

from transforms.threads import TICK, Threads

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 20.0
"""Seconds after which a test gives up; none waits that long where the code is right."""


def alive(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_tasks_that_wait_for_each_other_run_at_once() -> None:
    """A hundred tasks that end only together do end."""
    threads, together = Threads(100, "together"), threading.Barrier(101)

    def task() -> None:
        together.wait(PATIENCE)

    for _ in range(100):
        threads.submit(task)
    together.wait(PATIENCE)


def test_no_more_threads_than_allowed() -> None:
    """A task beyond the limit waits until another one ends."""
    threads, started, go = Threads(2, "two"), SimpleQueue[int](), threading.Event()

    def task(number: int) -> Callable[[], None]:
        def run() -> None:
            started.put(number)
            go.wait(PATIENCE)

        return run

    for number in range(5):
        threads.submit(task(number))
    first = {started.get(timeout=PATIENCE), started.get(timeout=PATIENCE)}
    assert first == {0, 1}
    with pytest.raises(Empty):
        started.get(timeout=20 * TICK)
    go.set()
    assert [started.get(timeout=PATIENCE) for _ in range(3)] == [2, 3, 4]


def test_an_idle_thread_is_used_again() -> None:
    """Tasks that come one after the other need one thread only."""
    threads, done = Threads(50, "again"), SimpleQueue[str]()
    for _ in range(200):
        threads.submit(lambda: done.put(threading.current_thread().name))
        assert done.get(timeout=PATIENCE) == "again"
        until = time.monotonic() + PATIENCE
        while not threads._crew._idle:  # it has answered, and is on its way back
            assert time.monotonic() < until
    assert len(alive("again")) == 1


@pytest.mark.parametrize("limit", [1, 8])
def test_every_task_runs_once(limit: int) -> None:
    """Whoever submits, and from however many threads, each task runs exactly once."""
    threads, done = Threads(limit, "every"), SimpleQueue[int]()

    def submit(start: int) -> None:
        for number in range(start, start + 500):
            threads.submit(lambda number=number: done.put(number))  # type: ignore[misc]

    senders = [threading.Thread(target=submit, args=(start,)) for start in (0, 500, 1000)]
    for sender in senders:
        sender.start()
    assert sorted(done.get(timeout=PATIENCE) for _ in range(1500)) == list(range(1500))
    assert done.empty()


def test_where_no_more_threads_can_be_had_the_others_do_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A system that refuses a thread slows the tasks down; it does not lose any."""
    threads, done, go = Threads(10, "few"), SimpleQueue[int](), threading.Event()

    def wait() -> None:
        go.wait(PATIENCE)

    threads.submit(wait)
    refused = threading.Event()

    def refuse(_: threading.Thread) -> None:
        refused.set()
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for number in range(20):
            threads.submit(lambda number=number: done.put(number))  # type: ignore[misc]
        assert refused.is_set()
    go.set()
    assert sorted(done.get(timeout=PATIENCE) for _ in range(20)) == list(range(20))


def test_where_no_thread_can_be_had_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The very first refusal is raised, because nobody would ever run the task."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = Threads(10, "none")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            threads.submit(lambda: None)


def test_threads_end_when_nobody_holds_them() -> None:
    """A pool that is dropped leaves no thread behind, and finishes what it was given."""
    threads, done = Threads(3, "dropped"), SimpleQueue[int]()
    for number in range(10):
        threads.submit(lambda number=number: done.put(number))  # type: ignore[misc]
    crew = alive("dropped")
    del threads
    gc.collect()
    assert sorted(done.get(timeout=PATIENCE) for _ in range(10)) == list(range(10))
    for thread in crew:
        thread.join(PATIENCE)
        assert not thread.is_alive()
