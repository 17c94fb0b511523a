"""Threads for calls that wait: as many as are needed at once, and no more awake than that."""

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

Task: TypeAlias = Callable[[], None]


class Threads:
    """Up to `limit` threads that run tasks in the order they were submitted.

    A thread that takes a task wakes the next one before it runs it, the one
    that went idle last. So a hundred calls that wait have a hundred threads
    within milliseconds, while work that never waits is done by a few: the
    others neither contend for the interpreter's lock nor touch their stacks.
    A ThreadPoolExecutor wakes one for each task, oldest first; at no latency
    that costs about half of the CPU again, and a hundred stacks of memory.

    Threads are daemons, so that a process can end while a call hangs. They
    also end when nobody holds this object any more.

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
        self._waking = False  # a thread is on its way to the next task
        self._dismissed = False

    def submit(self, task: Task) -> None:
        with self._lock:
            self._tasks.append(task)
            self._wake()

    def dismiss(self) -> None:
        with self._lock:
            self._dismissed = True
            for bell in self._idle:
                bell.release()

    def _wake(self) -> None:
        """See to it that a thread comes for the next task; the lock is held."""
        if self._waking or not self._tasks:
            return
        if self._idle:
            self._waking = True
            self._idle.pop().release()
        elif self._threads < self._limit:
            self._waking = True
            self._threads += 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        woken = True
        while True:
            with self._lock:
                if woken:
                    self._waking = False
                if task := self._tasks.popleft() if self._tasks else None:
                    self._wake()
                elif self._dismissed:
                    return
                else:
                    self._idle.append(bell)
            if woken := task is None:
                bell.acquire()
            else:
                task()
