"""Resources: how they are found, made and mended, whoever their vendor is."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.cloud.firestore_admin_v1.types import Database, Field, Index
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.protobuf import duration_pb2
from google.pubsub_v1 import types

from services.errors import Refused, ServiceError
from services.ports import Finding
from services.provisioning import pubsub as provisioning
from services.provisioning.bucket import BucketResource, mended_rules
from services.provisioning.firestore import (
    DEFINITION,
    DatabaseResource,
    FieldResource,
    FirestoreAdmin,
    firestore_resources,
)
from services.provisioning.pubsub import SubscriptionResource, TopicResource
from tests.emulators.storage import VARIABLE as STORAGE
from tests.simulators.buckets import BucketSimulator
from tests.simulators.firestore_admin import FirestoreAdminSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.ports import Resource
    from tests.emulators.pubsub import PubsubEmulator

WEEK = duration_pb2.Duration(seconds=7 * 86_400)


def names() -> tuple[str, str]:
    """A topic and a subscription that are not there."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    return f"projects/tests/topics/{name}", f"projects/tests/subscriptions/{name}"


def differences(found: Finding) -> list[str]:
    return [difference.what for difference in found.differences]


def settled(resource: Resource) -> list[str]:
    """What is done to a resource; afterwards it is as wanted, and nothing is left to do."""
    done = resource.make(resource.look())
    found = resource.look()
    assert found.there
    assert not found.differences
    assert resource.make(found) == []
    return done


# ── Pub/Sub ───────────────────────────────────────────────────────────────────


@pytest.mark.pubsub
def test_a_topic_and_its_subscription_are_made_once(pubsub: PubsubEmulator) -> None:
    """What is missing is made, and looking again finds nothing to do."""
    topic, subscription = names()
    assert not TopicResource(topic).look().there
    assert settled(TopicResource(topic)) == ["created"]
    resource = SubscriptionResource(subscription, topic)
    assert not resource.look().there
    (done,) = settled(resource)
    assert done == "created: ack deadline 60 s, retention 7 days, never expires"
    pubsub.publish(topic, b"x")
    assert len(pubsub.take(subscription)) == 1


@pytest.mark.pubsub
def test_what_is_made_at_the_same_time_is_there_once(pubsub: PubsubEmulator) -> None:
    """Somebody else was faster: that is no error."""
    assert pubsub.host
    topic, subscription = names()
    for _ in range(2):
        TopicResource(topic).make(Finding(there=False))
        SubscriptionResource(subscription, topic).make(Finding(there=False))
    assert SubscriptionResource(subscription, topic).look().there


@pytest.mark.pubsub
def test_a_subscription_that_differs_is_mended(pubsub: PubsubEmulator) -> None:
    """Its deadline is told and, where the server can change subscriptions, mended."""
    topic, subscription = pubsub.new_topic()
    resource = SubscriptionResource(subscription, topic)
    found = resource.look()
    assert "ack deadline" in differences(found)
    if "retention: not told by this server" in found.notes:  # nor has drongo UpdateSubscription
        with pytest.raises(ServiceError, match="Method not found"):
            resource.make(found)
    else:
        assert "ack deadline: 10 s → 60 s" in resource.make(found)
        assert not resource.look().differences


@pytest.mark.pubsub
def test_a_subscription_of_another_topic_is_left_alone(pubsub: PubsubEmulator) -> None:
    """Its messages would be lost; what to do is said."""
    topic, _ = pubsub.new_topic()
    other, subscription = names()
    settled(TopicResource(other))
    settled(SubscriptionResource(subscription, other))
    resource = SubscriptionResource(subscription, topic)
    found = resource.look()
    assert differences(found) == ["topic"]
    assert "name another subscription" in found.differences[0].remedy
    assert resource.make(found) == []


