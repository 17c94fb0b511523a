"""Topics and subscriptions of Cloud Pub/Sub, as Roteiro wants them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.protobuf import duration_pb2, field_mask_pb2
from google.pubsub_v1 import types

from services.googleapi import RETRY, Remedies, told
from services.ports import Difference, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT: Final = 30.0
"""Seconds that a call may take, its repetitions included."""
ACK_DEADLINE: Final = 60
"""Seconds; taking a request over, its documents included, takes longer than Pub/Sub's own 10."""
RETENTION: Final = 7 * 24 * 3600
"""Seconds that a request waits while nobody takes it: a long weekend and a repair."""
REMEDIES: Final[Remedies] = {
    "permission_denied": "looking needs roles/pubsub.viewer, making roles/pubsub.editor",
    "not_found": "what it is made on is missing, or the project is",
}
UNKNOWN: Final = "not told by this server"
DELETED: Final = "_deleted-topic_"
"""The topic of a subscription whose own was deleted."""


class TopicResource:
    """A topic, with Pub/Sub's own defaults.

    Args:
        name: projects/<project>/topics/<topic>.
    """

    kind = "topic"

    def __init__(self, name: str) -> None:
        self.name = name
        with told(name, REMEDIES):
            self._client = PublisherClient()

    def look(self) -> Finding:
        """See Resource."""
        with told(self.name, REMEDIES):
            try:
                self._client.get_topic(topic=self.name, timeout=TIMEOUT, retry=_retry())
            except exceptions.NotFound:
                return Finding(there=False)
        return Finding(there=True)

    def make(self, found: Finding) -> list[str]:
        """See Resource."""
        if found.there:
            return []
        with told(self.name, REMEDIES), suppress(exceptions.AlreadyExists):
            self._client.create_topic(name=self.name, timeout=TIMEOUT, retry=_retry())
        return ["created"]


class SubscriptionResource:
    """A subscription that keeps requests until somebody makes them, and never expires.

    It has no dead-letter policy: Dataflow does not obey one, and the pipeline
    publishes what it rejects itself.

    Args:
        name: projects/<project>/subscriptions/<subscription>.
        topic: its topic; empty for any, and then it cannot be made.
    """

    kind = "subscription"

    def __init__(self, name: str, topic: str) -> None:
        self.name = name
        self._topic = topic
        with told(name, REMEDIES):
            self._client = SubscriberClient()

    def look(self) -> Finding:
        """See Resource."""
        with told(self.name, REMEDIES):
            try:
                found = self._client.get_subscription(
                    subscription=self.name, timeout=TIMEOUT, retry=_retry()
                )
            except exceptions.NotFound:
                unable = "it cannot be made: no topic is named, see --topic"
                return Finding(there=False, notes=() if self._topic else (unable,))
        return compared(found, self._topic)

    def make(self, found: Finding) -> list[str]:
        """See Resource; its topic, type and filter cannot be changed by anybody."""
        if not found.there:
            return self._create()
        mended = [difference for difference in found.differences if not difference.remedy]
        if not mended:
            return []
        paths = [_FIELDS[difference.what] for difference in mended]
        with told(self.name, REMEDIES):
            self._client.update_subscription(
                subscription=self._wanted(),
                update_mask=field_mask_pb2.FieldMask(paths=paths),
                timeout=TIMEOUT,
                retry=_retry(),
            )
        return [f"{change.what}: {change.found} → {change.wanted}" for change in mended]

    def _create(self) -> list[str]:
        if not self._topic:
            return []
        with told(self.name, REMEDIES), suppress(exceptions.AlreadyExists):
            self._client.create_subscription(
                request=self._wanted(), timeout=TIMEOUT, retry=_retry()
            )
        kept = f"ack deadline {ACK_DEADLINE} s, retention {_days(RETENTION)}, never expires"
        return [f"created: {kept}"]

    def _wanted(self) -> types.Subscription:
        return types.Subscription(
            name=self.name,
            topic=self._topic,
            ack_deadline_seconds=ACK_DEADLINE,
            message_retention_duration=duration_pb2.Duration(seconds=RETENTION),
            expiration_policy=types.ExpirationPolicy(),  # without a time: never
        )


_FIELDS: Final = {
    "ack deadline": "ack_deadline_seconds",
    "retention": "message_retention_duration",
    "expires": "expiration_policy",
    "dead-letter policy": "dead_letter_policy",
}
"""What can be mended, and its field."""


def compared(found: types.Subscription, topic: str) -> Finding:
    """A subscription beside what is wanted of it.

    More than is wanted is as good: a longer deadline or retention stays.

    Args:
        found: as the server tells it.
        topic: that it should be on; empty for any.
    """
    notes = [
        f"{what}: {UNKNOWN}"
        for what, field in (("retention", "message_retention_duration"),)
        if field not in found
    ]
    return Finding(there=True, differences=tuple(_differences(found, topic)), notes=tuple(notes))


def _differences(found: types.Subscription, topic: str) -> Iterator[Difference]:
    remake = "delete it once it is empty, and run this again"
    if topic and found.topic != topic:
        named = "a topic that was deleted" if found.topic == DELETED else found.topic
        yield Difference("topic", topic, named, f"{remake}, or name another subscription")
    if found.push_config.push_endpoint:
        yield Difference("delivery", "pull", "push", "clear its push endpoint")
    if found.filter:
        yield Difference("filter", "none", found.filter, remake)
    if found.ack_deadline_seconds < ACK_DEADLINE:
        yield Difference("ack deadline", f"{ACK_DEADLINE} s", f"{found.ack_deadline_seconds} s")
    if "message_retention_duration" in found:
        seconds = found.message_retention_duration.total_seconds()
        if seconds < RETENTION:
            yield Difference("retention", _days(RETENTION), _days(seconds))
    if "expiration_policy" in found and "ttl" in found.expiration_policy:
        idle = _days(found.expiration_policy.ttl.total_seconds())
        yield Difference("expires", "never", f"after {idle} without use")
    if "dead_letter_policy" in found and found.dead_letter_policy.dead_letter_topic:
        yield Difference("dead-letter policy", "none", found.dead_letter_policy.dead_letter_topic)


def _days(seconds: float) -> str:
    days = seconds / 86_400
    return f"{days:g} days" if days >= 1 else f"{seconds:g} s"


def _retry() -> object:
    return RETRY.with_timeout(TIMEOUT)
