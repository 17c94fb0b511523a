"""Services that take a given time and no work, so that what is left is the pipeline's own."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import lameenc

from domain.work import Message
from pipeline.graph import NarrateBatches, Services
from pipeline.options import local_bounded
from services.artifacts.folder import FolderArtifactStore
from services.ports import Completion, Speech, Utterance
from services.statuses.coalescing import CoalescingStatusStore
from services.statuses.sqlite import SqliteStatusStore

if TYPE_CHECKING:
    from domain.prompts import Prompt
    from domain.status import BatchDoc

LANGUAGES = ("pt-BR", "en-US", "es-ES")
VARIATIONS = 3
MEMORY = Path("/dev/shm")  # noqa: S108 - whose name is Linux's


@cache
def speech() -> bytes:
    """A quarter of a second of silence as MP3, encoded once."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(22_050)
    encoder.set_bit_rate(32)
    return bytes(encoder.encode(bytes(2 * (22_050 // 4))) + encoder.flush())


class SimulatedWriter:
    """A TextModel that answers after a while.

    Args:
        generation, adaptation: seconds a call takes.
    """

    def __init__(self, generation: float, adaptation: float) -> None:
        self._seconds = {"variation": generation, "adaptation": adaptation}

    def complete(self, prompt: Prompt) -> Completion:
        """Wait, then say a sentence or two."""
        wait(self._seconds[prompt.task])
        return Completion(f"{prompt.title} ({prompt.language}). {prompt.aspect}.", "simulated")


class SimulatedVoice:
    """A Voice that answers after a while.

    Args:
        narration: seconds a call takes.
    """

    max_bytes = 5000
    max_sentence = 300

    def __init__(self, narration: float) -> None:
        self._seconds = narration

    def speak(self, _: Utterance) -> Speech:
        """Wait, then answer silence."""
        wait(self._seconds)
        return Speech(speech(), "simulated")


def wait(seconds: float) -> None:
    """Take that long; nothing at all for zero."""
    if seconds:
        time.sleep(seconds)


def request(titles: int) -> dict[str, Any]:
    """So many titles × 3 variations × 3 languages."""
    return {
        "titles": [f"A história do café, parte {part}" for part in range(1, titles + 1)],
        "variations": VARIATIONS,
        "agent": {
            "name": "Documentarista",
            "instructions": "Tom caloroso, segunda pessoa, sem jargão.",
            "target_languages": LANGUAGES,
        },
    }


def run_batch(
    titles: int, *, generation: float = 0.0, adaptation: float = 0.0, narration: float = 0.0
) -> BatchDoc:
    """Run titles × 3 × 3 narrations on the in-process runner, in a folder that is removed.

    Everything but the calls of Gemini and Text-to-Speech is real: the graph,
    the MP3 files with their tags, the status store, the manifest. The folder
    is in memory where the system has such a place, because on disk the file
    system's own work for two small files is more than all of the pipeline's.

    Returns:
        The batch's document at its end.
    """
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        database = Path(folder) / "status.db"
        services = Services(
            writer=partial(SimulatedWriter, generation, adaptation),
            voice=partial(SimulatedVoice, narration),
            artifacts=partial(FolderArtifactStore, folder),
            statuses=partial(_statuses, database),
        )
        with beam.Pipeline(options=local_bounded()) as pipeline:
            message = Message(json.dumps(request(titles)).encode(), "benchmark", "run")
            _ = pipeline | beam.Create([message]) | NarrateBatches(services)
        with closing(SqliteStatusStore(database)) as statuses:
            batch = statuses.batch("benchmark")
        if batch is None or batch["status"] != "completed":
            raise RuntimeError(f"the batch did not complete: {batch}")
        return batch


def _statuses(database: Path) -> CoalescingStatusStore:
    return CoalescingStatusStore(SqliteStatusStore(database))
