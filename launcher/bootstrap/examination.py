"""What the composition root asks of each service, for the doctor."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from domain.request import AgentConfig
from launcher.bootstrap import check_generativeai, existing_statuses, gemini_access
from launcher.checks import REACH, Check, check_writable
from launcher.settings import BUCKET
from launcher.tables import REMEDIES
from services.ports import BatchQuery

if TYPE_CHECKING:
    from collections.abc import Callable

    from launcher.settings import Settings


def checks(settings: Settings, seconds: float) -> list[Check]:
    """One call to each service; those that the settings do not use have none.

    Args:
        settings: name the services.
        seconds: that a call may take.
    """
    remote = settings.output.startswith(BUCKET)
    gemini = settings.writer in {"gemini", "generativeai"}
    google, database = settings.voice == "google", settings.database
    folder = Path(settings.output)
    parts = [
        Check(
            "Gemini",
            f"the tokens of a word, of {MODEL}; free",
            _gemini_check(settings, seconds) if gemini else None,
            REMEDIES,
        ),
        Check(
            "Text-to-Speech",
            f"to say {WORD!r} in {LANGUAGE}; costs {len(WORD)} characters",
            _speech_check(settings, seconds) if google else None,
            REMEDIES,
        ),
        Check("eSpeak NG", f"to say {WORD!r} in {LANGUAGE}", None if google else _espeak_check()),
        Check(
            "Cloud Storage",
            f"whether {settings.output} can be listed and written",
            _bucket_check(settings.output, seconds) if remote else None,
            {"storage_unavailable": REACH},
        ),
        Check(
            "output folder",
            f"whether {folder} can be written",
            None if remote else partial(check_writable, folder, "output"),
        ),
        Check(
            "Firestore",
            f"a document of {settings.store}",
            _firestore_check(*settings.firestore, seconds) if settings.firestore else None,
        ),
        Check(
            "SQLite",
            f"the newest batch of {settings.store}",
            _sqlite_check(settings, database) if database else None,
            {"unavailable": "move the file away where it is broken, or name another: --status"},
        ),
    ]
    for setting in ("topic", "dead_letter_topic", "events_topic", "subscription"):
        name = str(getattr(settings, setting))
        call = _pubsub_check(setting, name, seconds) if name else None
        parts.append(Check(setting, f"Pub/Sub, whether {name} is there", call))
    return parts


MODEL = AgentConfig.model_fields["model"].default
"""That a request names where it names none."""
WORD, LANGUAGE = "Oi", "pt-BR"


# What asks is imported before it is called: the calls are made side by side, and to import
# Google's packages in several threads at once fails, now and then, on their cycles.


def _gemini_check(settings: Settings, seconds: float) -> Callable[[], None]:
    """By google-genai, whichever SDK writes: the key and the service are the same."""
    from services.googleapi import check_credentials
    from services.writers.gemini import GeminiWriter

    def ask() -> None:
        access = gemini_access(settings)
        if settings.writer == "generativeai":
            check_generativeai(settings)
        if access.project:
            check_credentials("Vertex AI")
        with closing(GeminiWriter(access, endpoint=settings.gemini_endpoint)) as writer:
            writer.count(WORD, MODEL, seconds=seconds)

    return ask


def _speech_check(settings: Settings, seconds: float) -> Callable[[], None]:
    from services.ports import Utterance
    from services.voices.google import GoogleVoice

    def ask() -> None:
        with closing(GoogleVoice(settings.speech_endpoint, timeout=seconds)) as voice:
            voice.speak(Utterance(WORD, LANGUAGE))

    return ask


def _espeak_check() -> Callable[[], None]:
    from services.ports import Utterance
    from services.voices.offline import OfflineVoice

    def ask() -> None:
        OfflineVoice().speak(Utterance(WORD, LANGUAGE))

    return ask


def _bucket_check(output: str, seconds: float) -> Callable[[], None]:
    from services.artifacts.bucket import BucketArtifactStore

    def ask() -> None:
        with closing(BucketArtifactStore(output, timeout=seconds, deadline=seconds)) as store:
            store.check()

    return ask


def _firestore_check(project: str, database: str, seconds: float) -> Callable[[], None]:
    from services.statuses.firestore import FirestoreStatusStore

    def ask() -> None:
        with closing(FirestoreStatusStore(project, database, timeout=seconds)) as statuses:
            statuses.batch("doctor")  # as good as any: whether it is there does not matter

    return ask


def _sqlite_check(settings: Settings, database: Path) -> Callable[[], None]:
    def ask() -> None:
        statuses = existing_statuses(settings)
        if statuses is None:  # it is not made either
            check_writable(database.parent, "status")
            return
        with closing(statuses):
            for _ in statuses.batches(BatchQuery(limit=1)):
                pass

    return ask


def _pubsub_check(setting: str, name: str, seconds: float) -> Callable[[], None]:
    from services.requests.pubsub import PubsubSubscription, PubsubTopic

    adapter = PubsubSubscription if setting == "subscription" else PubsubTopic

    def ask() -> None:
        with closing(adapter(name, timeout=seconds)) as found:
            found.check()

    return ask
