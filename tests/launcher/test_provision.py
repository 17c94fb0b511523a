"""`roteiro provision`: what the settings name, looked at or made, and the roles it needs."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from launcher.roles import role_commands
from launcher.settings import Settings, load_settings
from tests.emulators.storage import VARIABLE as STORAGE
from tests.simulators.buckets import BucketSimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.emulators.pubsub import PubsubEmulator


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketSimulator]:
    """Buckets, on this machine."""
    with BucketSimulator() as simulator:
        monkeypatch.setenv(STORAGE, simulator.url)
        monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "1")
        yield simulator


@pytest.fixture
def words(pubsub: PubsubEmulator, buckets: BucketSimulator) -> tuple[str, ...]:
    """Flags that name a topic of each kind, a subscription and a bucket; none of them is there."""
    assert pubsub.host
    assert buckets.url
    name = f"t-{uuid.uuid4().hex[:12]}"
    named = {
        "topic": f"projects/radio/topics/{name}",
        "subscription": f"projects/radio/subscriptions/{name}",
        "dead_letter_topic": f"projects/radio/topics/{name}-dead-letters",
        "events_topic": f"projects/radio/topics/{name}-events",
        "output": f"gs://{name}/narrations",
        "status": "status.db",
    }
    return tuple(word for flag, value in named.items() for word in (f"--{flag}", value))


def states(told: str) -> list[str]:
    return [row["state"] for row in json.loads(told)["resources"]]


@pytest.mark.pubsub
def test_what_is_missing_is_told_and_made_once(
    call: Callable[..., Any], words: tuple[str, ...], buckets: BucketSimulator
) -> None:
    """A look changes nothing; making twice makes once, and afterwards all is as wanted."""
    looked = call("provision", "--json", *words)
    assert looked.exit_code == 1
    assert states(looked.stdout) == ["missing"] * 5
    assert not buckets.writes
    made = call("provision", "--create", "--json", "--location", "EU", *words)
    assert made.exit_code == 0
    assert states(made.stdout) == ["made"] * 5
    (bucket,) = buckets.buckets.values()
    assert (bucket["project"], bucket["location"]) == ("radio", "EU")
    for again in ("--create", "--check"):
        result = call("provision", again, "--json", *words)
        assert result.exit_code == 0
        assert states(result.stdout) == ["there"] * 5
        assert not any(row["done"] for row in json.loads(result.stdout)["resources"])
    assert len(buckets.writes) == 1


@pytest.mark.pubsub
def test_a_table_for_people(call: Callable[..., Any], words: tuple[str, ...]) -> None:
    """What there is, what is missing, what to run next, and the roles."""
    result = call("provision", *words)
    assert result.exit_code == 1
    assert "subscription  projects/radio/subscriptions/" in result.stdout
    assert "missing" in result.stdout
    assert "gcloud iam service-accounts create roteiro --project=radio" in result.stdout
    assert "5 not as wanted; `roteiro provision --create`" in result.stderr
    made = call("provision", "--create", *words)
    assert made.exit_code == 0
    assert "never expires" in made.stdout
    assert not made.stderr


def test_what_differs_is_told_with_its_remedy(
    call: Callable[..., Any], folder: Path, buckets: BucketSimulator
) -> None:
    """Wanted and found stand side by side; what is not mended keeps the exit code at 1."""
    assert folder.is_dir()
    off = {"uniformBucketLevelAccess": {"enabled": False}}
    buckets.buckets["radio"] = {"name": "radio", "location": "US", "iamConfiguration": off}
    words = ("--output", "gs://radio", "--status", "status.db")
    looked = call("provision", *words)
    assert looked.exit_code == 1
    assert "cache/ deleted: wanted after 7 days, found never" in looked.stdout
    made = call("provision", "--create", *words)
    assert made.exit_code == 1
    assert "cache/ deleted: after 7 days" in made.stdout
    assert "uniform access: wanted on, found off" in made.stdout
    assert "--uniform-bucket-level-access" in made.stdout
    assert "what is said above is left to do" in made.stderr


def test_a_refusal_is_told_beside_the_others(
    call: Callable[..., Any],
    pubsub: PubsubEmulator,
    words: tuple[str, ...],
    buckets: BucketSimulator,
) -> None:
    """What may not be looked at fails with the role that is missing; the rest is made."""
    assert pubsub.host
    buckets.status = 403
    made = call("provision", "--create", "--json", *words)
    assert made.exit_code == 1
    assert states(made.stdout) == ["made"] * 4 + ["failed"]
    assert "roles/storage.admin" in json.loads(made.stdout)["resources"][-1]["error"]
    assert "roles/storage.admin" in call("provision", *words).stdout


def test_an_emulator_of_firestore(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It administers nothing, and that is said; nothing is wrong about it."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
    result = call("provision", "--status", "firestore://radio-tests")
    assert result.exit_code == 0
    assert "not applicable on an emulator" in result.stdout


def test_nothing_in_the_cloud(call: Callable[..., Any]) -> None:
    """With a folder and SQLite there is nothing to make."""
    result = call("provision")
    assert result.exit_code == 0
    assert "nothing to make" in result.stdout


def test_without_credentials(
    call: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how to get them, and nothing is begun."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "none.json"))
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    result = call("provision", "--status", "firestore://radio-tests")
    assert result.exit_code == 2
    assert "gcloud auth application-default login" in result.stderr


# ── Roles ─────────────────────────────────────────────────────────────────────

EVERYTHING: dict[str, str] = {
    "topic": "projects/radio/topics/requests",
    "subscription": "projects/radio/subscriptions/subs",
    "events_topic": "projects/other/topics/events",
    "output": "gs://narrations/2026",
    "status": "firestore://statuses/main",
    "writer": "gemini",
    "voice": "google",
    "runner": "DataflowRunner",
}


@pytest.mark.usefixtures("folder")
def test_the_roles_of_everything() -> None:
    """Each on what it is needed for, and no more."""
    vertex = {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_CLOUD_PROJECT": "models"}
    making, *commands = role_commands(load_settings(EVERYTHING), vertex, project="radio")
    assert making == "gcloud iam service-accounts create roteiro --project=radio"
    member = "--member=serviceAccount:roteiro@radio.iam.gserviceaccount.com"
    assert [command.replace(f" {member} --role=roles/", ": ") for command in commands] == [
        "gcloud pubsub subscriptions add-iam-policy-binding subs --project=radio: pubsub.subscriber",
        "gcloud pubsub topics add-iam-policy-binding requests --project=radio: pubsub.publisher",
        "gcloud pubsub topics add-iam-policy-binding events --project=other: pubsub.publisher",
        "gcloud storage buckets add-iam-policy-binding gs://narrations: storage.objectUser",
        "gcloud projects add-iam-policy-binding statuses: datastore.user",
        "gcloud projects add-iam-policy-binding models: aiplatform.user",
        "gcloud projects add-iam-policy-binding radio: serviceusage.serviceUsageConsumer",
        "gcloud projects add-iam-policy-binding radio: dataflow.worker",
    ]


@pytest.mark.parametrize(
    ("changed", "role"),
    [
        ({"runner": "direct"}, "dataflow.worker"),
        ({"voice": "offline"}, "serviceUsageConsumer"),
        ({"writer": "offline"}, "aiplatform.user"),
        ({"status": "status.db"}, "datastore.user"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_not_used_needs_no_role(changed: dict[str, str], role: str) -> None:
    """The least is what is printed."""
    settings = load_settings(EVERYTHING | changed)
    vertex = {"GOOGLE_GENAI_USE_VERTEXAI": "1", "GOOGLE_CLOUD_PROJECT": "models"}
    assert role not in "\n".join(role_commands(settings, vertex, project="radio"))


@pytest.mark.usefixtures("folder")
def test_an_account_that_is_there() -> None:
    """It is named in every command, and none is made."""
    commands = role_commands(
        load_settings(EVERYTHING), {}, project="radio", account="a@b.iam.gserviceaccount.com"
    )
    assert all("serviceAccount:a@b.iam.gserviceaccount.com" in command for command in commands)
    assert role_commands(Settings(), {}, project="") == []
