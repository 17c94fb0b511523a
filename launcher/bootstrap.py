"""The composition root: settings become the adapters behind the ports."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from services.access import GeminiAccess
from services.errors import Unavailable
from services.statuses.sqlite import SqliteStatusStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from launcher.settings import Settings
    from pipeline.graph import Services
    from services.ports import ArtifactStore, StatusStore, TextModel, Voice

LOCAL_INTERVAL = 0.25
"""Seconds between writes of progress to SQLite, which has no rate to respect."""
CHUNKS_AT_ONCE = 8
"""Of one long script, where the voice waits: eight are forty thousand bytes, most of an hour."""


def offered_languages(settings: Settings) -> Collection[str] | None:
    """Tags that the chosen writer can write; None for any."""
    from services.writers.offline import LANGUAGES

    return {"offline": LANGUAGES}.get(settings.writer)


def check_access(settings: Settings) -> None:
    """Look, without a call, whether the chosen services can be reached at all.

    Raises:
        ServiceError: saying what is to be set in the environment.
    """
    if settings.writer == "gemini":
        GeminiAccess.of(os.environ)
    if settings.voice == "google" and not settings.speech_endpoint:
        from services.voices.google import check_credentials

        check_credentials()


def services(settings: Settings) -> Services:
    """Factories for the graph; they pickle, and connect where they are called."""
    from pipeline.graph import Services

    computing = settings.voice == "offline"
    return Services(
        writer=_writer(settings),
        voice=_voice(settings),
        artifacts=partial(artifacts, settings.output),
        statuses=partial(_coalescing, settings.database.absolute()),
        languages=offered_languages(settings),
        max_in_flight=settings.max_in_flight,
        # The offline voice computes instead of waiting: more threads than cores only queue.
        max_narrations=min(settings.max_in_flight, os.cpu_count() or 1) if computing else None,
        chunks_at_once=1 if computing else CHUNKS_AT_ONCE,
    )


def _writer(settings: Settings) -> Callable[[], TextModel]:
    if settings.writer == "gemini":
        return partial(_gemini, settings)
    from services.writers.offline import OfflineWriter

    return OfflineWriter


def _gemini(settings: Settings) -> TextModel:
    """The Gemini writer and its retries; the key is read where the calls are made."""
    from services.retrying import Policy, Retrying
    from services.writers.gemini import GeminiWriter

    writer = GeminiWriter(
        GeminiAccess.of(os.environ),
        generation_timeout=settings.generation_timeout,
        adaptation_timeout=settings.adaptation_timeout,
        endpoint=settings.gemini_endpoint,
    )
    return Retrying(writer, Policy(settings.attempts, settings.retry_deadline))


def _voice(settings: Settings) -> Callable[[], Voice]:
    if settings.voice == "google":
        return partial(_google, settings)
    from services.voices.offline import OfflineVoice

    return OfflineVoice


def _google(settings: Settings) -> Voice:
    """The Google voice and its retries."""
    from services.retrying import Policy, RetryingVoice
    from services.voices.google import GoogleVoice

    voice = GoogleVoice(
        settings.speech_endpoint,
        timeout=settings.speech_timeout,
        sample_rate=settings.sample_rate,
        calls=settings.max_in_flight,
    )
    return RetryingVoice(voice, Policy(settings.attempts, settings.retry_deadline))


def artifacts(output: str) -> ArtifactStore:
    """The store below a folder, named so that it is found from any other, or below a bucket.

    It opens what was written to either.
    """
    from services.artifacts.folder import FolderArtifactStore
    from services.artifacts.opening import OpensAnywhere

    remote = output.startswith("gs://")
    store = _bucket(output) if remote else FolderArtifactStore(str(Path(output).absolute()))
    return OpensAnywhere(
        store,
        {"": partial(FolderArtifactStore, "/"), "gs": partial(_bucket, "gs://any")},
    )


def _bucket(root: str) -> ArtifactStore:
    """The client takes half a second to import; whoever only names files here does not need it."""
    from services.artifacts.bucket import BucketArtifactStore

    return BucketArtifactStore(root)


def statuses(settings: Settings) -> StatusStore:
    """The status store itself, made where it is not there yet.

    Raises:
        ServiceError: naming the store that cannot be used.
    """
    try:
        return SqliteStatusStore(settings.database)
    except Unavailable as error:
        raise Unavailable(f"{settings.database}: {error.message}") from error


def existing_statuses(settings: Settings) -> StatusStore | None:
    """The status store for those who only look: None where there is none.

    Raises:
        ServiceError: naming the store that cannot be used.
    """
    try:
        there = settings.database.exists()
    except OSError as error:
        raise Unavailable(f"{settings.database}: {error.strerror}") from error
    return statuses(settings) if there else None


def _coalescing(database: Path) -> StatusStore:
    from services.statuses.coalescing import CoalescingStatusStore

    return CoalescingStatusStore(SqliteStatusStore(database), LOCAL_INTERVAL)
