"""Pub/Sub on this machine: drongo's in-process server, or one that PUBSUB_EMULATOR_HOST names.

As a program it stays until it is interrupted: python -m tests.emulators.pubsub
"""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from drongo.services.pubsub.emulator import PubSubEmulator
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST: Final = "PUBSUB_EMULATOR_HOST"
PROJECT: Final = "roteiro-tests"


class PubsubEmulator:
    """A server, and clients that make what a test needs on it.

    Attributes:
        host: host:port; while it is entered, also in PUBSUB_EMULATOR_HOST.
    """

    def __init__(self) -> None:
        self.host = os.environ.get(HOST, "")
        self._drongo = None if self.host else PubSubEmulator()

    def __enter__(self) -> Self:
        if self._drongo:
            self._drongo.start()
            self.host = os.environ[HOST]
        self._publisher, self._subscriber = PublisherClient(), SubscriberClient()
        return self

    def __exit__(self, *_: object) -> None:
        self._publisher.stop()
        self._subscriber.close()
        if self._drongo:
            self._drongo.stop()

    def new_topic(self, name: str = "") -> tuple[str, str]:
        """A topic and its subscription, by their full names; existing ones of that name do."""
        name = name or f"t-{uuid.uuid4().hex[:12]}"
        topic = f"projects/{PROJECT}/topics/{name}"
        subscription = f"projects/{PROJECT}/subscriptions/{name}"
        with suppress(exceptions.AlreadyExists):
            self._publisher.create_topic(name=topic)
        with suppress(exceptions.AlreadyExists):
            self._subscriber.create_subscription(
                name=subscription, topic=topic, ack_deadline_seconds=10
            )
        return topic, subscription

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish a message; returns its id."""
        return str(self._publisher.publish(topic, data, **(attributes or {})).result(10))

    def take(self, subscription: str, number: int = 1, patience: int = 100) -> list[Any]:
        """Take messages off a subscription; fewer than asked for where no more come."""
        taken: list[Any] = []
        while len(taken) < number and patience:
            patience -= 1
            # Some servers end a pull that has waited long enough, some leave it to the client.
            with suppress(exceptions.DeadlineExceeded, exceptions.Cancelled):
                answer = self._subscriber.pull(
                    subscription=subscription, max_messages=number - len(taken), timeout=0.5
                )
                for received in answer.received_messages:
                    self._subscriber.acknowledge(
                        subscription=subscription, ack_ids=[received.ack_id]
                    )
                    taken.append(received.message)
        return taken


def main() -> None:
    """Serve until interrupted."""
    with PubsubEmulator() as emulator:
        print(f"export {HOST}={emulator.host}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
