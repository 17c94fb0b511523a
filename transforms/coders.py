"""Coders: what elements look like between two workers, and between two versions of the code."""

import json

from apache_beam.coders.coders import Coder
from apache_beam.coders.typecoders import registry

from domain.work import Job, ScriptTask


class ScriptTaskCoder(Coder):
    """A script task as a JSON array: a third of its pickle, and no class in it.

    Tasks are what the Reshuffle holds, all of a batch at once on a runner in
    one process. A pickle also names classes and fields, which another version
    of the code may call otherwise when it takes over a running job.
    """

    def encode(self, task: ScriptTask) -> bytes:
        """Fields in order; the job's first."""
        job = task.job
        place = (job.batch_id, job.run_id, job.job_id, job.position, job.items, job.jobs)
        fields = (*place, task.variation, task.title, task.missing)
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    def decode(self, encoded: bytes) -> ScriptTask:
        """The same task."""
        *place, variation, title, missing = json.loads(encoded)
        return ScriptTask(Job(*place), variation, title, tuple(map(tuple, missing)))

    def is_deterministic(self) -> bool:
        """Equal tasks have equal bytes."""
        return True

    def to_type_hint(self) -> type[ScriptTask]:
        """What it encodes."""
        return ScriptTask


def register() -> None:
    """Have Beam use them; called where a graph is built, since they travel with it."""
    registry.register_coder(ScriptTask, ScriptTaskCoder)
