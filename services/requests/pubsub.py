"""Requests by Cloud Pub/Sub: a topic to publish to, a subscription to take from."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from services.googleapi import RETRY, TIMEOUT, Remedies, told
from services.ports import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

WAIT: Final = 10.0
"""Seconds that a subscription is asked for messages before it is asked again."""
REMEDIES: Final[Remedies] = {
    "not_found": "create it, or correct its name",
    "permission_denied": "the account needs roles/pubsub.publisher on a topic, "
    "roles/pubsub.subscriber on a subscription",
}


class PubsubTopic:
    """A topic that requests are published to.

    `PUBSUB_EMULATOR_HOST` is honoured, as by every client of Google's.

    Args:
        name: projects/<project>/topics/<topic>.
        timeout: seconds that a call may take, its repetitions included.
    """

    def __init__(self, name: str, timeout: float = TIMEOUT) -> None:
        self._name = name
        self._call: dict[str, Any] = {"timeout": timeout, "retry": RETRY.with_timeout(timeout)}
        with told(name, REMEDIES):
            self._client = PublisherClient()

    def check(self) -> None:
        """See Topic; an account that may publish but not look is believed."""
        with told(self._name, REMEDIES), suppress(exceptions.PermissionDenied):
            self._client.get_topic(topic=self._name, **self._call)

    def publish(self, data: bytes, attributes: Mapping[str, str]) -> str:
        """See Topic."""
        with told(self._name, REMEDIES):
            future = self._client.publish(self._name, data, **self._call, **attributes)
            try:
                return str(future.result(2 * self._call["timeout"]))
            except FutureTimeoutError:
                raise exceptions.DeadlineExceeded("no answer in time") from None

    def close(self) -> None:
        """See Topic."""
        self._client.stop()


class PubsubSubscription:
    """A subscription that requests are taken from, one pull at a time.

    Pulls instead of a stream: a message is taken only where there is room to
    work on it, and acknowledged within seconds, so that no lease has to be
    kept up.

    Args:
        name: projects/<project>/subscriptions/<subscription>.
        timeout: seconds that a call may take, its repetitions included; receive()
            takes no longer than WAIT.
    """

    def __init__(self, name: str, timeout: float = TIMEOUT) -> None:
        self._name = name
        self._call: dict[str, Any] = {"timeout": timeout, "retry": RETRY.with_timeout(timeout)}
        with told(name, REMEDIES):
            self._client = SubscriberClient()

    def check(self) -> None:
        """See Subscription; an account that may take but not look is believed."""
        with told(self._name, REMEDIES), suppress(exceptions.PermissionDenied):
            self._client.get_subscription(subscription=self._name, **self._call)

    def receive(self, most: int) -> list[Delivery]:
        """See Subscription."""
        with told(self._name, REMEDIES):
            try:
                answer = self._client.pull(
                    subscription=self._name, max_messages=most, timeout=WAIT, retry=None
                )
            except exceptions.DeadlineExceeded:
                return []
        return [
            Delivery(
                data=received.message.data,
                message_id=received.message.message_id,
                published_at=received.message.publish_time,
                receipt=received.ack_id,
            )
            for received in answer.received_messages
        ]

    def acknowledge(self, delivery: Delivery) -> None:
        """See Subscription."""
        with told(self._name, REMEDIES):
            self._client.acknowledge(
                subscription=self._name,
                ack_ids=[delivery.receipt],
                **self._call,
            )

    def close(self) -> None:
        """See Subscription."""
        self._client.close()
