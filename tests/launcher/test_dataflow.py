"""What Dataflow receives when a job is submitted, and what becomes of running jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as api

from launcher import __version__
from tests.builders import ROTEIRO
from tests.simulators.dataflow import DataflowSimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.emulators.pubsub import PubsubEmulator
    from tests.emulators.storage import StorageEmulator

PATIENCE = 120.0
"""Seconds that a submission may take before the test gives up."""
STEPS = Path(__file__).parents[1] / "pipeline" / "streaming_steps.txt"
IMAGE = "europe-west1-docker.pkg.dev/test/roteiro/roteiro:1"
KEY = "AIza-a-key-that-nobody-may-see"
SECRET = "projects/test/secrets/gemini/versions/latest"  # noqa: S105 - a name


class Google:
    """What a job is submitted to: Dataflow, simulated; Pub/Sub and Cloud Storage, emulated."""

    def __init__(
        self,
        folder: Path,
        pubsub: PubsubEmulator,
        storage: StorageEmulator,
        dataflow: DataflowSimulator,
    ) -> None:
        self.folder, self.storage, self.dataflow = folder, storage, dataflow
        self.bucket = storage.bucket()
        self.topic, self.subscription = pubsub.new_topic()
        self.dead_letters, _ = pubsub.new_topic()
        self.events, _ = pubsub.new_topic()
        self.environment = {
            "PUBSUB_EMULATOR_HOST": pubsub.host,
            "STORAGE_EMULATOR_HOST": storage.url,
            "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA": "1",
            **dataflow.access(folder),
            "GOOGLE_API_KEY": KEY,
            "ROTEIRO_PROJECT": "test",
            "ROTEIRO_REGION": "europe-west1",
            "ROTEIRO_DATAFLOW_ENDPOINT": dataflow.url,
        }
        self.work = (
            f"--subscription={self.subscription}",
            f"--dead_letter_topic={self.dead_letters}",
            f"--events_topic={self.events}",
            f"--output=gs://{self.bucket}/narrations",
            "--status=firestore://test-project",
            f"--temp_location=gs://{self.bucket}/temporary",
            f"--image={IMAGE}",
            "--writer=gemini",
            f"--api_key_secret={SECRET}",
            "--voice=google",
        )

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`roteiro` as a process."""
        return subprocess.run(
            [ROTEIRO, *words],
            cwd=self.folder,
            env=os.environ | self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )

    def objects(self) -> dict[str, bytes]:
        """All that is in the bucket."""
        found = self.storage.objects(self.bucket)
        return {name: blob.download_as_bytes() for name, blob in found.items()}

    def pipeline(self, job: dict[str, Any]) -> api.Pipeline:
        """The graph that was staged for a job."""
        url = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        data = self.objects()[url.removeprefix(f"gs://{self.bucket}/")]
        graph: api.Pipeline = api.Pipeline.FromString(data)
        return graph


@pytest.fixture
def google(
    tmp_path: Path, pubsub: PubsubEmulator, storage_emulator: StorageEmulator
) -> Iterator[Google]:
    with DataflowSimulator() as dataflow:
        yield Google(tmp_path, pubsub, storage_emulator, dataflow)


def steps(pipeline: api.Pipeline) -> set[str]:
    """Names as we give them."""
    names = {step.unique_name for step in pipeline.components.transforms.values()}
    return {"/".join(name.split("/")[:2]) for name in names if not name.startswith("ref_")} - {""}


