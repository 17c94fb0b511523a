"""Agents: how steps learn a batch's editorial voice, which no element carries."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Final

from domain.request import AgentConfig
from services.errors import ServiceError

if TYPE_CHECKING:
    from services.ports import StatusStore

KEPT: Final = 256
"""Agents held in memory; more batches than this are seldom made at once."""


class Agents:
    """The agents of batches, each read once from the status store and then kept.

    Instructions may be 20,000 characters long and a batch have 200,000
    scripts: carried by its elements, they would be gigabytes in a shuffle. A
    batch never changes its agent, since another request is another batch.

    Args:
        statuses: holds the requests as they were accepted.
    """

    def __init__(self, statuses: StatusStore) -> None:
        self._statuses = statuses
        self._kept: dict[str, AgentConfig] = {}
        self._lock = threading.Lock()

    def of(self, batch_id: str) -> AgentConfig:
        """A batch's agent.

        Raises:
            ServiceError: where the store is away, or has no such batch.
        """
        if agent := self._kept.get(batch_id):
            return agent
        with self._lock:  # one read, however many threads ask
            return self._kept.get(batch_id) or self._read(batch_id)

    def _read(self, batch_id: str) -> AgentConfig:
        batch = self._statuses.batch(batch_id)
        if batch is None:
            raise ServiceError(f"batch {batch_id} has vanished from the status store")
        agent = AgentConfig.model_validate_json(json.dumps(batch["request"]["agent"]))
        if len(self._kept) >= KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[batch_id] = agent
        return agent
