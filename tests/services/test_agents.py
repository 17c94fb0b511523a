"""How a step learns the editorial voice of a batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from services.agents import KEPT, Agents
from services.errors import ServiceError, Unavailable
from tests.builders import batch_request
from tests.fakes import UnsteadyStatusStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST = batch_request(
    name="Documentarista", aspects=["história"], voices={"en-us": "a-voice"}, thinking_budget=0
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[UnsteadyStatusStore]:
    made = UnsteadyStatusStore(tmp_path / "status.db")
    made.accept("cafe", REQUEST, run_id="run-1", resume=False)
    yield made
    made.close()


def test_an_agent_is_the_one_that_was_accepted(store: UnsteadyStatusStore) -> None:
    """Every field comes back, and other batches have agents of their own."""
    store.accept("cha", batch_request(name="Outra"), run_id="run-1", resume=False)
    agents = Agents(store)
    assert agents.of("cafe") == REQUEST.agent
    assert agents.of("cha").name == "Outra"


def test_an_agent_is_read_once(store: UnsteadyStatusStore) -> None:
    """However many threads ask for it."""
    agents = Agents(store)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(agents.of, ["cafe"] * 100))
    assert store.read == ["cafe"]
    assert all(agent is found[0] for agent in found)


def test_an_agent_that_could_not_be_read_is_asked_for_again(store: UnsteadyStatusStore) -> None:
    """Neither an absence nor an unknown batch is remembered."""
    agents = Agents(store)
    store.away.add("cafe")
    with pytest.raises(Unavailable):
        agents.of("cafe")
    with pytest.raises(ServiceError, match="batch cha has vanished from the status store"):
        agents.of("cha")
    store.away.clear()
    store.accept("cha", REQUEST, run_id="run-1", resume=False)
    assert agents.of("cafe") == agents.of("cha") == REQUEST.agent


def test_a_long_running_process_keeps_the_latest_agents(store: UnsteadyStatusStore) -> None:
    """Beyond its limit the oldest goes, and is read again when it is asked for."""
    agents = Agents(store)
    batches = [f"batch-{number}" for number in range(KEPT + 1)]
    for batch_id in batches:
        store.accept(batch_id, REQUEST, run_id="run-1", resume=False)
        agents.of(batch_id)
    agents.of(batches[-1])
    assert store.read == batches
    agents.of(batches[0])
    assert store.read == [*batches, batches[0]]
