"""`roteiro deploy`: the Flex Template is written, for others to start jobs from."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from launcher import bootstrap
from launcher.consoles import output_console
from launcher.dataflow import load_dataflow, require
from launcher.exits import DONE, BadInput
from launcher.settings import BUCKET
from launcher.template import metadata, spec

if TYPE_CHECKING:
    from launcher.settings import Flags


def deploy(place: str, flags: Flags) -> int:
    """Write the template to a bucket, or print it; returns the exit code."""
    settings = load_dataflow(flags)
    require(settings, "image")
    written = encoded(spec(settings.image))
    if place == "-":
        sys.stdout.write(written)
        return DONE
    folder, _, name = place.rpartition("/")
    if not (folder.startswith(BUCKET) and folder != BUCKET and name):
        raise BadInput(f"{place}: a template is gs://bucket/…/name.json, or - to print it")
    bootstrap.artifacts(folder).write(name, written.encode())
    output_console().print(
        f"{place} is written, of {settings.image}. docs/dataflow.md tells how to run it.",
        soft_wrap=True,
    )
    return DONE


def encoded(document: object) -> str:
    """JSON as it is stored."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(encoded(metadata()))
