"""Generation: a title and an aspect become a script in the master language."""

from collections.abc import Callable, Iterator

from domain import prompts
from domain.work import GeneratedScript, Item, ScriptTask
from services.agents import Agents
from services.ports import TextModel
from transforms.concurrent import Concurrency, ConcurrentDoFn, OncePerProcess


class GenerateScript(ConcurrentDoFn[ScriptTask, GeneratedScript]):
    """Has a script written.

    Input:   ScriptTask       one per title × variation.
    Output:  GeneratedScript  main: its text.
             Failure          FAILED: one for each language that waited for it.

    Args:
        connect: makes the TextModel, pacing, retries and cache included; called
            in setup, because clients do not pickle.
        agents: makes the process's Agents.
        concurrency: what it runs on.
    """

    stage = "generate"

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

    def handle(self, task: ScriptTask) -> Iterator[GeneratedScript]:
        """One call of the model."""
        agent = self._agents.of(task.job.batch_id)
        answer = self._model.complete(prompts.variation(task, agent))
        yield GeneratedScript(task, answer.text, answer.model)

    def items(self, task: ScriptTask) -> Iterator[Item]:
        """All that wait for this script."""
        return task.items()
