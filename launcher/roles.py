"""Roles: the least that a service account needs for what the settings name, as gcloud commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from launcher.settings import BUCKET
from services.access import PROJECT, USE_VERTEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from launcher.settings import Settings

ACCOUNT: Final = "roteiro"
"""The account's id where none is named."""
DATAFLOW: Final = ("dataflow", "dataflowrunner")


def project_of(settings: Settings, environment: Mapping[str, str]) -> str:
    """The project that the settings name first, or that of the environment; empty for none."""
    named = (settings.subscription, settings.topic, settings.dead_letter_topic)
    for resource in filter(None, (*named, settings.events_topic)):
        return resource.split("/")[1]
    if settings.firestore:
        return settings.firestore[0]
    return environment.get(PROJECT, "").strip()


def role_commands(
    settings: Settings, environment: Mapping[str, str], *, project: str, account: str = ""
) -> list[str]:
    """What to run, once, to let an account do the work; nothing where nothing of it is used.

    Args:
        settings: name what is used.
        environment: tells of Vertex AI.
        project: of the account, and of what names none itself; empty for a placeholder.
        account: its address; by default `roteiro` of the project, which is then made.
    """
    place = project or "PROJECT"
    address = account or f"{ACCOUNT}@{place}.iam.gserviceaccount.com"
    bindings = list(_bindings(settings, environment, place))
    if not bindings:
        return []
    making = [] if account else [f"gcloud iam service-accounts create {ACCOUNT} --project={place}"]
    member = f"--member=serviceAccount:{address}"
    return making + [f"{command} {member} --role=roles/{role}" for command, role in bindings]


def _bindings(
    settings: Settings, environment: Mapping[str, str], place: str
) -> Iterator[tuple[str, str]]:
    """Commands that bind a role, and the role."""
    if settings.subscription:
        yield _pubsub("subscriptions", settings.subscription), "pubsub.subscriber"
    topics = (settings.topic, settings.dead_letter_topic, settings.events_topic)
    for topic in dict.fromkeys(filter(None, topics)):
        yield _pubsub("topics", topic), "pubsub.publisher"
    if settings.output.startswith(BUCKET):
        bucket = settings.output.removeprefix(BUCKET).partition("/")[0]
        yield (
            f"gcloud storage buckets add-iam-policy-binding {BUCKET}{bucket}",
            "storage.objectUser",
        )
    if settings.firestore:
        yield _project(settings.firestore[0]), "datastore.user"
    vertex = environment.get(USE_VERTEX, "").strip().lower() in {"true", "1"}
    if settings.writer == "gemini" and vertex:
        yield _project(environment.get(PROJECT, "").strip() or place), "aiplatform.user"
    if settings.voice == "google":
        yield _project(place), "serviceusage.serviceUsageConsumer"
    if settings.runner.lower() in DATAFLOW:
        yield _project(place), "dataflow.worker"


def _pubsub(kind: str, name: str) -> str:
    _, project, _, resource = name.split("/")
    return f"gcloud pubsub {kind} add-iam-policy-binding {resource} --project={project}"


def _project(name: str) -> str:
    return f"gcloud projects add-iam-policy-binding {name}"
