"""`roteiro submit`: a request is written down as queued, and published."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Final

from domain.request import MAX_BYTES, Problem, RequestError
from domain.status import TERMINAL
from domain.work import SUBMISSION
from launcher import bootstrap
from launcher.consoles import error_console, output_console, print_json, print_problems
from launcher.exits import BAD_INPUT, DONE, BadInput
from launcher.places import opened_statuses
from launcher.requests import file_name, load_request, named
from launcher.settings import load_settings
from launcher.validate import sizes
from services.errors import ServiceError

if TYPE_CHECKING:
    from domain.request import BatchRequest
    from launcher.settings import Flags
    from services.ports import StatusStore, Topic

MAX_ATTRIBUTE_BYTES: Final = 1024
"""Of one attribute's value; https://cloud.google.com/pubsub/quotas"""


def submit(file: str, batch_id: str | None, flags: Flags, *, json: bool) -> int:
    """Publish a request file; returns the exit code."""
    settings = load_settings(flags)
    if not settings.topic:
        raise BadInput("submit needs --topic projects/<project>/topics/<topic>")
    bootstrap.check_access(settings)
    subject = file_name(file)
    try:
        request = named(load_request(file, bootstrap.offered_languages(settings), batch_id))
        subject = f"Batch {request.batch_id}"
        data = encoded(request)
        with (
            closing(bootstrap.topic(settings.topic)) as topic,
            opened_statuses(settings, output=False) as statuses,
        ):
            before = statuses.batch(str(request.batch_id))
            if asked := _queued(request, statuses):
                publish(topic, data, request)
    except RequestError as error:
        print_problems(subject, error.problems)
        return BAD_INPUT
    if json:
        told = {
            "batch_id": request.batch_id,
            "published": asked,
            "total_items": request.total_items,
        }
        print_json(told)
    elif asked:
        output_console().print(
            f"{subject} is queued: {sizes(request)}. `roteiro status {request.batch_id}` tells how "
            "far it is.",
            soft_wrap=True,
        )
    else:
        state = before["status"] if before else "queued"
        error_console().print(f"{subject} is {state} already; nothing was published.")
    return DONE


def encoded(request: BatchRequest) -> bytes:
    """A request as it is published.

    Raises:
        RequestError: where it is too large for a message.
    """
    data = request.encoded()
    if len(data) > MAX_BYTES:
        reason = (
            f"is {len(data):,} bytes when it is encoded; at most {MAX_BYTES:,} can be published"
        )
        raise RequestError([Problem("", f"{reason}; split the titles")])
    return data


def _queued(request: BatchRequest, statuses: StatusStore) -> bool:
    """Write the batch down as queued; whether it is to be made, or made up.

    Raises:
        RequestError: where the id is another request's.
    """
    batch_id = str(request.batch_id)
    stored = statuses.batch(batch_id)
    incomplete = (
        stored is not None
        and stored["status"] in TERMINAL
        and stored["completed_items"] < stored["total_items"]
    )
    return queue(request, statuses, resume=incomplete)


def queue(request: BatchRequest, statuses: StatusStore, *, resume: bool) -> bool:
    """Write a batch down as queued; whether it is to be made.

    Args:
        request: under its id.
        statuses: where it is, or will be.
        resume: whether one that is being made, or has ended, is to wait again.

    Raises:
        RequestError: where the id is another request's.
    """
    batch_id = str(request.batch_id)
    answer = statuses.accept(batch_id, request, run_id="", resume=resume)
    if answer.verdict == "conflict":
        reason = f"{batch_id} is another request's already; choose another id, or none"
        raise RequestError([Problem("batch_id", reason)])
    return answer.verdict == "accepted"


def attributes_of(request: BatchRequest) -> dict[str, str]:
    """What tells whose a message is, without decoding it."""
    # A runner that drops repetitions knows them by `submission`: the batch's id would also drop
    # what somebody submits once more on purpose.
    named = {"batch_id": request.batch_id} if request.batch_id else {}
    return {
        **named,
        "owner": request.owner.encode()[:MAX_ATTRIBUTE_BYTES].decode(errors="ignore"),
        "version": str(request.version),
        SUBMISSION: f"{request.batch_id}.{uuid.uuid4().hex[:12]}",
    }


def publish(topic: Topic, data: bytes, request: BatchRequest) -> None:
    """Publish the request of a batch that is queued.

    Raises:
        ServiceError: saying that it stays queued.
    """
    try:
        topic.publish(data, attributes_of(request))
    except ServiceError as error:
        way_on = "it stays queued: submit it again, or let the next `roteiro start` find it"
        raise type(error)(
            f"{error.message}. {request.batch_id} was not published; {way_on}"
        ) from error
