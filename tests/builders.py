"""Builders: what tests begin with, one line where a dict would be pasted."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from domain import keys
from domain.request import AgentConfig, BatchRequest, build_request
from domain.work import (
    BatchEnd,
    Failure,
    GeneratedScript,
    Item,
    Job,
    Narration,
    Script,
    ScriptTask,
    Stage,
)

ROTEIRO = str(Path(sys.executable).with_name("roteiro"))
"""The command line of this environment; PROGRAM is what it calls itself."""
PROGRAM = "roteiro" if shutil.which("roteiro") else ROTEIRO


def agent_document(**fields: Any) -> dict[str, Any]:
    """The agent of a request as a client writes it; only what must be given, and the fields."""
    return {"target_languages": ["pt-BR"], **fields}


def request_document(**fields: Any) -> dict[str, Any]:
    """A request as a client writes it; only what must be given, and the fields."""
    return {"titles": ["A história do café"], "agent": agent_document(), **fields}


def encoded(document: Any) -> bytes:
    """The document as it is published."""
    return json.dumps(document, ensure_ascii=False).encode()


def batch_request(
    *titles: str,
    languages: tuple[str, ...] = ("pt-BR",),
    variations: int = 1,
    owner: str = "ana@example.com",
    batch_id: str | None = None,
    **agent: Any,
) -> BatchRequest:
    """A valid request; fields not named here are the agent's."""
    document = request_document(
        titles=list(titles) or ["A história do café"],
        variations=variations,
        owner=owner,
        batch_id=batch_id,
        agent=agent_document(target_languages=list(languages), **agent),
    )
    return build_request(document)


def agent(**fields: Any) -> AgentConfig:
    """A valid agent."""
    return build_request(request_document(agent=agent_document(**fields))).agent


def job(title: str = "A história do café", position: int = 1, **fields: Any) -> Job:
    """A job of the batch `cafe`."""
    named = {"batch_id": "cafe", "run_id": "run-1", "items": 1, "jobs": 1}
    return Job(**{**named, "job_id": keys.job_id(position, title), "position": position, **fields})


def item(language: str = "pt-BR", variation: int = 1, *, of: Job | None = None) -> Item:
    """An item of the given job."""
    return Item(of or job(), variation, language, index=0)


def script_task(
    title: str = "A história do café",
    variation: int = 1,
    languages: tuple[str, ...] = ("pt-BR",),
    *,
    of: Job | None = None,
) -> ScriptTask:
    """A script to be written for all the languages of a job."""
    first = (variation - 1) * len(languages)
    return ScriptTask(of or job(title), variation, title, tuple(enumerate(languages, first)))


def generated_script(text: str = "Era uma vez o café.", **task: Any) -> GeneratedScript:
    """The master script of such a task."""
    return GeneratedScript(script_task(**task), text, "a-model")


def script(
    title: str = "A história do café",
    text: str = "Era uma vez o café.",
    *,
    of: Item | None = None,
) -> Script:
    """A script that is to be adapted, into American English where no item is given."""
    return Script(of or item("en-US", of=job(title)), title, text, "a-model")


def narration(of: Item | None = None, **fields: Any) -> Narration:
    """A narration of 1.5 seconds, 1,000 bytes and 20 characters."""
    narrated = of or item()
    made = {
        "audio_uri": f"out/{narrated.name}.mp3",
        "script_uri": f"out/{narrated.name}.txt",
        "sha256": "0" * 64,
        "audio_bytes": 1_000,
        "audio_seconds": 1.5,
        "characters": 20,
        "aspect": "curiosidades",
        "writer": "a-model",
        "voice": "a-voice",
    }
    return Narration(narrated, **{**made, **fields})


def batch_end(**fields: Any) -> BatchEnd:
    """The end of the batch `cafe`, of which one item failed."""
    told = {
        "batch_id": "cafe",
        "run_id": "run-1",
        "owner": "ana@example.com",
        "status": "partial",
        "completed": 4,
        "failed": 2,
        "cancelled": 0,
        "completed_at": "2026-01-01T12:00:00.000+00:00",
        "manifest_uri": "out/manifest.json",
    }
    return BatchEnd(**{**told, **fields})


def failure(
    of: Item | None = None,
    stage: Stage = "narrate",
    code: str = "unavailable",
    message: str = "the service is away",
    attempts: int = 5,
) -> Failure:
    """An item that could not be made."""
    return Failure(of or item(), stage, code, message, attempts)
