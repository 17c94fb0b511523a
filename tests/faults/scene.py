"""A scene: the graph with its real adapters, servers that go wrong, and what is left in the end."""

from __future__ import annotations

import json
import os
import resource
import uuid
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import apache_beam as beam
import miniaudio

from domain.work import Message
from pipeline.graph import NarrateBatches, Services
from pipeline.options import local_bounded
from services.access import GeminiAccess
from services.artifacts.bucket import BucketArtifactStore
from services.artifacts.folder import FolderArtifactStore
from services.caching import Cache, CachedText, Tally
from services.ports import Completion
from services.retrying import Policy, Retrying, RetryingVoice
from services.statuses.coalescing import CoalescingStatusStore
from services.statuses.firestore import FirestoreStatusStore
from services.statuses.patient import PatientStatusStore
from services.statuses.sqlite import SqliteStatusStore
from services.voices.google import GoogleVoice
from services.writers.gemini import GeminiWriter
from tests.builders import encoded, request_document
from tests.emulators.faults import Front
from tests.emulators.grpc_faults import GrpcFront
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.speech import SpeechSimulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from domain.prompts import Prompt
    from domain.status import BatchDoc
    from services.ports import ArtifactStore, StatusStore, TextModel, Voice
    from tests.emulators.storage import StorageEmulator

TITLES: Final = ("Café", "Chá")
LANGUAGES: Final = ("pt-BR", "en-US")
ATTEMPTS: Final = 3
LONG: Final = "A sentence. " * 1_000 + "The one that nobody says. " + "A sentence. " * 700
"""A script of some 20,000 bytes, which are five chunks and some five megabytes of silence."""


class Time:
    """Seconds that pass when somebody sleeps, and only then; those of a process, for all."""

    seconds = 0.0
    waits: list[float] = []  # noqa: RUF012 - the process's

    @classmethod
    def now(cls) -> float:
        """Since the scene began."""
        return cls.seconds

    @classmethod
    def sleep(cls, seconds: float) -> None:
        """Be later at once."""
        cls.seconds += seconds
        cls.waits.append(seconds)


POLICY: Final = Policy(attempts=ATTEMPTS, deadline=600)


def gemini(url: str, timeout: float) -> TextModel:
    """The writer and its retries."""
    access = GeminiAccess(api_key="AIza-a-key-of-the-faults")
    writer = GeminiWriter(
        access, generation_timeout=timeout, adaptation_timeout=timeout, endpoint=url
    )
    return Retrying(writer, POLICY, Time.now, Time.sleep)


def cached_gemini(url: str, timeout: float, artifacts: Callable[[], ArtifactStore]) -> TextModel:
    """The same, behind the cache."""
    cache = Cache(artifacts(), refresh=False, tally=Tally())
    return CachedText(gemini(url, timeout), cache, {"vendor": "gemini", "endpoint": url})


def google(endpoint: str, timeout: float) -> Voice:
    """The voice and its retries."""
    return RetryingVoice(GoogleVoice(endpoint, timeout=timeout), POLICY, Time.now, Time.sleep)


def sqlite(path: Path) -> StatusStore:
    """The status store as a run has it."""
    return CoalescingStatusStore(SqliteStatusStore(path), 0.1)


@dataclass
class LongWriter:
    """A TextModel whose English is long."""

    def complete(self, prompt: Prompt) -> Completion:
        """The same for every title."""
        return Completion(LONG if prompt.language == "en-US" else "Breve.", "long-writer")


