"""Narration: a script becomes an MP3 that is stored, and a reference to it."""

import hashlib
from collections.abc import Callable, Iterator

from domain import keys
from domain.prompts import aspect_of
from domain.work import Item, Narration, Script
from services.agents import Agents
from services.ports import ArtifactStore, Voice
from services.speaking import narrate
from services.tagging import tag
from transforms.concurrent import Concurrency, ConcurrentDoFn, OncePerProcess


class NarrateScript(ConcurrentDoFn[Script, Narration]):
    """Has a script spoken and stores it.

    Input:   Script     in its own language.
    Output:  Narration  main: where its MP3 and its words are.
             Failure    FAILED: the item, this stage, code and message.

    Args:
        voice, artifacts: make the Voice and the ArtifactStore; called in setup.
        agents: makes the process's Agents.
        concurrency: what it runs on.
        chunks_at_once: of one script, where it is too long for one call.
    """

    stage = "narrate"

    def __init__(
        self,
        voice: Callable[[], Voice],
        artifacts: Callable[[], ArtifactStore],
        agents: OncePerProcess[Agents],
        concurrency: Concurrency,
        chunks_at_once: int = 1,
    ) -> None:
        super().__init__(concurrency)
        self._connect_voice = voice
        self._connect_artifacts = artifacts
        self._connect_agents = agents
        self._chunks_at_once = chunks_at_once

    def setup(self) -> None:
        super().setup()
        self._voice = self._connect_voice()
        self._artifacts = self._connect_artifacts()
        self._agents = self._connect_agents()

    def handle(self, script: Script) -> Iterator[Narration]:
        """Speak, tag, store the words and then the audio, so that audio is never without words."""
        item, agent = script.item, self._agents.of(script.item.job.batch_id)
        spoken = narrate(
            self._voice,
            script.text,
            language=item.language,
            voice_name=agent.voices.get(item.language, ""),
            rate=agent.speaking_rate,
            concurrency=self._chunks_at_once,
        )
        aspect = aspect_of(agent, item.variation)
        audio = tag(
            spoken.audio,
            title=script.title,
            album=item.job.batch_id,
            language=item.language,
            comment=f"{aspect} · written by {script.writer}, spoken by {spoken.voice}",
        )
        text_path, audio_path = (
            keys.deliverable(item.job.batch_id, item.job.job_id, item.name, ending)
            for ending in ("txt", "mp3")
        )
        script_uri = self._artifacts.write(text_path, script.text.encode())
        yield Narration(
            item=item,
            audio_uri=self._artifacts.write(audio_path, audio),
            script_uri=script_uri,
            sha256=hashlib.sha256(audio).hexdigest(),
            audio_bytes=len(audio),
            audio_seconds=round(spoken.seconds, 3),
            characters=spoken.characters,
            aspect=aspect,
            writer=script.writer,
            voice=spoken.voice,
        )

    def items(self, script: Script) -> Iterator[Item]:
        """The script's own."""
        yield script.item
