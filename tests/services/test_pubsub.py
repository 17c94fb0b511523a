"""Requests by Pub/Sub, over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.errors import Refused, ServiceError, Unavailable
from services.requests.pubsub import PubsubSubscription, PubsubTopic

if TYPE_CHECKING:
    from tests.emulators.pubsub import PubsubEmulator

pytestmark = pytest.mark.pubsub


def receive(subscription: PubsubSubscription, number: int) -> list[bytes]:
    """The data of so many messages, all acknowledged."""
    data: list[bytes] = []
    for _ in range(100):
        for delivery in subscription.receive(number - len(data)):
            subscription.acknowledge(delivery)
            data.append(delivery.data)
        if len(data) == number:
            break
    return data


def test_what_is_published_is_received(pubsub: PubsubEmulator) -> None:
    """Bytes arrive as they are, with the id that the publisher was told and a time."""
    topic_name, subscription_name = pubsub.new_topic()
    topic, subscription = PubsubTopic(topic_name), PubsubSubscription(subscription_name)
    topic.check()
    subscription.check()
    message_id = topic.publish('{"título": "café"}'.encode(), {"batch_id": "cafe"})
    (delivery,) = subscription.receive(10)
    assert delivery.data.decode() == '{"título": "café"}'
    assert delivery.message_id == message_id
    assert delivery.published_at.tzinfo is not None
    subscription.acknowledge(delivery)
    topic.close()
    subscription.close()


def test_no_more_than_asked_for(pubsub: PubsubEmulator) -> None:
    """Whoever has room for two takes two."""
    topic, subscription = pubsub.new_topic()
    for number in range(5):
        pubsub.publish(topic, b"%d" % number)
    taking = PubsubSubscription(subscription)
    assert len(taking.receive(2)) <= 2
    taking.close()


def test_attributes_are_published(pubsub: PubsubEmulator) -> None:
    """What can be told without decoding the request is beside it."""
    topic, subscription = pubsub.new_topic()
    publishing = PubsubTopic(topic)
    publishing.publish(b"{}", {"batch_id": "cafe", "owner": "ana@example.com", "version": "1"})
    publishing.close()
    (message,) = pubsub.take(subscription)
    assert dict(message.attributes) == {
        "batch_id": "cafe",
        "owner": "ana@example.com",
        "version": "1",
    }


def test_a_topic_that_is_not_there(pubsub: PubsubEmulator) -> None:
    """It is told by its name, with what to do."""
    name = f"{pubsub.new_topic()[0]}-not"
    for attempt in (PubsubTopic(name).check, lambda: PubsubTopic(name).publish(b"x", {})):
        with pytest.raises(Refused, match=name) as told:
            attempt()
        assert told.value.code == "not_found"
        assert "create it" in told.value.message


def test_a_subscription_that_is_not_there(pubsub: PubsubEmulator) -> None:
    """The same for a subscription."""
    name = f"{pubsub.new_topic()[1]}-not"
    subscription = PubsubSubscription(name)
    for attempt in (subscription.check, lambda: subscription.receive(1)):
        with pytest.raises(Refused, match=name) as told:
            attempt()
        assert told.value.code == "not_found"


def test_a_server_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody at the other end is an outage of that subscription."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")
    subscription = PubsubSubscription("projects/somewhere/subscriptions/any")
    with pytest.raises(Unavailable, match="subscriptions/any"):
        subscription.receive(1)
    subscription.close()


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an emulator and without credentials, it is said what to do."""
    for name in ("PUBSUB_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nowhere")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(ServiceError, match="gcloud auth application-default login") as told:
        PubsubTopic("projects/somewhere/topics/any")
    assert told.value.code == "unauthenticated"
