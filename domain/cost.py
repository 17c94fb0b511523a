"""Cost: the calls that it takes to make what a batch lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.status import whole_items
from domain.work import item_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domain.request import BatchRequest
    from domain.status import JobDoc


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls, each counted once however often it is tried.

    Attributes:
        scripts: to be generated, one a title × variation of which anything is missing.
        adaptations: one a missing narration that is not in the master language.
        narrations: to be spoken; a long one takes the voice several calls.
    """

    scripts: int
    adaptations: int
    narrations: int


def cost(request: BatchRequest, jobs: Iterable[JobDoc], stored: Mapping[str, int]) -> Cost:
    """What it takes to complete a batch.

    Args:
        request: of the batch.
        jobs: its documents.
        stored: its files, uri → size in bytes; none where all is made again.
    """
    agent = request.agent
    scripts = adaptations = narrations = 0
    for job in jobs:
        whole = whole_items(job, stored)
        for variation in range(1, request.variations + 1):
            missing = [
                language
                for language in agent.target_languages
                if item_name(variation, language) not in whole
            ]
            scripts += bool(missing)
            adaptations += sum(language != agent.master_language for language in missing)
            narrations += len(missing)
    return Cost(scripts, adaptations, narrations)
