"""What tests of the services share: the simulator of Gemini, and writers that talk to it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from domain import prompts
from services.access import GeminiAccess
from services.writers.gemini import GeminiWriter
from tests import builders
from tests.simulators.gemini import GeminiSimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from domain.prompts import Prompt
    from services.ports import TextModel

    Connect: TypeAlias = Callable[..., TextModel]

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


def connect_generativeai(access: GeminiAccess, **options: Any) -> TextModel:
    """The writer whose SDK is an extra, imported where it is needed only."""
    from services.writers.generativeai import GenerativeAiWriter

    return GenerativeAiWriter(access, **options)


needs_generativeai = pytest.mark.skipif(
    find_spec("google.generativeai") is None,
    reason="google-generativeai has an environment of its own: make test-generativeai",
)

SDKS: dict[str, Connect] = {"gemini": GeminiWriter, "generativeai": connect_generativeai}


@pytest.fixture(
    scope="module", params=["gemini", pytest.param("generativeai", marks=needs_generativeai)]
)
def connect(request: pytest.FixtureRequest) -> Connect:
    """What makes a Gemini writer, by either SDK."""
    return SDKS[request.param]


@pytest.fixture(scope="module")
def gemini_writer(connect: Connect, shared_gemini: GeminiSimulator) -> TextModel:
    """A writer with a key, for all tests of a module: a client takes a while to make."""
    return connect(GeminiAccess(api_key=KEY), endpoint=shared_gemini.url)


def variation(title: str = "O café", **agent: Any) -> Prompt:
    """Ask for a script."""
    return prompts.variation(builders.script_task(title), builders.agent(**agent))


def adaptation(title: str = "O café", **agent: Any) -> Prompt:
    """Ask for its adaptation to American English."""
    return prompts.adaptation(builders.script(title), builders.agent(**agent))
