"""The composition root: settings become the adapters behind the ports."""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from launcher.claims import FileClaims, LeaseClaims
from launcher.settings import BUCKET
from services.access import GeminiAccess
from services.errors import Refused, Unavailable
from services.statuses.sqlite import SqliteStatusStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from launcher.claims import Claims
    from launcher.settings import Settings
    from pipeline.graph import Services
    from services.caching import Cache, Tally
    from services.ports import (
        ArtifactStore,
        StatusStore,
        Subscription,
        TextModel,
        Topic,
        Voice,
    )

Vertex: TypeAlias = tuple[str, str]
"""Project and location of Vertex AI."""
LOCAL_INTERVAL = 0.25
"""Seconds between writes of progress to SQLite, which has no rate to respect."""
CHUNKS_AT_ONCE = 8
"""Of one long script, where the voice waits: eight are forty thousand bytes, most of an hour."""

CACHE_PATIENCE = 10.0
"""Seconds: a paid answer can be had without the cache, so that it is not waited for long."""


def offered_languages(settings: Settings) -> Collection[str] | None:
    """Tags that the chosen writer can write; None for any."""
    from services.writers.offline import LANGUAGES

    return {"offline": LANGUAGES}.get(settings.writer)


def check_access(settings: Settings) -> None:
    """Look, without a call, whether the chosen services can be reached at all.

    Raises:
        ServiceError: saying what is to be set in the environment.
    """
    users = []
    if settings.writer == "generativeai":
        check_generativeai(settings)
    elif settings.writer == "gemini" and not settings.api_key_secret:
        GeminiAccess.of(os.environ)
    if settings.voice == "google" and not settings.speech_endpoint:
        from services.voices.google import USER

        users.append(USER)
    if settings.output.startswith(BUCKET) and not os.environ.get("STORAGE_EMULATOR_HOST"):
        users.append(settings.output)
    if settings.firestore and not os.environ.get("FIRESTORE_EMULATOR_HOST"):
        users.append(settings.status)
    if users:
        from services.googleapi import check_credentials

        check_credentials(" and ".join(users))


def services(
    settings: Settings, tally: Callable[[], Tally] | None = None, vertex: Vertex | None = None
) -> Services:
    """Factories for the graph; they pickle, and connect where they are called.

    Args:
        settings: choose the adapters; no key is among them.
        tally: makes, or finds, what counts the answers of the cache; None for one of its own.
        vertex: project and location of Gemini on Vertex AI, for workers that
            do not have the environment of whoever starts them.
    """
    from pipeline.graph import Services
    from services.caching import Tally

    tally = tally or Tally
    computing = settings.voice == "offline"
    return Services(
        writer=_writer(settings, tally, vertex),
        voice=_voice(settings, tally),
        artifacts=partial(artifacts, settings.output),
        statuses=_shared_statuses(settings),
        languages=offered_languages(settings),
        max_in_flight=settings.max_in_flight,
        # The offline voice computes instead of waiting: more threads than cores only queue.
        max_narrations=min(settings.max_in_flight, os.cpu_count() or 1) if computing else None,
        chunks_at_once=1 if computing else CHUNKS_AT_ONCE,
        dead_letter_topic=settings.dead_letter_topic,
        events_topic=settings.events_topic,
    )


def _shared_statuses(settings: Settings) -> Callable[[], StatusStore]:
    patience = settings.store_patience
    if settings.database is None:
        return partial(_shared_firestore, *settings.firestore or ("", ""), patience)
    return partial(_shared_sqlite, settings.database.absolute(), patience)


def _writer(
    settings: Settings, tally: Callable[[], Tally], vertex: Vertex | None
) -> Callable[[], TextModel]:
    if settings.writer == "gemini":
        return partial(_gemini, settings, tally, vertex)
    if settings.writer == "generativeai":
        return partial(_generativeai, settings, tally)
    from services.writers.offline import OfflineWriter

    return OfflineWriter


def gemini_access(settings: Settings, vertex: Vertex | None = None) -> GeminiAccess:
    """How Gemini is reached from this process; a key is read here and goes no further."""
    if vertex:
        return GeminiAccess(project=vertex[0], location=vertex[1])
    if not settings.api_key_secret:
        return GeminiAccess.of(os.environ)
    from services.secrets import secret

    return GeminiAccess.with_key(secret(settings.api_key_secret), settings.api_key_secret)


def _gemini(settings: Settings, tally: Callable[[], Tally], vertex: Vertex | None) -> TextModel:
    """The Gemini writer, retried and cached; the key is read where the calls are made."""
    from services.writers.gemini import GeminiWriter

    return _paid(GeminiWriter(gemini_access(settings, vertex), **_calls(settings)), settings, tally)


def _generativeai(settings: Settings, tally: Callable[[], Tally]) -> TextModel:
    """The same on the SDK before; it warns of its end when it is imported."""
    from services.writers.generativeai import GenerativeAiWriter

    writer = GenerativeAiWriter(gemini_access(settings), **_calls(settings))
    return _paid(writer, settings, tally)


def _paid(writer: TextModel, settings: Settings, tally: Callable[[], Tally]) -> TextModel:
    """A writer of Gemini: retried, and cached whatever its SDK, because the model is the same."""
    from services.caching import CachedText
    from services.retrying import Policy, Retrying

    retried = Retrying(writer, Policy(settings.attempts, settings.retry_deadline))
    if settings.no_cache:
        return retried
    # Another endpoint may be a simulator's, whose answers must not pass for Gemini's.
    vendor = {"vendor": "gemini", "endpoint": settings.gemini_endpoint}
    return CachedText(retried, _cache(settings, tally), vendor)


