"""What all tests share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.emulators.firestore import VARIABLE, FirestoreEmulator, Missing

if TYPE_CHECKING:
    from collections.abc import Iterator

# A busy machine is no finding: examples are checked for what they are, never for how long.
settings.register_profile("roteiro", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("roteiro")


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
