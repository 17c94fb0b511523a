"""What all tests share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.emulators import storage
from tests.emulators.firestore import VARIABLE, FirestoreEmulator, Missing
from tests.emulators.pubsub import PubsubEmulator

if TYPE_CHECKING:
    from collections.abc import Iterator

# A busy machine is no finding: examples are checked for what they are, never for how long.
settings.register_profile("roteiro", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("roteiro")


@pytest.fixture(scope="session")
def pubsub() -> Iterator[PubsubEmulator]:
    """Pub/Sub, on this machine or where PUBSUB_EMULATOR_HOST says."""
    with PubsubEmulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def storage_emulator() -> Iterator[storage.StorageEmulator]:
    """Cloud Storage, on this machine."""
    if reason := storage.missing():
        pytest.skip(reason)
    with storage.StorageEmulator() as emulator:
        yield emulator


@pytest.fixture
def bucket(storage_emulator: storage.StorageEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new bucket, which clients find while the test lasts."""
    monkeypatch.setenv(storage.VARIABLE, storage_emulator.url)
    # Else the client asks once for the bucket itself, in a thread of its own, for its traces.
    monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "1")
    return storage_emulator.bucket()


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[str]:
    """Where Firestore is emulated, for all tests of a process."""
    try:
        with FirestoreEmulator() as emulator:
            yield emulator.host
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def firestore_project(firestore_emulator: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project with an empty database; this process and its children find the emulator."""
    monkeypatch.setenv(VARIABLE, firestore_emulator)
    return f"test-{uuid.uuid4().hex[:12]}"