def test_a_subscription_without_a_named_topic(pubsub: PubsubEmulator) -> None:
    """It is looked at all the same, and cannot be made."""
    _, existing = pubsub.new_topic()
    assert SubscriptionResource(existing, "").look().there
    resource = SubscriptionResource(names()[1], "")
    found = resource.look()
    assert "no topic is named" in found.notes[0]
    assert resource.make(found) == []


@pytest.mark.pubsub
def test_a_subscription_on_a_topic_that_is_missing(pubsub: PubsubEmulator) -> None:
    """The error names the subscription and what is missing."""
    assert pubsub.host
    topic, subscription = names()
    with pytest.raises(Refused, match=r"subscriptions/t-.*what it is made on is missing"):
        SubscriptionResource(subscription, topic).make(Finding(there=False))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, []),
        ({"ack_deadline_seconds": 600}, []),
        ({"ack_deadline_seconds": 10}, ["ack deadline: wanted 60 s, found 10 s"]),
        ({"message_retention_duration": duration_pb2.Duration(seconds=31 * 86_400)}, []),
        (
            {"message_retention_duration": duration_pb2.Duration(seconds=600)},
            ["retention: wanted 7 days, found 600 s"],
        ),
        (
            {
                "expiration_policy": types.ExpirationPolicy(
                    ttl=duration_pb2.Duration(seconds=86_400)
                )
            },
            ["expires: wanted never, found after 1 days without use"],
        ),
        (
            {"dead_letter_policy": types.DeadLetterPolicy(dead_letter_topic="projects/p/topics/d")},
            ["dead-letter policy: wanted none, found projects/p/topics/d"],
        ),
        (
            {"push_config": types.PushConfig(push_endpoint="https://example.com")},
            ["delivery: wanted pull, found push"],
        ),
        ({"filter": "attributes.a"}, ["filter: wanted none, found attributes.a"]),
        ({"topic": "_deleted-topic_"}, ["topic: wanted T, found a topic that was deleted"]),
    ],
)
def test_a_subscription_beside_what_is_wanted(fields: dict[str, Any], told: list[str]) -> None:
    """What would lose or delay requests differs; more than is wanted is as good."""
    right: dict[str, Any] = {
        "topic": "T",
        "ack_deadline_seconds": 60,
        "message_retention_duration": WEEK,
        "expiration_policy": types.ExpirationPolicy(),
    }
    found = provisioning.compared(types.Subscription(**right | fields), "T")
    assert [f"{d.what}: wanted {d.wanted}, found {d.found}" for d in found.differences] == told


@pytest.mark.pubsub
def test_everything_that_can_be_mended_is(pubsub: PubsubEmulator) -> None:
    """One call changes what differs and leaves the rest."""
    topic, subscription = names()
    dead, _ = pubsub.new_topic()
    PublisherClient().create_topic(name=topic)
    with SubscriberClient() as client:
        client.create_subscription(
            request=types.Subscription(
                name=subscription,
                topic=topic,
                ack_deadline_seconds=20,
                message_retention_duration=duration_pb2.Duration(seconds=600),
                dead_letter_policy=types.DeadLetterPolicy(
                    dead_letter_topic=dead, max_delivery_attempts=5
                ),
                labels={"team": "radio"},
            )
        )
        resource = SubscriptionResource(subscription, topic)
        found = resource.look()
        if "retention: not told by this server" in found.notes:
            pytest.skip("this server drops most of a subscription")
        assert differences(found) == ["ack deadline", "retention", "dead-letter policy"]
        assert len(settled(resource)) == 3
        assert client.get_subscription(subscription=subscription).labels == {"team": "radio"}


# ── Cloud Storage ─────────────────────────────────────────────────────────────


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketSimulator]:
    """Buckets, on this machine."""
    with BucketSimulator() as simulator:
        monkeypatch.setenv(STORAGE, simulator.url)
        monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "1")
        yield simulator


