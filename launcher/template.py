"""The Flex Template: what it asks for, and what its launcher runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from launcher import launching
from launcher.dataflow import DataflowSettings, check, load_dataflow, require
from launcher.exits import BadInput
from launcher.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo

LEFT_OUT: Final = frozenset({"topic", "runner", "max_batches", "grace", "speech_endpoint"})
"""Settings of other commands and of the direct runner, or for tests."""
OF_THE_JOB: Final = ("image", "vertex_location")
"""The rest of the job's settings are Dataflow's own parameters: region, machine type and so on."""
REQUIRED: Final = frozenset({"subscription", "output", "status"})
TYPES: Final = {
    "subscription": "PUBSUB_SUBSCRIPTION",
    "dead_letter_topic": "PUBSUB_TOPIC",
    "events_topic": "PUBSUB_TOPIC",
    "output": "GCS_WRITE_FOLDER",
}
REGEXES: Final = {
    "output": r"^gs://[^/]+(/.*)?$",
    "status": r"^firestore://[a-z][a-z0-9:.-]{4,61}[a-z0-9](/[^/\s]+)?$",
    "subscription": r"^projects/[^/\s]+/subscriptions/[^/\s]+$",
    "dead_letter_topic": r"^projects/[^/\s]+/topics/[^/\s]+$",
    "events_topic": r"^projects/[^/\s]+/topics/[^/\s]+$",
    "api_key_secret": r"^projects/[^/\s]+/secrets/[^/\s]+/versions/[^/\s]+$",
    "gemini_endpoint": r"^https://[^\s@?#]+$",
    "writer": r"^(offline|gemini)$",
}
"""Narrower than the settings: a job reaches nothing on anybody's machine, and its image has no extra."""


def parameters() -> dict[str, FieldInfo]:
    """The settings that the template asks for, by name."""
    works = {name: field for name, field in Settings.model_fields.items() if name not in LEFT_OUT}
    return works | {name: DataflowSettings.model_fields[name] for name in OF_THE_JOB}


def metadata() -> dict[str, Any]:
    """What `deploy/flex-template.json` holds."""
    return {
        "name": "Roteiro",
        "description": "Narrated scripts in many languages from a list of titles.",
        "streaming": True,
        "supportsAtLeastOnce": True,
        "supportsExactlyOnce": True,
        "defaultStreamingMode": "EXACTLY_ONCE",
        "parameters": [_parameter(name, field) for name, field in parameters().items()],
    }


def spec(image: str) -> dict[str, Any]:
    """The template: the image, and what it asks for."""
    return {"image": image, "sdkInfo": {"language": "PYTHON"}, "metadata": metadata()}


def _parameter(name: str, field: FieldInfo) -> dict[str, Any]:
    default = field.default
    told = field.description or name
    if default != "" and name not in REQUIRED:
        told = f"{told.removesuffix('.')}. Default: {default}."
    regex = REGEXES.get(name) or _regex(field.annotation)
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "helpText": told,
        "isOptional": name not in REQUIRED,
        "paramType": TYPES.get(name, "TEXT"),
        **({"regexes": [regex]} if regex else {}),
    }


def _regex(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return f"^({'|'.join(get_args(annotation))})$"
    return {int: r"^[0-9]+$", float: r"^[0-9]+(\.[0-9]+)?$"}.get(annotation, "")


def parse(words: Sequence[str]) -> tuple[Settings, DataflowSettings, list[str]]:
    """Parameters and Dataflow's own flags → settings, and what is left for Beam.

    Raises:
        BadInput: naming every setting that is wrong.
    """
    ours, beams = {}, []
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        if name in parameters():
            ours[name] = value
        else:
            beams.append(word)
    if "subscription" not in ours:
        raise BadInput("the template needs the parameter subscription")
    work = {name: value for name, value in ours.items() if name in Settings.model_fields}
    job = {name: value for name, value in ours.items() if name in OF_THE_JOB}
    return load_settings(work), load_dataflow(launching.from_beam(beams) | job), beams


def main() -> None:
    """Have Beam write the job to where the launcher wants it."""
    try:
        settings, job, flags = parse(sys.argv[1:])
        require(job, "project", "region", "temp_location", "image")
        check(settings, job)
        launching.run(launching.streaming_pipeline(settings, job, flags))
    except BadInput as error:
        sys.exit(str(error))
