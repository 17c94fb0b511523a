"""`roteiro provision`: what the settings name is looked at, or made."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from launcher.bootstrap import cloud
from launcher.consoles import error_console, output_console, plain_table, print_json
from launcher.exits import DONE, SOME_FAILED
from launcher.roles import project_of, role_commands
from launcher.settings import load_settings
from services.errors import ServiceError
from services.ports import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from launcher.settings import Flags
    from services.ports import Difference, Resource

THERE: Final = "there"
MISSING: Final = "missing"
DIFFERENT: Final = "different"
MADE: Final = "made"
FAILED: Final = "failed"
ELSEWHERE: Final = "not applicable"
WELL: Final = frozenset({THERE, MADE, ELSEWHERE})


@dataclass(frozen=True, slots=True)
class Wishes:
    """How things are to be made.

    Attributes:
        create: make and mend, instead of looking only.
        location: of a new bucket and a new database.
        project: of a new bucket; empty for the one that the settings name.
        account: the service account's address; empty for a new one.
    """

    create: bool
    location: str
    project: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of a resource.

    Attributes:
        done: what was done, a line each.
        error: why it cannot be looked at or made; empty where it can.
    """

    kind: str
    name: str
    state: str
    differences: Sequence[Difference] = ()
    notes: Sequence[str] = ()
    done: Sequence[str] = ()
    error: str = ""


def provision(flags: Flags, wishes: Wishes, *, json: bool) -> int:
    """Look at what the settings name, or make it; returns the exit code."""
    settings = load_settings(flags)
    project = wishes.project or project_of(settings, os.environ)
    resources = cloud.resources(settings, project, wishes.location)
    rows = [provided(resource, create=wishes.create) for resource in resources]
    roles = role_commands(settings, os.environ, project=project, account=wishes.account)
    if json:
        print_json({"resources": [asdict(row) for row in rows], "roles": roles})
    elif rows:
        _print(output_console(), rows, roles)
    else:
        output_console().print("The settings name nothing in the cloud: there is nothing to make.")
    bad = [row for row in rows if row.state not in WELL]
    if bad and not json:
        error_console().print(_advice(bad, create=wishes.create), soft_wrap=True)
    return SOME_FAILED if bad else DONE


def provided(resource: Resource, *, create: bool) -> Row:
    """Look at a resource, and make or mend it where that is wanted."""
    kind, name = resource.kind, resource.name
    found = Finding(there=False)
    try:
        found = resource.look()
        done = resource.make(found) if create else []
    except ServiceError as error:
        return Row(kind, name, FAILED, found.differences, found.notes, error=error.message)
    left = [difference for difference in found.differences if difference.remedy or not done]
    return Row(kind, name, _state(found, left, done), left, found.notes, done)


def _state(found: Finding, left: Sequence[Difference], done: Sequence[str]) -> str:
    if not found.applies:
        return ELSEWHERE
    if left:
        return DIFFERENT
    if done:
        return MADE
    return THERE if found.there else MISSING


def _print(console: Console, rows: Sequence[Row], roles: Sequence[str]) -> None:
    table = plain_table("What", "Name", "State", "Details")
    for row in rows:
        details = [
            *row.done,
            *(f"{what.what}: wanted {what.wanted}, found {what.found}" for what in row.differences),
            *row.notes,
        ]
        table.add_row(row.kind, row.name, row.state, "\n".join(details))
    console.print(table)
    for row in rows:
        if row.error:
            console.print(f"{row.kind} {row.name}: {row.error}", soft_wrap=True)
        for difference in filter(lambda known: known.remedy, row.differences):
            console.print(
                f"{row.kind} {row.name}, {difference.what}: {difference.remedy}", soft_wrap=True
            )
    if roles:
        console.print("\nThe roles of whoever does the work, the least there are:")
    for command in roles:
        console.print(f"  {command}", soft_wrap=True)


def _advice(bad: Sequence[Row], *, create: bool) -> str:
    count = f"{len(bad)} not as wanted"
    if create:
        return f"{count}; what is said above is left to do."
    return f"{count}; `roteiro provision --create` makes and mends what it can."
