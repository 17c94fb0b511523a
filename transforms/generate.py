"""Generation: a title and an aspect become a script in the master language."""

from collections.abc import Iterator

from domain import prompts
from domain.work import GeneratedScript, Item, ScriptTask
from transforms.writing import WritingDoFn


class GenerateScript(WritingDoFn[ScriptTask, GeneratedScript]):
    """Has a script written.

    Input:   ScriptTask       one per title × variation.
    Output:  GeneratedScript  main: its text.
             Failure          FAILED: one for each language that waited for it.
    """

    stage = "generate"

    def handle(self, task: ScriptTask) -> Iterator[GeneratedScript]:
        """One call of the model."""
        agent = self.agents.of(task.job.batch_id)
        answer = self.model.complete(prompts.variation(task, agent))
        yield GeneratedScript(task, answer.text, answer.model)

    def items(self, task: ScriptTask) -> Iterator[Item]:
        """All that wait for this script."""
        return task.items()