@dataclass
class Scene:
    """A batch of two titles in two languages, and everything that it needs.

    Attributes:
        emulator, firestore: of Cloud Storage, and where Firestore's is, for rows
            that want them.
        gemini, speech: the simulators; storage: before the bucket, where there is one.
        artifacts, writer, statuses: factories, where a row wants others.
        timeout: seconds that a call may take before it is given up.
    """

    folder: Path
    emulator: StorageEmulator | None = None
    firestore: str = ""
    gemini: GeminiSimulator = field(default_factory=GeminiSimulator)
    speech: SpeechSimulator = field(default_factory=SpeechSimulator)
    storage: Front | None = None
    artifacts: Callable[[], ArtifactStore] | None = None
    writer: Callable[[], TextModel] | None = None
    statuses: Callable[[], StatusStore] | None = None
    chunks_at_once: int = 1
    timeout: float = 30
    messages: list[bytes] = field(default_factory=list)
    bucket: str = ""
    project: str = ""

    def __enter__(self) -> Self:
        Time.seconds, Time.waits = 0.0, []
        with ExitStack() as stack:
            stack.enter_context(self.gemini)
            stack.enter_context(self.speech)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def use_bucket(self) -> Front:
        """Have files go to a bucket, through a server that can fail."""
        assert self.emulator
        self.storage = self._stack.enter_context(Front(self.emulator.url))
        self.bucket = self.emulator.bucket()
        self.artifacts = partial(_bucket, self.storage.url, f"gs://{self.bucket}/out", self.timeout)
        return self.storage

    def use_firestore(self) -> GrpcFront:
        """Have statuses go to Firestore, through a server that can fail."""
        assert self.firestore
        front = self._stack.enter_context(GrpcFront(self.firestore))
        self.project = f"test-{uuid.uuid4().hex[:12]}"
        self.statuses = partial(_patient_firestore, front.host, self.project)
        return front

    def _store(self) -> StatusStore:
        if self.project:
            return _firestore(self.firestore, self.project)
        return SqliteStatusStore(self.folder / "status.db")

    @property
    def output(self) -> Path:
        """Where files go without a bucket."""
        return self.folder / "output"

    def run(self) -> None:
        """Make the batch `cafe`, or what the messages ask for."""
        services = Services(
            writer=self.writer or partial(gemini, self.gemini.url, self.timeout),
            voice=partial(google, self.speech.endpoint, self.timeout),
            artifacts=self.artifacts or partial(FolderArtifactStore, str(self.output), Time.sleep),
            statuses=self.statuses or partial(sqlite, self.folder / "status.db"),
            max_in_flight=4,
            chunks_at_once=self.chunks_at_once,
        )
        messages = [
            Message(data, f"batch-{number}", f"run-{number}")
            for number, data in enumerate(self.messages or [request()])
        ]
        pipeline = beam.Pipeline(options=local_bounded())
        _ = pipeline | beam.Create(messages) | NarrateBatches(services)
        pipeline.run().wait_until_finish()

    def batch(self) -> BatchDoc:
        """The document of the batch `cafe`."""
        with closing(self._store()) as statuses:
            batch = statuses.batch("cafe")
        assert batch
        return batch

    def codes(self) -> Counter[str]:
        """How often each code of failure stands in the batch's jobs."""
        with closing(self._store()) as statuses:
            items = [item for job in statuses.jobs("cafe") for item in job["items"].values()]
        errors = [error for item in items if (error := item.get("error"))]
        return Counter(error["code"] for error in errors)

    def dead_letters(self) -> int:
        """Messages that were kept."""
        return sum(name.startswith("dead-letters/") for name in self._files())

    def limit_files(self, size: int) -> None:
        """Let no file of this process grow beyond so many bytes, as on a full disk."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        self._stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, before)

    def check_files(self) -> None:
        """Everything that is stored is whole, and what is recorded as made is stored."""
        files = self._files()
        manifest = json.loads(files["batches/cafe/manifest.json"])
        made = {}
        for item in manifest["items"]:
            if item["status"] == "completed":
                made[item["uri"].partition("batches/")[2]] = item
        audio = {
            name.removeprefix("batches/"): data
            for name, data in files.items()
            if name.endswith(".mp3") and name.startswith("batches/")
        }
        assert set(made) <= set(audio)
        for name, data in audio.items():
            assert miniaudio.decode(data).num_frames > 0
            if name in made:
                assert len(data) == made[name]["bytes"]
        assert not [name for name in files if name.endswith(".part")]

    def _files(self) -> dict[str, bytes]:
        if not self.bucket:
            return {
                str(path.relative_to(self.output)): path.read_bytes()
                for path in self.output.rglob("*")
                if path.is_file()
            }
        assert self.emulator
        with self.emulator.client() as client:
            return {
                blob.name.removeprefix("out/"): blob.download_as_bytes()
                for blob in client.list_blobs(self.bucket)
            }


def _bucket(url: str, root: str, timeout: float) -> ArtifactStore:
    os.environ["STORAGE_EMULATOR_HOST"] = url  # where the client looks when it is made
    return BucketArtifactStore(root, timeout=timeout, deadline=2, backoff=0.01)


def _firestore(host: str, project: str, timeout: float = 30) -> FirestoreStatusStore:
    os.environ["FIRESTORE_EMULATOR_HOST"] = host  # where the client looks when it is made
    return FirestoreStatusStore(project, timeout=timeout, sleep=Time.sleep)


def _patient_firestore(host: str, project: str) -> StatusStore:
    """The status store as a pipeline has it; what it waits for passes at once."""
    coalescing = CoalescingStatusStore(_firestore(host, project, timeout=0.5), 0.1)
    return PatientStatusStore(coalescing, 600, clock=Time.now, sleep=Time.sleep)


def request(batch_id: str = "cafe", **fields: Any) -> bytes:
    """The batch that every row makes."""
    agent = {"target_languages": list(LANGUAGES), "master_language": "pt-BR"}
    document = {"titles": list(TITLES), "agent": agent, "batch_id": batch_id, **fields}
    return encoded(request_document(**document))
