"""From `submit` to `download` on emulators and simulators: everything real but the vendors."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time
import zipfile
from typing import TYPE_CHECKING, Any

import miniaudio
import pytest
import yaml

from tests.builders import ROTEIRO
from tests.emulators.cloud import KEY, Cloud
from tests.emulators.firestore import Missing
from tests.emulators.storage import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = pytest.mark.pubsub

PATIENCE = 90.0
"""Seconds to wait for something before the test gives up."""
REQUEST: dict[str, Any] = {
    "owner": "ana@example.com",
    "titles": ["A história do café", "Como o café chegou ao Brasil"],
    "variations": 2,
    "agent": {"target_languages": ["pt-BR", "en-US", "ja-JP"], "target_minutes": 0.5},
}
TOTAL = 2 * 2 * 3


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """All of it; real speech, so that there is something to decode."""
    if reason := missing():
        pytest.skip(reason)
    try:
        with Cloud(speech=True, latency=0.05) as furnished:
            yield furnished
    except Missing as error:
        pytest.skip(str(error))


@pytest.fixture
def roteiro(cloud: Cloud, tmp_path: Path) -> Callable[..., str]:
    """`roteiro` as a process with the cloud's settings: words → what it printed."""

    def called(*words: str) -> str:
        done = subprocess.run(
            [ROTEIRO, *words],
            cwd=tmp_path,
            env=cloud.variables(),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return called


def request_file(folder: Path, batch_id: str, **fields: Any) -> str:
    path = folder / f"{batch_id}.yaml"
    document = {**REQUEST, "batch_id": batch_id, **fields}
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    return str(path)


def status(roteiro: Callable[..., str], batch_id: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(roteiro("status", batch_id, "--json"))
    return document


def test_two_batches_and_a_poison_message(
    cloud: Cloud, roteiro: Callable[..., str], tmp_path: Path
) -> None:
    """Both owners' batches reach 100 % and can be downloaded whole; the poison is a dead letter."""
    published = json.loads(roteiro("submit", request_file(tmp_path, "cafe-da-ana"), "--json"))
    assert published == {"batch_id": "cafe-da-ana", "published": True, "total_items": TOTAL}
    cloud.pubsub.publish(cloud.environment["ROTEIRO_TOPIC"], b'{"titles": "\xff"}')
    roteiro("submit", request_file(tmp_path, "cafe-da-bia", owner="bia@example.com"))
    assert status(roteiro, "cafe-da-bia")["status"] == "queued"

    worker = subprocess.Popen(
        [ROTEIRO, "start"], cwd=tmp_path, env=cloud.variables(), stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while any(
            status(roteiro, batch_id)["status"] != "completed"
            for batch_id in ("cafe-da-ana", "cafe-da-bia")
        ):
            assert worker.poll() is None, worker.communicate()
            assert time.monotonic() < deadline
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate(timeout=PATIENCE)
    finally:
        worker.kill()
    assert worker.returncode == 0, err
    assert "Traceback" not in err
    assert KEY not in err

    for batch_id, owner in (("cafe-da-ana", "ana@example.com"), ("cafe-da-bia", "bia@example.com")):
        batch = status(roteiro, batch_id)
        assert KEY not in json.dumps(batch)
        assert (batch["status"], batch["progress_percentage"]) == ("completed", 100)
        assert (batch["owner"], batch["completed_items"]) == (owner, TOTAL)
        assert {item["status"] for job in batch["jobs"] for item in job["items"].values()} == {
            "completed"
        }
        roteiro("download", batch_id)
        check_archive(tmp_path / f"{batch_id}.zip", batch_id)
    assert [row["batch_id"] for row in json.loads(roteiro("list", "--owner", "bia@example.com", "--json"))] == ["cafe-da-bia"]  # fmt: skip

    assert KEY.encode() not in b"".join(stored(cloud))

    (letter,) = cloud.pubsub.take(cloud.dead_letters)
    assert letter.data == b'{"titles": "\xff"}'
    assert letter.attributes["dead_letter"].startswith(cloud.environment["ROTEIRO_OUTPUT"])
    ends = {event.attributes["ce-subject"] for event in cloud.pubsub.take(cloud.events, 2)}
    assert ends == {"cafe-da-ana", "cafe-da-bia"}

    # The same titles by the same agent, for both: whoever came second was given what was paid for.
    written = [call for call in cloud.gemini.calls if call.task == "variation"]
    assert len(written) == 4  # every title × variation
    assert len(cloud.gemini.calls) == 4 + 4 * 2  # and an adaptation for each other language


def stored(cloud: Cloud) -> Iterator[bytes]:
    """Everything that lies in the bucket: names and bytes."""
    bucket, _, prefix = cloud.environment["ROTEIRO_OUTPUT"].removeprefix("gs://").partition("/")
    with cloud.storage.client() as client:
        for blob in client.list_blobs(bucket, prefix=prefix):
            yield blob.name.encode() + blob.download_as_bytes()


def check_archive(path: Path, batch_id: str) -> None:
    """Every MP3 decodes, and is what the manifest says of it."""
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read(f"{batch_id}/manifest.json"))
        audio = [archive.read(name) for name in archive.namelist() if name.endswith(".mp3")]
    assert len(manifest["items"]) == len(audio) == TOTAL
    told = {item["sha256"]: item for item in manifest["items"]}
    for data in audio:
        item = told[hashlib.sha256(data).hexdigest()]
        assert item["bytes"] == len(data)
        sound = miniaudio.decode(data, sample_rate=22_050)
        seconds = sound.num_frames / sound.sample_rate
        assert seconds == pytest.approx(item["seconds"], abs=0.2)


def test_content_types_and_places(
    cloud: Cloud, roteiro: Callable[..., str], tmp_path: Path
) -> None:
    """`roteiro run` on the same services: what lies in the bucket is what browsers make of it."""
    words = ("run", request_file(tmp_path, "cafe-aqui", titles=["Café"], variations=1))
    roteiro(*words)
    bucket = cloud.environment["ROTEIRO_OUTPUT"].split("/")[2]
    folder = "narrations/batches/cafe-aqui/"
    kinds = {
        name.removeprefix(folder): blob.content_type
        for name, blob in cloud.storage.objects(bucket).items()
        if name.startswith(folder)
    }
    assert kinds.pop("manifest.json") == "application/json"
    assert len(kinds) == 6
    for name, kind in kinds.items():
        wanted = "audio/mpeg" if name.endswith(".mp3") else "text/plain; charset=utf-8"
        assert kind == wanted
    calls = len(cloud.gemini.calls)
    roteiro(*words)
    assert len(cloud.gemini.calls) == calls  # all is there, and nothing is paid again


def test_the_doctor_asks_everybody_at_once(roteiro: Callable[..., str]) -> None:
    """In a process of its own, where nothing is imported yet, each service answers."""
    checks = json.loads(roteiro("doctor", "--json"))["checks"]
    states = {check["service"]: check["state"] for check in checks}
    unused = {"eSpeak NG", "output folder", "SQLite"}
    assert {name for name, state in states.items() if state == "not used"} == unused
    assert {states[name] for name in states.keys() - unused} == {"ok"}
