"""What all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

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
