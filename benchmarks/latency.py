"""Wall time of 10 titles × 3 variations × 3 languages against its critical path.

Run: python -m benchmarks.latency
"""

from __future__ import annotations

import json
import time

from benchmarks import simulated

TITLES = 10
GENERATION, ADAPTATION, NARRATION = 0.6, 0.3, 0.3
"""Seconds a simulated call takes."""
BOUND = GENERATION + ADAPTATION + NARRATION
"""No schedule is faster: one script is written, adapted and spoken in turn."""


def main() -> None:
    """Print the run's time as a ratio to the bound; the last line is JSON."""
    started = time.perf_counter()
    simulated.run_batch(1)
    startup = time.perf_counter() - started
    started = time.perf_counter()
    simulated.run_batch(TITLES, generation=GENERATION, adaptation=ADAPTATION, narration=NARRATION)
    seconds = time.perf_counter() - started
    sequential = TITLES * simulated.VARIATIONS * (GENERATION + 2 * ADAPTATION + 3 * NARRATION)
    print(f"start-up, a first batch without latency: {startup:.2f} s")
    print(
        f"10 × 3 × 3 in {seconds:.2f} s; critical path {BOUND:.1f} s, in sequence {sequential:.0f} s"
    )
    figures = {
        "ratio": round(seconds / BOUND, 3),
        "seconds": round(seconds, 3),
        "bound_seconds": BOUND,
        "startup_seconds": round(startup, 3),
        "times_faster_than_sequential": round(sequential / seconds, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
