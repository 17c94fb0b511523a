"""Gemini and Text-to-Speech, simulated, until interrupted: python -m tests.simulators."""

from __future__ import annotations

import argparse
import threading
from contextlib import suppress

from tests.simulators.gemini import GeminiSimulator
from tests.simulators.speech import SpeechSimulator


def main() -> None:
    """Serve both, and say with what flags they are used."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulators",
        description="Both simulators; python -m tests.simulators.gemini and … .speech let calls fail.",
    )
    parser.add_argument("--latency", type=float, default=0.6, help="seconds a script takes [0.6]")
    given = parser.parse_args()
    gemini = GeminiSimulator(latency=given.latency)
    speech = SpeechSimulator(latency=given.latency / 2, speech=True)
    # Whoever reads the line may interrupt at once.
    with suppress(KeyboardInterrupt), gemini, speech:
        print(
            f"--writer gemini --gemini_endpoint {gemini.url} "
            f"--voice google --speech_endpoint {speech.endpoint}",
            flush=True,
        )
        threading.Event().wait()


if __name__ == "__main__":
    main()
