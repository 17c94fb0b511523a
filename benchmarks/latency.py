"""Wall time of 10 titles × 3 variations × 3 languages against its critical path.

Run: python -m benchmarks.latency
"""

from __future__ import annotations

import json
import time
from datetime import datetime

from benchmarks import simulated

TITLES = 10
GENERATION, ADAPTATION, NARRATION = 0.6, 0.3, 0.3
"""Seconds a simulated call takes."""
BOUND = GENERATION + ADAPTATION + NARRATION
"""Seconds; no schedule is faster, since a script is written, adapted and spoken in turn."""
SCRIPTS = TITLES * simulated.VARIATIONS
SEQUENTIAL = SCRIPTS * (
    GENERATION + (len(simulated.LANGUAGES) - 1) * ADAPTATION + len(simulated.LANGUAGES) * NARRATION
)
"""Seconds of all calls one after the other."""


def main() -> None:
    """Print the batch's time as a ratio to the bound; the last line is JSON.

    The time is the batch's own, from `started_at`, when it was accepted, to
    `completed_at`, when its manifest was stored. What the runner takes to
    build and start the graph before is start-up.
    """
    begun = time.perf_counter()
    batch = simulated.run_batch(
        TITLES, generation=GENERATION, adaptation=ADAPTATION, narration=NARRATION
    )
    total = time.perf_counter() - begun
    started, completed = (
        datetime.fromisoformat(str(batch[name])) for name in ("started_at", "completed_at")
    )
    seconds = (completed - started).total_seconds()
    print(
        f"{TITLES} × {simulated.VARIATIONS} × {len(simulated.LANGUAGES)} in {seconds:.2f} s: "
        f"{seconds / BOUND:.2f} × the critical path of {BOUND:.1f} s, "
        f"{SEQUENTIAL / seconds:.0f} × faster than in sequence ({SEQUENTIAL:.0f} s)"
    )
    print(f"start-up: {total - seconds:.2f} s to build and start the graph")
    figures = {
        "ratio": round(seconds / BOUND, 3),
        "seconds": round(seconds, 3),
        "bound_seconds": BOUND,
        "startup_seconds": round(total - seconds, 3),
        "sequential_seconds": round(SEQUENTIAL, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
