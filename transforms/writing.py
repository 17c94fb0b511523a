"""Writing: what generation and adaptation share, a model and the batch's agent."""

from collections.abc import Callable
from typing import TypeVar

from services.agents import Agents
from services.ports import TextModel
from transforms.concurrent import Concurrency, ConcurrentDoFn, OncePerProcess

In = TypeVar("In")
Out = TypeVar("Out")


class WritingDoFn(ConcurrentDoFn[In, Out]):
    """A ConcurrentDoFn that asks a text model.

    Args:
        connect: makes the TextModel, retries included; called in setup, because
            clients do not pickle.
        agents: makes the process's Agents.
        concurrency: what it runs on.
    """

    def __init__(
        self,
        connect: Callable[[], TextModel],
        agents: OncePerProcess[Agents],
        concurrency: Concurrency,
    ) -> None:
        super().__init__(concurrency)
        self._connect = connect
        self._connect_agents = agents

    def setup(self) -> None:
        super().setup()
        self.model = self._connect()
        self.agents = self._connect_agents()
