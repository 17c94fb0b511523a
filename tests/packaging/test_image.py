"""The container image, as far as it can be checked where no engine builds it; and the template."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.dataflow import DataflowSettings
from launcher.deploying import encoded
from launcher.exits import BadInput
from launcher.settings import Settings
from launcher.template import LEFT_OUT, OF_THE_JOB, metadata, parse

CHECKOUT = Path(__file__).parents[2]
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
TEMPLATE = (
    "--subscription=projects/test/subscriptions/requests",
    "--output=gs://bucket/narrations",
    "--status=firestore://test-project",
)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, in order: word, rest of the line."""
    text = (CHECKOUT / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def given(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


def copied() -> list[str]:
    """What is taken from the checkout."""
    return [
        source
        for rest in given("COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path into the build; its last fitting line counts."""
    sent = True
    for line in (CHECKOUT / ".dockerignore").read_text("utf-8").split():
        pattern = line.removeprefix("!").replace("**/", "*")
        if any(fnmatch(part, pattern) for part in (path, path.split("/", maxsplit=1)[0])):
            sent = line.startswith("!")
    return sent


def test_beam_and_python_are_those_of_the_lock() -> None:
    """All stages have one Beam and one Python, and the lock has them too."""
    lock = (CHECKOUT / "requirements.lock").read_text("utf-8")
    locked = re.search(r"^apache-beam==(\S+)", lock, re.MULTILINE)
    assert locked
    images = [rest.split()[0] for rest in given("FROM")]
    assert len(images) == 3
    beams = {image for image in images if "beam" in image}
    assert beams == {f"apache/beam_python3.11_sdk:{locked[1]}"}
    assert sum("python311-template-launcher" in image for image in images) == 1
    assert all(not image.endswith(":latest") and ":" in image for image in images)


def test_what_is_copied_is_there_and_sent() -> None:
    """Sources exist, and .dockerignore leaves them in and the rest out."""
    assert copied()
    for source in copied():
        assert (CHECKOUT / source).exists(), source
        assert is_sent(source), source
    for other in (".git", ".venv", "tests", "output", "roteiro.toml", ".env", "docs"):
        assert not is_sent(other), other
    assert not is_sent("launcher/__pycache__")


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The last user is not root, and the entry is Beam's."""
    assert given("USER")[-1].isdecimal()
    assert given("USER")[-1] != "0"
    assert json.loads(given("ENTRYPOINT")[-1]) == ["/opt/apache/beam/boot"]
    environment = dict(rest.split("=", 1) for rest in given("ENV"))
    script = Path(environment["FLEX_TEMPLATE_PYTHON_PY_FILE"]).name
    assert f"deploy/{script}" in copied()
    version = re.search(r'version="([^"]+)"', (CHECKOUT / "setup.py").read_text("utf-8"))
    assert version
    assert f"VERSION={version[1]}" in given("ARG")


def pip_words(words: list[str]) -> list[str]:
    """A `pip install` of the Dockerfile for uv, which has no cache to leave out of a layer."""
    return [word for word in words if word != "--no-cache-dir"]


def test_the_installs_of_the_image_make_a_worker(tmp_path: Path) -> None:
    """In a clean environment, what RUN installs builds the graph and carries a bundle through it."""
    source, wheels, python = tmp_path / "source", tmp_path / "wheels", tmp_path / "env/bin/python"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in copied():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, target, ignore=ignore)
        else:
            shutil.copy(CHECKOUT / name, target)
    places = {"/wheels": str(wheels), "/template": str(source)}

    def run(*words: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(words, cwd=cwd, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(UV, "venv", "-q", "--python", sys.executable, str(python.parents[1]))
    installed = 0
    for command in (part for rest in given("RUN") for part in rest.split("&&")):
        words = shlex.split(command)
        for image, here in places.items():
            words = [word.replace(image, here) for word in words]
        words = pip_words(
            [str(p) for w in words for p in (wheels.glob("*.whl") if "*" in w else [w])]
        )
        if words[:2] == ["pip", "wheel"]:
            run(UV, "build", "-q", "--wheel", "-o", str(wheels), ".", cwd=source)
        elif words[:2] == ["pip", "install"]:
            run(UV, "pip", "install", "-q", "--python", str(python), *words[2:])
            installed += 1
        elif words[:2] == ["pip", "check"]:
            run(UV, "pip", "check", "--python", str(python))
    assert installed == 2

    worker = tmp_path / "worker"
    worker.mkdir()
    shutil.copy(CHECKOUT / "examples" / "kaffee.json", worker)
    made = run(
        str(python.with_name("roteiro")),
        "run",
        "kaffee.json",
        "--json",
        "--voice=offline",
        cwd=worker,
    )
    assert json.loads(made)["completed_items"] == 4
    # Everything that a worker unpickles, and the clients that it makes in setup.
    modules = "launcher.template, launcher.bootstrap, services.secrets, services.dataflow, \
services.writers.gemini, services.voices.google, services.statuses.firestore, \
services.artifacts.bucket, services.requests.pubsub, pipeline.sources"
    where = run(str(python), "-c", f"import {modules}; print(launcher.__file__)", cwd=worker)
    assert "site-packages" in where
    launched = subprocess.run(
        [python, source / "deploy" / "flex_template.py"],
        cwd=worker,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (launched.returncode, "parameter subscription" in launched.stderr) == (1, True)


def test_the_template_asks_for_what_the_settings_are() -> None:
    """The stored metadata is what `make template` makes of the settings now."""
    stored = (CHECKOUT / "deploy" / "flex-template.json").read_text("utf-8")
    assert stored == encoded(metadata()), "run `make template`"
    names = [parameter["name"] for parameter in metadata()["parameters"]]
    assert set(names) == set(Settings.model_fields) - LEFT_OUT | set(OF_THE_JOB)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("parameter", metadata()["parameters"], ids=lambda found: found["name"])
def test_each_parameter_explains_itself(parameter: dict[str, Any]) -> None:
    """It has a label and a help text, and its default fits its own expression."""
    assert parameter["label"]
    assert parameter["helpText"].endswith(".")
    fields = Settings.model_fields | DataflowSettings.model_fields
    default = fields[parameter["name"]].default
    if parameter["isOptional"] and default != "":
        assert all(re.fullmatch(regex, str(default)) for regex in parameter.get("regexes", []))


def test_the_templates_parameters_are_settings() -> None:
    """Ours are read as settings; Dataflow's own go to Beam, and are known by our names too."""
    flags = ["--project=p", "--region=r", "--temp_location=gs://b/t", "--streaming"]
    words = [*TEMPLATE, "--max_in_flight=50", "--image=a/b:1", *flags]
    settings, job, beams = parse(words)
    assert settings.max_in_flight == 50
    assert (job.project, job.region, job.image) == ("p", "r", "a/b:1")
    assert beams == flags
    with pytest.raises(BadInput, match="--max_in_flight must be"):
        parse([*TEMPLATE, "--max_in_flight=many"])


def test_cloud_build_names_what_is_there() -> None:
    """It builds this Dockerfile with the build arguments that it has, and deploys its image."""
    document = yaml.safe_load((CHECKOUT / "cloudbuild.yaml").read_text("utf-8"))
    build, push, template = (step["args"] for step in document["steps"])
    given_there = {word.split("=")[1] for word in build if word.startswith("--build-arg=")}
    assert given_there <= {rest.split("=")[0] for rest in given("ARG")}
    assert push == ["push", "${_IMAGE}"]
    assert template == ["deploy", "${_TEMPLATE}", "--image=${_IMAGE}"]
