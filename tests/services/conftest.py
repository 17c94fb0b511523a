"""What tests of the services share: the simulator of Gemini, and writers that talk to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.access import GeminiAccess
from services.writers.gemini import GeminiWriter
from tests.simulators.gemini import GeminiSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "AIza-a-key-of-the-tests"


@pytest.fixture
def gemini() -> Iterator[GeminiSimulator]:
    """Gemini, on this machine."""
    with GeminiSimulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def shared_gemini() -> Iterator[GeminiSimulator]:
    """The same for all tests of a module."""
    with GeminiSimulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def gemini_writer(shared_gemini: GeminiSimulator) -> GeminiWriter:
    """A writer with a key, for all tests of a module: a client takes a while to make."""
    return GeminiWriter(GeminiAccess(api_key=KEY), endpoint=shared_gemini.url)
