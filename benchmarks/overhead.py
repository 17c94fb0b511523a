"""CPU per narration and peak memory of the pipeline itself, at two sizes of batch.

Run: python -m benchmarks.overhead
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from benchmarks import simulated

SMALL, LARGE = 1_000, 10_000
"""Titles; nine narrations each."""
PER_TITLE = simulated.VARIATIONS * len(simulated.LANGUAGES)


def measure(titles: int) -> None:
    """Run one batch in this process and print its figures."""
    before = time.process_time()
    simulated.run_batch(titles)
    cpu = time.process_time() - before
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    print(json.dumps({"cpu_seconds": cpu, "peak_mb": peak}))


def measured_apart(titles: int) -> dict[str, float]:
    """The figures of one batch in a process of its own, so that its peak is its own."""
    command = [sys.executable, "-m", "benchmarks.overhead", str(titles)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    narrations = titles * PER_TITLE
    print(
        f"{narrations:>7,} narrations: {figures['cpu_seconds']:6.1f} s of CPU, "
        f"{figures['cpu_seconds'] * 1000 / narrations:.3f} ms each, "
        f"peak {figures['peak_mb']:.0f} MB"
    )
    return figures


def main() -> None:
    """Print the figures of both sizes; the last line is JSON."""
    small, large = measured_apart(SMALL), measured_apart(LARGE)
    result = {
        "cpu_ms_per_narration": round(large["cpu_seconds"] * 1000 / (LARGE * PER_TITLE), 3),
        "peak_mb_9k": round(small["peak_mb"], 1),
        "peak_mb_90k": round(large["peak_mb"], 1),
        "peak_ratio": round(large["peak_mb"] / small["peak_mb"], 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    measure(int(sys.argv[1])) if len(sys.argv) > 1 else main()
