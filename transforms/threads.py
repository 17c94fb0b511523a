"""Threads for calls that wait: as many as are needed at once, and no more awake than that."""

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

Task: TypeAlias = Callable[[], None]

TICK: Final = 0.005
"""Seconds. Two hundred tasks a second, 700,000 an hour, are beyond any vendor's quota: while one is
finished in every tick, more threads would only contend for the interpreter's lock."""


class Threads:
    """Up to `limit` threads that run tasks in the order they were submitted.

    One thread runs what it can. While tasks are waiting and none was finished
    for a tick, more are woken, four times as many each time: a hundred calls
    that wait have their hundred threads within five ticks, while work that
    never waits is done by one or two. docs/decisions/0003-threads.md tells why
    this is not a ThreadPoolExecutor.

    Threads are daemons, so that a process can end while a call hangs. They
    also end, once they have done what was submitted, when nobody holds this
    object any more.

    Args:
        limit: tasks that run at once.
        name: of the threads, for whoever looks at a stack dump.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._crew = _Crew(limit, name)
        weakref.finalize(self, self._crew.dismiss)

    def submit(self, task: Task) -> None:
        """Run a task as soon as a thread is free; it must not raise."""
        self._crew.submit(task)


class _Crew:
    """What the threads share; they hold it, so that Threads itself can go."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._lock = threading.Lock()
        self._tasks: deque[Task] = deque()
        self._idle: list[threading.Lock] = []  # a bell for each idle thread, the latest last
        self._threads = 0
        self._finished = 0  # tasks, ever
        self._watched = False  # a foreman is there
        self._dismissed = False

    def submit(self, task: Task) -> None:
        with self._lock:
            self._tasks.append(task)
            if len(self._idle) == self._threads:
                self._wake()
            elif not self._watched:
                self._watched = self._started(self._watch, "foreman")

    def dismiss(self) -> None:
        with self._lock:
            self._dismissed = True
            idle, self._idle = self._idle, []
        for bell in idle:
            bell.release()

    def _wake(self) -> None:
        """One more thread for the tasks, if there may be; the lock is held."""
        if self._idle:
            self._idle.pop().release()
        elif self._threads < self._limit:
            self._threads += self._started(self._work, self._name)

    def _started(self, target: Callable[[], None], name: str) -> bool:
        """Start a thread; where the system has none left, the ones there are must do.

        Raises:
            RuntimeError: where there is none at all to run the task.
        """
        try:
            threading.Thread(target=target, name=name, daemon=True).start()
        except RuntimeError:
            if not self._threads:
                self._tasks.pop()
                raise
            return False
        return True

    def _work(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        while True:
            with self._lock:
                task = self._tasks.popleft() if self._tasks else None
                if task is None:
                    if self._dismissed:
                        return
                    self._idle.append(bell)
            if task is None:
                bell.acquire()
            else:
                task()
                self._finished += 1  # a count lost between two threads is no harm

    def _watch(self) -> None:
        """Wake more threads while tasks wait and none is finished; go when none waits."""
        finished, more = self._finished, 1
        while True:
            time.sleep(TICK)
            with self._lock:
                if not self._tasks:
                    self._watched = False
                    return
                if self._finished == finished:
                    for _ in range(min(more, len(self._tasks))):
                        self._wake()
                    more = min(4 * more, self._limit)
                else:
                    finished, more = self._finished, 1