def test_a_bucket_is_made_once(buckets: BucketSimulator) -> None:
    """With its rules, uniform access, its place and its project."""
    (done,) = settled(BucketResource("gs://radio/narrations/2026", "tests", "EU"))
    assert done.startswith("created in EU: uniform access, narrations/2026/cache/ is deleted after")
    made = buckets.buckets["radio"]
    assert (made["location"], made["project"]) == ("EU", "tests")
    assert made["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]
    assert made["lifecycle"]["rule"] == [
        {
            "action": {"type": "Delete"},
            "condition": {"age": 7, "matchesPrefix": ["narrations/2026/cache/"]},
        },
        {
            "action": {"type": "AbortIncompleteMultipartUpload"},
            "condition": {"age": 7, "matchesPrefix": ["narrations/2026/"]},
        },
    ]
    assert buckets.writes == ["POST /storage/v1/b"]


def test_a_bucket_without_rules_is_given_them(buckets: BucketSimulator) -> None:
    """Rules of others stay; uniform access is told and left to its owner."""
    theirs = {"action": {"type": "Delete"}, "condition": {"age": 90, "matchesPrefix": ["logs/"]}}
    buckets.buckets["radio"] = {
        "name": "radio",
        "location": "US",
        "lifecycle": {"rule": [theirs]},
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}},
    }
    resource = BucketResource("gs://radio", "", "US")
    found = resource.look()
    assert differences(found) == ["cache/ deleted", "abandoned uploads deleted", "uniform access"]
    assert resource.make(found) == [
        "cache/ deleted: after 7 days",
        "abandoned uploads deleted: after 7 days",
    ]
    assert theirs in buckets.buckets["radio"]["lifecycle"]["rule"]
    left = resource.look()
    assert differences(left) == ["uniform access"]
    assert "--uniform-bucket-level-access" in left.differences[0].remedy
    assert resource.make(left) == []
    assert buckets.writes == ["PATCH /storage/v1/b/radio"]


@pytest.mark.parametrize(("days", "stays"), [(1, False), (7, True), (30, True)])
def test_a_rule_of_other_days(days: int, *, stays: bool) -> None:
    """What keeps the cache longer stays; what keeps it too shortly is replaced."""
    rule = {"action": {"type": "Delete"}, "condition": {"age": days, "matchesPrefix": ["cache/"]}}
    rules = mended_rules([rule], "")
    assert (rule in rules) is stays
    assert len(rules) == 2
    assert mended_rules(rules, "") == rules


def test_a_rule_with_more_conditions_is_another(buckets: BucketSimulator) -> None:
    """It may never apply, and does not count."""
    assert not buckets.writes
    condition = {"age": 7, "matchesPrefix": ["cache/"], "isLive": False}
    rule = {"action": {"type": "Delete"}, "condition": condition}
    assert len(mended_rules([rule], "")) == 3


def test_a_bucket_of_somebody_else(buckets: BucketSimulator) -> None:
    """The error says which role is missing."""
    buckets.status = 403
    with pytest.raises(Refused, match=r"gs://radio: .*roles/storage.admin") as caught:
        BucketResource("gs://radio", "", "US").look()
    assert caught.value.code == "permission_denied"


def test_an_emulated_bucket(bucket: str) -> None:
    """fake-gcs-server keeps no rules, and that is told instead of taken for a difference."""
    resource = BucketResource(f"gs://{bucket}/a", "tests", "US")
    found = resource.look()
    assert "not told by this server" in found.notes[0]
    assert resource.make(found) == []
    other = BucketResource(f"gs://{bucket}-other/a", "tests", "US")
    assert not other.look().there
    assert len(settled(other)) == 1


# ── Firestore ─────────────────────────────────────────────────────────────────


@pytest.fixture
def admin_server() -> Iterator[FirestoreAdminSimulator]:
    """Firestore's Admin API, on this machine."""
    with FirestoreAdminSimulator() as simulator:
        yield simulator


@pytest.fixture
def admin(admin_server: FirestoreAdminSimulator) -> FirestoreAdmin:
    """A client of it, of a database that is not there yet."""
    return FirestoreAdmin("tests", "statuses", "US", admin_server.endpoint)


