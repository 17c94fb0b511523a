"""Expansion: a batch becomes scripts to write, a script its languages."""

from collections.abc import Iterator

from domain import keys
from domain.work import Batch, GeneratedScript, Job, Script, ScriptTask, Tick, item_name


def script_tasks(batch: Batch) -> Iterator[ScriptTask]:
    """One task a title × variation of which any language is still missing."""
    request, languages = batch.request, batch.request.agent.target_languages
    for job, title in zip(jobs(batch), request.titles, strict=True):
        done = batch.done.get(job.job_id, frozenset())
        for variation in range(1, request.variations + 1):
            first = (variation - 1) * len(languages)
            missing = tuple(
                (first + place, language)
                for place, language in enumerate(languages)
                if item_name(variation, language) not in done
            )
            if missing:
                yield ScriptTask(job, variation, title, missing)


def jobs(batch: Batch) -> Iterator[Job]:
    """One job a title, in order."""
    request = batch.request
    for position, title in enumerate(request.titles, 1):
        yield Job(
            batch_id=batch.batch_id,
            run_id=batch.run_id,
            job_id=keys.job_id(position, title),
            position=position,
            items=request.items_per_job,
            jobs=len(request.titles),
        )


def by_language(generated: GeneratedScript | Tick) -> Iterator[Script | Tick]:
    """One script a language that waits for it; the text is still the master's."""
    if isinstance(generated, Tick):
        yield generated
    else:
        yield from generated.scripts()
