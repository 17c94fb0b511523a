"""The graph: from batch requests to narrations, with every failure an element."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from domain.work import Message, Script, ScriptTask, Tick
from services.agents import Agents
from services.cancelling import CancelWatch
from services.ports import ArtifactStore, StatusStore, TextModel, Voice
from transforms import close, coders, expand
from transforms.accept import AcceptBatches
from transforms.adapt import AdaptScript
from transforms.announce import AnnounceEnds
from transforms.concurrent import FAILED, Concurrency, OncePerProcess
from transforms.generate import GenerateScript
from transforms.narrate import NarrateScript
from transforms.parse import REJECTED, ParseRequests
from transforms.record import JobKey, JobMarks, RecordItems
from transforms.reject import KeepRejected
from transforms.threads import Threads

DEFAULT_MAX_IN_FLIGHT = 100


@dataclass(frozen=True)
class Services:
    """Factories of what the steps call; each must pickle.

    Attributes:
        writer: makes the TextModel; voice: the Voice.
        artifacts, statuses: make the stores.
        languages: tags that the writer can write; None for any.
        max_in_flight: calls under way at once, for each slow step and process;
            max_narrations: the same for the voice, where it wants fewer.
        chunks_at_once: of one long script, spoken side by side.
        dead_letter_topic: where rejected messages are published, events_topic:
            where the ends of batches are, as projects/<project>/topics/<topic>;
            empty for nowhere.
    """

    writer: Callable[[], TextModel]
    voice: Callable[[], Voice]
    artifacts: Callable[[], ArtifactStore]
    statuses: Callable[[], StatusStore]
    languages: Collection[str] | None = None
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    max_narrations: int | None = None
    chunks_at_once: int = 1
    dead_letter_topic: str = ""
    events_topic: str = ""


def _agents(statuses: Callable[[], StatusStore]) -> Agents:
    return Agents(statuses())


def _watch(statuses: Callable[[], StatusStore]) -> CancelWatch:
    return CancelWatch(statuses())


class NarrateBatches(beam.PTransform[Any, Any]):
    """The whole flow; step names are part of its interface, since a running job is replaced by them.

    Input:   Message   encoded batch requests.
    Output:  BatchEnd  one a batch and run, when its last item has come to an end.
    """

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._writer = OncePerProcess(services.writer)
        self._voice = OncePerProcess(services.voice)
        self._artifacts = OncePerProcess(services.artifacts)
        self._statuses = OncePerProcess(services.statuses)
        self._slow = Concurrency(
            threads=OncePerProcess(partial(Threads, 3 * services.max_in_flight, "roteiro")),
            watch=OncePerProcess(partial(_watch, self._statuses)),
            max_in_flight=services.max_in_flight,
        )

    def watch(self) -> CancelWatch:
        """What the steps of this process ask before a call; whoever holds it can stop them."""
        return self._slow.watch()

    def statuses(self) -> StatusStore:
        """The status store that the steps of this process share; whoever holds it keeps it alive."""
        return self._statuses()

    def expand(self, messages: PCollection[Message]) -> Any:
        """Read it aloud."""
        coders.register()
        make, slow = self._services, self._slow
        writer, voice = self._writer, self._voice
        artifacts, statuses = self._artifacts, self._statuses
        agents = OncePerProcess(partial(_agents, statuses))
        speaking = replace(slow, max_in_flight=make.max_narrations or make.max_in_flight)

        submissions = messages | "Parse requests" >> ParseRequests(make.languages)
        batches = submissions.submissions | "Accept batches" >> AcceptBatches(statuses, artifacts)
        _ = (
            (submissions[REJECTED], batches[REJECTED])
            | "Flatten rejected" >> beam.Flatten()
            | "Keep rejected" >> KeepRejected(artifacts, make.dead_letter_topic)
        )
        generated = (
            batches.batches
            | "Expand scripts" >> beam.FlatMap(expand.script_tasks).with_output_types(ScriptTask)
            | "Reshuffle" >> beam.Reshuffle()
            | "Generate scripts"
            >> beam.ParDo(GenerateScript(writer, agents, slow)).with_outputs(FAILED, main="scripts")
        )
        adapted = (
            generated.scripts
            | "Expand languages"
            >> beam.FlatMap(expand.by_language).with_output_types(Script | Tick)
            | "Adapt scripts"
            >> beam.ParDo(AdaptScript(writer, agents, slow)).with_outputs(FAILED, main="scripts")
        )
        narrated = adapted.scripts | "Narrate scripts" >> beam.ParDo(
            NarrateScript(voice, artifacts, agents, speaking, make.chunks_at_once)
        ).with_outputs(FAILED, main="narrations")
        counted = {
            "generated": generated.scripts,
            "not generated": generated[FAILED],
            "adapted": adapted.scripts,
            "not adapted": adapted[FAILED],
            "narrated": narrated.narrations,
            "not narrated": narrated[FAILED],
        } | "Record items" >> RecordItems(statuses)
        earlier = batches.batches | "Count earlier items" >> beam.FlatMap(
            close.earlier_marks
        ).with_output_types(tuple[JobKey, JobMarks])
        ends = (
            (counted, earlier)
            | "Flatten counts" >> beam.Flatten()
            | "Close jobs" >> beam.ParDo(close.CloseJob(statuses))
            | "Close batches" >> beam.ParDo(close.CloseBatch(statuses, artifacts))
        )
        if not make.events_topic:
            return ends
        return ends | "Announce ends" >> AnnounceEnds(make.events_topic)
