"""The whole cloud on this machine: the emulators, the simulators, and what a batch needs of each."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack
from typing import Final, Self

from tests.emulators.firestore import FirestoreEmulator
from tests.emulators.pubsub import PubsubEmulator
from tests.emulators.storage import StorageEmulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.speech import SpeechSimulator

KEY: Final = "AIza-a-key-that-opens-nothing"
"""What the simulator of Gemini takes for a key; it may stand nowhere in what a batch leaves."""


class Cloud:
    """Pub/Sub, Cloud Storage and Firestore, emulated; Gemini and Text-to-Speech, simulated.

    Args:
        speech: real speech instead of silence of its length.
        latency: seconds a script takes; its speech takes half as long.

    Attributes:
        environment: what a process needs to use all of them, Roteiro's settings
            included.
    """

    def __init__(self, *, speech: bool = False, latency: float = 0.0) -> None:
        self.pubsub = PubsubEmulator()
        self.storage = StorageEmulator()
        self.firestore = FirestoreEmulator()
        self.gemini = GeminiSimulator(latency=latency)
        self.voice = SpeechSimulator(latency=latency / 2, speech=speech)
        self.environment: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in (self.pubsub, self.storage, self.firestore, self.gemini, self.voice):
                stack.enter_context(server)
            self._furnish()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _furnish(self) -> None:
        """Make a topic of each kind, a bucket and a project of their own."""
        name = f"roteiro-{uuid.uuid4().hex[:8]}"
        topic, subscription = self.pubsub.new_topic(name)
        dead_letters, self.dead_letters = self.pubsub.new_topic(f"{name}-dead-letters")
        events, self.events = self.pubsub.new_topic(f"{name}-events")
        self.environment = {
            "PUBSUB_EMULATOR_HOST": self.pubsub.host,
            "STORAGE_EMULATOR_HOST": self.storage.url,
            "FIRESTORE_EMULATOR_HOST": self.firestore.host,
            "GOOGLE_API_KEY": KEY,
            "ROTEIRO_TOPIC": topic,
            "ROTEIRO_SUBSCRIPTION": subscription,
            "ROTEIRO_DEAD_LETTER_TOPIC": dead_letters,
            "ROTEIRO_EVENTS_TOPIC": events,
            "ROTEIRO_OUTPUT": f"gs://{self.storage.bucket(name)}/narrations",
            "ROTEIRO_STATUS": f"firestore://{name}",
            "ROTEIRO_WRITER": "gemini",
            "ROTEIRO_GEMINI_ENDPOINT": self.gemini.url,
            "ROTEIRO_VOICE": "google",
            "ROTEIRO_SPEECH_ENDPOINT": self.voice.endpoint,
        }

    def variables(self) -> dict[str, str]:
        """The environment of a process that is to use them."""
        return os.environ | self.environment
