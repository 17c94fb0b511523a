"""Kills: whatever is killed whenever, nothing is lost and no more is paid than must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.kills import ITEMS, KILLS, Way, killed, most_paid, wanted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.emulators.pubsub import PubsubEmulator


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("way", ["local", pytest.param("streaming", marks=pytest.mark.pubsub)])
def test_a_batch_outlives_ten_kills(
    tmp_path: Path, pubsub: PubsubEmulator, way: Way, seed: int
) -> None:
    """Every MP3 is there and whole, the status never went down, and no call was made in vain."""
    figures = killed(seed, way, tmp_path, pubsub)
    assert figures.problems == []
    assert (figures.kills, figures.items) == (KILLS, ITEMS)
    assert figures.total <= figures.allowed


def test_a_batch_that_nobody_kills_costs_what_it_needs() -> None:
    """Ten scripts, twenty adaptations and thirty narrations; nothing is in flight."""
    assert most_paid(0) == len(wanted()) == 60