def test_a_database_is_made_with_all_it_needs(
    admin: FirestoreAdmin, admin_server: FirestoreAdminSimulator
) -> None:
    """Its indexes and exemptions are those of the definition, each made once."""
    definition = json.loads(DEFINITION.read_text("utf-8"))
    resources = firestore_resources(admin)
    assert not any(resource.look().there for resource in resources)
    for resource in resources:
        assert len(settled(resource)) == 1
    made = admin_server.databases["projects/tests/databases/statuses"]
    assert (made.location_id, made.type_) == ("nam5", Database.DatabaseType.FIRESTORE_NATIVE)
    indexes = admin_server.indexes["projects/tests/databases/statuses/collectionGroups/batches"]
    assert len(indexes) == len(definition["indexes"])
    assert len(admin_server.fields) == len(definition["fieldOverrides"])
    assert not any(field.index_config.indexes for field in admin_server.fields.values())
    assert len(admin_server.writes) == len(resources)


def test_fields_of_the_definition_have_no_indexes() -> None:
    """Exemption and expiry is all that a field is given."""
    definition = json.loads(DEFINITION.read_text("utf-8"))
    assert not any(field["indexes"] for field in definition["fieldOverrides"])


def test_a_database_in_datastore_mode(
    admin: FirestoreAdmin, admin_server: FirestoreAdminSimulator
) -> None:
    """It cannot be changed; another is to be named."""
    path = "projects/tests/databases/statuses"
    mode = Database.DatabaseType.DATASTORE_MODE
    admin_server.databases[path] = Database(name=path, type_=mode)
    resource = DatabaseResource(admin)
    found = resource.look()
    assert differences(found) == ["mode"]
    assert "name another database" in found.differences[0].remedy
    assert resource.make(found) == []


def test_an_index_that_is_broken(
    admin: FirestoreAdmin, admin_server: FirestoreAdminSimulator
) -> None:
    """It is told with what to do, and left alone."""
    database, index, *_ = firestore_resources(admin)
    settled(database)
    settled(index)
    (made,) = admin_server.indexes[admin.group("batches")]
    made.state = Index.State.NEEDS_REPAIR
    found = index.look()
    assert found.differences[0].remedy == "delete it, and run this again"
    assert index.make(found) == []


def test_a_field_with_indexes_of_its_own(
    admin: FirestoreAdmin, admin_server: FirestoreAdminSimulator
) -> None:
    """They cost every write, and are taken away."""
    settled(DatabaseResource(admin))
    path = f"{admin.group('jobs')}/fields/items"
    config = Field.IndexConfig(indexes=[Index()])
    admin_server.fields[path] = Field(name=path, index_config=config)
    resource = FieldResource(admin, {"collectionGroup": "jobs", "fieldPath": "items"})
    assert differences(resource.look()) == ["indexes"]
    assert len(settled(resource)) == 1


def test_a_field_by_which_documents_expire(
    admin: FirestoreAdmin, admin_server: FirestoreAdminSimulator
) -> None:
    """`ttl` in the definition gives the field a policy, and no index beside it."""
    settled(DatabaseResource(admin))
    wanted = {"collectionGroup": "batches", "fieldPath": "expires_at", "ttl": True}
    resource = FieldResource(admin, wanted)
    assert resource.kind == "expiry"
    settled(resource)
    (field,) = admin_server.fields.values()
    assert "ttl_config" in field
    admin_server.fields[field.name] = Field(name=field.name, index_config=Field.IndexConfig())
    assert differences(resource.look()) == ["documents expire by it"]
    settled(resource)


def test_an_account_that_may_not_administer(
    admin: FirestoreAdmin, admin_server: FirestoreAdminSimulator
) -> None:
    """The error names the resource and the roles."""
    admin_server.refusal = (grpc.StatusCode.PERMISSION_DENIED, "Missing permissions.")
    for resource in firestore_resources(admin):
        with pytest.raises(Refused, match=r"Missing permissions; .*roles/datastore.indexAdmin"):
            resource.look()
