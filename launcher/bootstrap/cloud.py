"""What the composition root makes in the cloud besides a batch's adapters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from launcher.settings import BUCKET

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from launcher.settings import Settings
    from services.ports import Jobs, Resource


def check_service_account(user: str) -> None:
    """Whether there are credentials for a call of Google's, which is not made yet.

    Raises:
        Refused: `unauthenticated`, with what to do.
    """
    from services.googleapi import check_credentials

    check_credentials(user)


def googles_errors(user: str) -> AbstractContextManager[None]:
    """Have what Google's clients raise leave as ServiceErrors that name who asked."""
    from services.googleapi import told

    return told(user, {})


def jobs(project: str, region: str, endpoint: str = "") -> Jobs:
    """The jobs of Dataflow in one place.

    Raises:
        ServiceError: where there are no credentials.
    """
    from services.dataflow import DataflowJobs

    return DataflowJobs(project, region, endpoint)


def resources(settings: Settings, project: str, location: str) -> list[Resource]:
    """What the settings name in the cloud, each after what it is made on.

    Args:
        settings: name it.
        project: of a bucket that is made; empty for the credentials' own.
        location: of a bucket and a database that are made.

    Raises:
        ServiceError: where there are no credentials.
    """
    found: list[Resource] = []
    topics = (settings.topic, settings.dead_letter_topic, settings.events_topic)
    if settings.subscription or any(topics):
        from services.provisioning.pubsub import SubscriptionResource, TopicResource

        found += map(TopicResource, dict.fromkeys(filter(None, topics)))
        if settings.subscription:
            found.append(SubscriptionResource(settings.subscription, settings.topic))
    if settings.output.startswith(BUCKET):
        from services.provisioning.bucket import BucketResource

        found.append(BucketResource(settings.output, project, location))
    if settings.firestore:
        found += _firestore_resources(*settings.firestore, location)
    return found


def _firestore_resources(project: str, database: str, location: str) -> list[Resource]:
    from services.provisioning.firestore import Emulated, FirestoreAdmin, firestore_resources

    if os.environ.get("FIRESTORE_EMULATOR_HOST"):
        return [Emulated("database", f"projects/{project}/databases/{database}")]
    return firestore_resources(FirestoreAdmin(project, database, location))