def _cache(settings: Settings, tally: Callable[[], Tally]) -> Cache:
    """Below the output, so that whoever makes the same batches finds it."""
    from services.caching import Cache

    return Cache(artifacts(settings.output, CACHE_PATIENCE), settings.refresh, tally())


def _calls(settings: Settings) -> dict[str, Any]:
    """How a writer calls Gemini, whichever its SDK."""
    return {
        "generation_timeout": settings.generation_timeout,
        "adaptation_timeout": settings.adaptation_timeout,
        "endpoint": settings.gemini_endpoint,
    }


def check_generativeai(settings: Settings) -> None:
    """Look whether the extra is installed and has a key.

    Raises:
        Refused: saying what to install or to set.
    """
    try:
        found = find_spec("google.generativeai")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise Refused(
            "writer generativeai needs google-generativeai: install the extra, as "
            "docs/settings.md says, or choose the writer gemini",
            code="unauthenticated",
        )
    if not settings.api_key_secret and GeminiAccess.of(os.environ).project:
        raise Refused(
            "writer generativeai has no Vertex AI: leave GOOGLE_GENAI_USE_VERTEXAI out and set "
            "GOOGLE_API_KEY, or choose the writer gemini",
            code="unauthenticated",
        )


def _voice(settings: Settings, tally: Callable[[], Tally]) -> Callable[[], Voice]:
    if settings.voice == "google":
        return partial(_google, settings, tally)
    from services.voices.offline import OfflineVoice

    return OfflineVoice


def _google(settings: Settings, tally: Callable[[], Tally]) -> Voice:
    """The Google voice, retried and cached."""
    from services.caching import CachedVoice
    from services.retrying import Policy, RetryingVoice
    from services.voices.google import GoogleVoice

    voice = GoogleVoice(
        settings.speech_endpoint,
        timeout=settings.speech_timeout,
        sample_rate=settings.sample_rate,
        calls=settings.max_in_flight,
    )
    retried = RetryingVoice(voice, Policy(settings.attempts, settings.retry_deadline))
    if settings.no_cache:
        return retried
    vendor = {
        "vendor": "google",
        "endpoint": settings.speech_endpoint,
        "encoding": "MP3",
        "sample_rate": settings.sample_rate,
    }
    return CachedVoice(retried, _cache(settings, tally), vendor)


def artifacts(output: str, patience: float | None = None) -> ArtifactStore:
    """The store below a folder, named so that it is found from any other, or below a bucket.

    It opens what was written to either.

    Args:
        output: the folder or bucket.
        patience: seconds to wait for a bucket's answer, and after which a call
            is not made again; None for as long as is usual.
    """
    from services.artifacts.folder import FolderArtifactStore
    from services.artifacts.opening import OpensAnywhere

    remote = output.startswith("gs://")
    store = (
        _bucket(output, patience) if remote else FolderArtifactStore(str(Path(output).absolute()))
    )
    return OpensAnywhere(
        store,
        {"": partial(FolderArtifactStore, "/"), "gs": partial(_bucket, "gs://any")},
    )


def _bucket(root: str, patience: float | None = None) -> ArtifactStore:
    """The client takes half a second to import; whoever only names files here does not need it."""
    from services.artifacts.bucket import BucketArtifactStore

    if patience is None:
        return BucketArtifactStore(root)
    return BucketArtifactStore(root, timeout=patience, deadline=patience)


def statuses(settings: Settings) -> StatusStore:
    """The status store itself, made where it is not there yet.

    Raises:
        ServiceError: naming the store that cannot be used.
    """
    if settings.database is None:
        return _firestore(*settings.firestore or ("", ""))
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
        there = settings.database is None or settings.database.exists()
    except OSError as error:
        raise Unavailable(f"{settings.database}: {error.strerror}") from error
    return statuses(settings) if there else None


def claims(settings: Settings, statuses: StatusStore) -> Claims:
    """Who makes what."""
    if settings.database is None:
        return LeaseClaims(statuses)
    return FileClaims(settings.database)


def look_every(settings: Settings) -> float:
    """Seconds between two looks at a batch: each costs a few reads where reads are paid for."""
    return 0.25 if settings.database else 2.0


def topic(name: str) -> Topic:
    """A topic, by its full name.

    Raises:
        ServiceError: where there are no credentials, or no such topic.
    """
    from services.requests.pubsub import PubsubTopic

    found = PubsubTopic(name)
    found.check()
    return found


def subscription(settings: Settings) -> Subscription:
    """Where requests are taken from.

    Raises:
        ServiceError: where there are no credentials, or no such subscription.
    """
    from services.requests.pubsub import PubsubSubscription

    found = PubsubSubscription(settings.subscription)
    found.check()
    return found


def _firestore(project: str, database: str) -> StatusStore:
    from services.statuses.firestore import FirestoreStatusStore

    return FirestoreStatusStore(project, database)


def _shared_sqlite(database: Path, patience: float) -> StatusStore:
    return _shared(SqliteStatusStore(database), LOCAL_INTERVAL, patience)


def _shared_firestore(project: str, database: str, patience: float) -> StatusStore:
    from services.statuses.coalescing import INTERVAL

    return _shared(_firestore(project, database), INTERVAL, patience)


def _shared(store: StatusStore, interval: float, patience: float) -> StatusStore:
    """What the steps of a process share: merges wait for their like, and all for the store."""
    from services.statuses.coalescing import CoalescingStatusStore
    from services.statuses.outages import Outage
    from services.statuses.patient import PatientStatusStore

    outage = Outage()
    return PatientStatusStore(CoalescingStatusStore(store, interval, outage), patience, outage)
