"""Adaptation: a generated script becomes one its listeners would say."""

from collections.abc import Iterator

from domain import prompts
from domain.work import Item, Script
from services.errors import ServiceError
from transforms.writing import WritingDoFn


class AdaptScript(WritingDoFn[Script, Script]):
    """Has a script rewritten for the listeners of its language.

    Input:   Script   in the master language, one per title × variation × language.
    Output:  Script   main: the same item, the adapted text; the master's untouched.
             Failure  FAILED: the item, this stage, code and message.
    """

    stage = "adapt"

    def at_once(self, script: Script) -> tuple[Script] | None:
        """The master language needs no call."""
        try:
            agent = self.agents.of(script.item.job.batch_id)
        except ServiceError:
            return None  # and handle fails for the same reason
        return (script,) if script.item.language == agent.master_language else None

    def handle(self, script: Script) -> Iterator[Script]:
        """One call of the model."""
        agent = self.agents.of(script.item.job.batch_id)
        answer = self.model.complete(prompts.adaptation(script, agent))
        yield script.with_text(answer.text, answer.model)

    def items(self, script: Script) -> Iterator[Item]:
        """The script's own."""
        yield script.item
