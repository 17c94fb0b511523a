"""What all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.emulators import storage
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
