"""Dead letters: messages that will not be worked on, kept with every reason."""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from domain.work import Rejected
from services.logs import logger
from services.ports import ArtifactStore

log = logger()


def dead_letter(rejected: Rejected) -> bytes:
    """The stored form: the original bytes in base64, readable text where it is any, all errors."""
    data = rejected.message.data
    document = {
        "run_id": rejected.message.run_id,
        "errors": [asdict(problem) for problem in rejected.problems],
        "text": data.decode("utf-8", errors="replace"),
        "data_base64": base64.b64encode(data).decode("ascii"),
    }
    return json.dumps(document, ensure_ascii=False, indent=2).encode()


class KeepRejected(beam.PTransform[Any, Any]):
    """Stores dead letters below `dead-letters/`, named after their delivery.

    Input:   Rejected
    Output:  str       the dead letter's uri.
    """

    def __init__(self, artifacts: Callable[[], ArtifactStore]) -> None:
        super().__init__()
        self._artifacts = artifacts

    def expand(self, rejected: PCollection[Rejected]) -> Any:
        return rejected | beam.ParDo(KeepDeadLetter(self._artifacts))


class KeepDeadLetter(beam.DoFn):
    """Stores one; the same delivery again is the same file."""

    def __init__(self, artifacts: Callable[[], ArtifactStore]) -> None:
        self._connect = artifacts

    def setup(self) -> None:
        self._artifacts = self._connect()

    def process(self, rejected: Rejected) -> list[str]:
        name = rejected.message.run_id
        uri = self._artifacts.write(f"dead-letters/{name}.json", dead_letter(rejected))
        log.warning("message rejected", uri=uri, problems=[str(p) for p in rejected.problems])
        return [uri]