def test_a_job_is_submitted_to_the_last_option(google: Google) -> None:
    """Environment, options, source, image, labels and steps are what was asked for; no key is."""
    done = google.call(
        "start",
        "--runner=dataflow",
        *google.work,
        "--max_in_flight=40",
        "--max_workers=7",
        "--machine_type=n2-standard-4",
        "--service_account=worker@test.iam.gserviceaccount.com",
        "--network=ours",
        "--subnetwork=regions/europe-west1/subnetworks/ours",
        "--labels=team=content,cost-centre=42",
        "--streaming_mode=at_least_once",
        "--",
        "--no_use_public_ips",
    )
    assert done.returncode == 0, done.stderr
    ((job_id, job),) = google.dataflow.jobs.items()
    assert job_id in done.stdout
    assert f"/dataflow/jobs/europe-west1/{job_id}?project=test" in done.stdout

    assert (job["name"], job["type"]) == ("roteiro", "JOB_TYPE_STREAMING")
    version = __version__.replace(".", "-")
    assert job["labels"] == {"team": "content", "cost-centre": "42", "roteiro": version}
    environment = job["environment"]
    assert environment["serviceAccountEmail"] == "worker@test.iam.gserviceaccount.com"
    assert environment["serviceOptions"] == ["streaming_mode_at_least_once"]
    assert "enable_streaming_engine" in environment["experiments"]
    assert environment["tempStoragePrefix"].startswith(
        f"storage.googleapis.com/{google.bucket}/temporary/"
    )
    (pool,) = environment["workerPools"]
    assert pool["machineType"] == "n2-standard-4"
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 7
    assert pool["numThreadsPerWorker"] == 40
    assert (pool["network"], pool["subnetwork"]) == (
        "ours",
        "regions/europe-west1/subnetworks/ours",
    )
    assert pool["ipConfiguration"] == "WORKER_IP_PRIVATE"
    (container,) = pool["sdkHarnessContainerImages"]
    assert container["containerImage"] == IMAGE
    options = environment["sdkPipelineOptions"]["options"]
    assert (options["project"], options["region"]) == ("test", "europe-west1")
    assert options["streaming"] is True

    graph = google.pipeline(job)
    (worker,) = {step.environment_id for step in graph.components.transforms.values()} - {""}
    docker = api.DockerPayload.FromString(graph.components.environments[worker].payload)
    assert docker.container_image == IMAGE
    (read,) = [
        api.PubSubReadPayload.FromString(step.spec.payload)
        for step in graph.components.transforms.values()
        if step.spec.urn == "beam:transform:pubsub_read:v1"
    ]
    assert read.subscription == google.subscription
    assert (read.id_attribute, read.with_attributes) == ("submission", True)
    assert sorted(steps(graph)) == STEPS.read_text("utf-8").splitlines()

    staged = google.objects()
    assert KEY not in json.dumps(job)
    assert all(KEY.encode() not in data for data in staged.values())
    assert not any(name.endswith((".whl", ".tar.gz")) for name in staged), list(staged)


def test_a_second_job_of_the_name_is_not_submitted(google: Google) -> None:
    """The running one is named, and what replaces it."""
    running = google.dataflow.add("roteiro", labels={"roteiro": "0-0-1"})
    done = google.call("start", "--runner=dataflow", *google.work)
    assert done.returncode == 2
    assert running in done.stderr
    assert "roteiro update" in done.stderr
    assert list(google.dataflow.jobs) == [running]
    assert google.objects() == {}


def test_what_a_job_needs_is_told_at_once(google: Google) -> None:
    """Workers share nothing with this machine, so that places on it are refused."""
    done = google.call("start", "--runner=dataflow", f"--subscription={google.subscription}")
    assert (done.returncode, done.stderr) == (
        2,
        "Dataflow needs --temp_location, --image; see docs/dataflow.md\n",
    )
    place = (f"--temp_location=gs://{google.bucket}/temporary", f"--image={IMAGE}")
    words = (f"--subscription={google.subscription}", *place, "--writer=gemini")
    done = google.call("start", "--runner=dataflow", *words)
    assert done.returncode == 2
    for told in ("--output must be gs://", "--status must be firestore://", "--vertex_location"):
        assert told in done.stderr
    done = google.call("start", f"--subscription={google.subscription}", "--region=here")
    assert "--runner dataflow is missing" in done.stderr


