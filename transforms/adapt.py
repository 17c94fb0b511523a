"""Adaptation: a generated script becomes one its listeners would say."""

from collections.abc import Callable, Iterator

from domain import prompts
from domain.work import Item, Script
from services.agents import Agents
from services.errors import ServiceError
from services.ports import TextModel
from transforms.concurrent import Concurrency, ConcurrentDoFn, OncePerProcess


class AdaptScript(ConcurrentDoFn[Script, Script]):
    """Has a script rewritten for the listeners of its language.

    Input:   Script   in the master language, one per title × variation × language.
    Output:  Script   main: the same item, the adapted text; the master's untouched.
             Failure  FAILED: the item, this stage, code and message.

    Args:
        connect: makes the TextModel, pacing, retries and cache included; called
            in setup, because clients do not pickle.
        agents: makes the process's Agents.
        concurrency: what it runs on.
    """

    stage = "adapt"

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
        self._model = self._connect()
        self._agents = self._connect_agents()

    def at_once(self, script: Script) -> tuple[Script] | None:
        """The master language needs no call."""
        try:
            agent = self._agents.of(script.item.job.batch_id)
        except ServiceError:
            return None  # and handle fails for the same reason
        return (script,) if script.item.language == agent.master_language else None

    def handle(self, script: Script) -> Iterator[Script]:
        """One call of the model."""
        agent = self._agents.of(script.item.job.batch_id)
        answer = self._model.complete(prompts.adaptation(script, agent))
        yield script.with_text(answer.text, answer.model)

    def items(self, script: Script) -> Iterator[Item]:
        """The script's own."""
        yield script.item
