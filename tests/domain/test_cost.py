"""What it takes to make what a batch lacks."""

from __future__ import annotations

from typing import Any

from domain.cost import Cost, cost
from domain.status import new_jobs
from tests.builders import batch_request

REQUEST = batch_request("A", "B", languages=("pt-BR", "en-US", "es-ES"), variations=2)
WHOLE = {"status": "completed", "audio_uri": "a.mp3", "script_uri": "a.txt", "audio_bytes": 5}
STORED = {"a.mp3": 5, "a.txt": 1}


def jobs(**items: Any) -> Any:
    """The jobs of the request; the first has these items, dots for underscores in names."""
    first, second = new_jobs("cafe", REQUEST)
    first["items"] = {name.replace("_", "."): item for name, item in items.items()}
    return [first, second]


def test_everything() -> None:
    """A script a title × variation, no adaptation into the master language."""
    assert cost(REQUEST, jobs(), {}) == Cost(scripts=4, adaptations=8, narrations=12)


def test_what_is_whole_costs_nothing() -> None:
    """A script is generated as long as one of its narrations is missing, failed or not whole."""
    made = {"v1_pt-BR": WHOLE, "v1_en-US": WHOLE, "v1_es-ES": WHOLE}
    assert cost(REQUEST, jobs(**made), STORED) == Cost(3, 6, 9)
    failed = {**made, "v1_pt-BR": {"status": "failed"}, "v2_es-ES": WHOLE}
    assert cost(REQUEST, jobs(**failed), STORED) == Cost(4, 5, 9)
    assert cost(REQUEST, jobs(**made), {**STORED, "a.mp3": 4}) == Cost(4, 8, 12)
    assert cost(REQUEST, jobs(**made), {}) == Cost(4, 8, 12)


def test_a_master_language_that_is_not_spoken() -> None:
    """Then every narration is adapted."""
    request = batch_request("A", languages=("en-US",), master_language="pt-BR")
    assert cost(request, new_jobs("cafe", request), {}) == Cost(1, 1, 1)