def test_the_template_writes_the_job_for_its_launcher(google: Google) -> None:
    """Called as the launcher calls it, it submits nothing and leaves the job where it is told."""
    place = f"gs://{google.bucket}/staging/template_launches/1/job_object"
    flags = {
        "runner": "DataflowRunner",
        "project": "test",
        "region": "europe-west1",
        "job_name": "by-template",
        "temp_location": f"gs://{google.bucket}/temporary",
        "max_num_workers": "3",
        "dataflow_endpoint": google.dataflow.url,
        "template_location": place,
    }
    script = Path(__file__).parents[2] / "deploy" / "flex_template.py"
    done = subprocess.run(
        [sys.executable, script, *google.work, *(f"--{n}={value}" for n, value in flags.items())],
        cwd=google.folder,
        env=os.environ | google.environment,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert google.dataflow.jobs == {}
    job = json.loads(google.objects()[place.removeprefix(f"gs://{google.bucket}/")])
    assert job["name"] == "by-template"
    (pool,) = job["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 3
    assert sorted(steps(google.pipeline(job))) == STEPS.read_text("utf-8").splitlines()


def test_deploy_writes_the_template_to_the_bucket(google: Google) -> None:
    """It is image, SDK and metadata; nothing is started."""
    done = google.call("deploy", f"gs://{google.bucket}/templates/roteiro.json", f"--image={IMAGE}")
    assert done.returncode == 0, done.stderr
    ((name, data),) = google.objects().items()
    document = json.loads(data)
    assert name == "templates/roteiro.json"
    assert (document["image"], document["sdkInfo"]) == (IMAGE, {"language": "PYTHON"})
    assert document["metadata"]["streaming"] is True
    assert google.dataflow.jobs == {}


def test_an_update_takes_over_the_running_job(google: Google) -> None:
    """A job of the same name and steps replaces it."""
    described = [{"name": name} for name in STEPS.read_text("utf-8").splitlines()]
    old = google.dataflow.add(
        "roteiro",
        labels={"roteiro": "0-0-1"},
        pipelineDescription={"originalPipelineTransform": described},
    )
    done = google.call("update", *google.work)
    assert done.returncode == 0, done.stderr
    (new,) = set(google.dataflow.jobs) - {old}
    assert google.dataflow.jobs[new]["replaceJobId"] == old
    assert google.dataflow.jobs[old]["currentState"] == "JOB_STATE_UPDATED"
    assert f"{new} in place of {old}" in done.stdout


def test_an_update_that_would_lose_a_step_is_refused(google: Google) -> None:
    """The step is named; mapped, it may go."""
    described = [{"name": "Narrate batches/Whisper scripts/Map"}]
    fields = {"pipelineDescription": {"originalPipelineTransform": described}}
    old = google.dataflow.add("roteiro", labels={"roteiro": "0-0-1"}, **fields)
    done = google.call("update", *google.work)
    assert done.returncode == 2
    assert "Narrate batches/Whisper scripts" in done.stderr
    assert list(google.dataflow.jobs) == [old]

    mapping = json.dumps({"Narrate batches/Whisper scripts": ""})
    done = google.call("update", *google.work, "--", f"--transform_name_mapping={mapping}")
    assert done.returncode == 0, done.stderr
    (new,) = set(google.dataflow.jobs) - {old}
    assert google.dataflow.jobs[new]["transformNameMapping"] == json.loads(mapping)


def test_an_update_needs_a_running_job(google: Google) -> None:
    """Where there is none, or it drains, nothing is submitted."""
    done = google.call("update", *google.work)
    assert (done.returncode, "no job roteiro runs" in done.stderr) == (2, True)
    google.dataflow.add("roteiro", currentState="JOB_STATE_DRAINING", labels={"roteiro": "1"})
    done = google.call("update", *google.work)
    assert (done.returncode, "is draining, not running" in done.stderr) == (2, True)


@pytest.fixture
def dataflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataflowSimulator]:
    """Dataflow for commands in this process."""
    with DataflowSimulator() as simulator:
        for name, value in simulator.access(tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ROTEIRO_PROJECT", "test")
        monkeypatch.setenv("ROTEIRO_REGION", "europe-west1")
        monkeypatch.setenv("ROTEIRO_DATAFLOW_ENDPOINT", simulator.url)
        yield simulator


def test_jobs_are_listed_by_label(dataflow: DataflowSimulator, call: Callable[..., Any]) -> None:
    """Ours, whatever their names, over all pages; those that have ended only if asked."""
    ours = [dataflow.add(f"job-{n}", labels={"roteiro": "0-1-0"}) for n in range(3)]
    dataflow.add("another", labels={"team": "content"})
    ended = dataflow.add("old", labels={"roteiro": "0-0-1"}, currentState="JOB_STATE_DRAINED")

    listed = json.loads(call("jobs", "--json").stdout)["jobs"]
    assert [job["job_id"] for job in listed] == ours[::-1]
    assert {(job["state"], job["region"]) for job in listed} == {("running", "europe-west1")}
    every = json.loads(call("jobs", "--all", "--json").stdout)["jobs"]
    assert every[0]["job_id"] == ended
    shown = call("jobs").stdout
    assert all(job_id in shown for job_id in ours)
    assert "0.1.0" in shown


def test_a_drained_job_finishes_what_it_has_begun(
    dataflow: DataflowSimulator, call: Callable[..., Any]
) -> None:
    """It is asked for once, by name or id."""
    job_id = dataflow.add("roteiro", labels={"roteiro": "0-1-0"})
    assert call("drain", "roteiro").exit_code == 0
    assert dataflow.jobs[job_id]["requestedState"] == "JOB_STATE_DRAINED"
    assert call("drain", job_id).exit_code == 0


def test_a_job_is_stopped_only_when_it_is_meant(
    dataflow: DataflowSimulator, call: Callable[..., Any]
) -> None:
    """Without --yes nothing is done; a job of others is never touched."""
    job_id = dataflow.add("roteiro", labels={"roteiro": "0-1-0"})
    theirs = dataflow.add("theirs", labels={"team": "content"})
    refused = call("stop", "roteiro")
    assert refused.exit_code == 2
    assert "Nothing was done" in refused.stderr
    assert dataflow.jobs[job_id]["currentState"] == "JOB_STATE_RUNNING"

    assert call("stop", "roteiro", "--yes").exit_code == 0
    assert dataflow.jobs[job_id]["currentState"] == "JOB_STATE_CANCELLED"
    for name in ("theirs", theirs, "roteiro"):
        assert call("stop", name, "--yes").exit_code == 2
        assert "no job of roteiro's" in call("drain", name).stderr
    assert dataflow.jobs[theirs]["currentState"] == "JOB_STATE_RUNNING"
