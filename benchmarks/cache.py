"""Calls and CPU of the same batch made again, by the cache and by what is there already.

Run: python -m benchmarks.cache
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import simulated
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.speech import SpeechSimulator

TITLES = 1_000
"""Nine narrations each: enough that a run is more than its start-up."""


@dataclass(frozen=True)
class Cost:
    """What a run took: calls by the simulators' own count, and seconds of its process's CPU."""

    calls: int
    cpu: float


def main() -> None:
    """Make a batch three times with `roteiro run`; the last line is JSON.

    Gemini and Text-to-Speech are the tests' simulators, without latency, in
    this process; the CPU is that of the process of `roteiro run` alone, its
    start-up included. What that takes is told by a run of one title that has
    nothing to make.
    """
    memory = simulated.MEMORY if simulated.MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=memory) as folder,
        GeminiSimulator() as gemini,
        SpeechSimulator() as speech,
    ):
        small = partial(measured, Path(folder, "small"), gemini, speech)
        small("one-title", 1)
        startup = small("one-title", 1)
        run = partial(measured, Path(folder, "large"), gemini, speech)
        first, same, other = run("cafe", TITLES), run("cafe", TITLES), run("again", TITLES)
    print(f"start-up of a run: {startup.cpu:.1f} s of CPU")
    for name, cost in (("first", first), ("same id", same), ("another id", other)):
        print(
            f"{name:>10}: {cost.calls:6,} calls, {cost.cpu:5.1f} s of CPU, "
            f"{cost.cpu / first.cpu:.3f} of the first"
        )
    figures = {
        "narrations": TITLES * simulated.VARIATIONS * len(simulated.LANGUAGES),
        "calls": [first.calls, same.calls, other.calls],
        "cpu_ratio_same_id": round(same.cpu / first.cpu, 3),
        "cpu_ratio_another_id": round(other.cpu / first.cpu, 3),
        "startup_cpu_seconds": round(startup.cpu, 3),
    }
    print(json.dumps(figures))


def measured(
    folder: Path, gemini: GeminiSimulator, speech: SpeechSimulator, batch_id: str, titles: int
) -> Cost:
    """Make a batch of so many titles, in a process of its own."""
    before = len(gemini.calls) + len(speech.calls)
    request = simulated.request(titles) | {"batch_id": batch_id}
    words = (
        *("run", "-", "--quiet", "--output", str(folder)),
        *("--writer", "gemini", "--gemini_endpoint", gemini.url),
        *("--voice", "google", "--speech_endpoint", speech.endpoint),
    )
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps(request).encode())
        stdin.seek(0)
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "launcher.cli", *words],
            stdin=stdin,
            env=os.environ | {"GOOGLE_API_KEY": "simulated"},
        )
        _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"the batch {batch_id} was not made")
    calls = len(gemini.calls) + len(speech.calls) - before
    return Cost(calls, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    main()
