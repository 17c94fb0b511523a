"""Parsing: encoded messages become requests, or are rejected with every reason."""

from collections.abc import Collection, Iterator
from typing import Any, Final, Literal

import apache_beam as beam
from apache_beam.pvalue import PCollection, TaggedOutput

from domain.request import RequestError, parse_request
from domain.work import Message, Rejected, Submission

REJECTED: Final = "rejected"
"""Tag of the output that holds Rejected messages."""

RejectedOutput = TaggedOutput[Literal["rejected"], Rejected]


def parse(
    message: Message, languages: Collection[str] | None
) -> Iterator[Submission | RejectedOutput]:
    """One message → its submission, or its rejection under REJECTED."""
    try:
        request = parse_request(message.data, languages)
    except RequestError as error:
        yield TaggedOutput(REJECTED, Rejected(message, error.problems))
    else:
        yield Submission(message, request)


class ParseRequests(beam.PTransform[Any, Any]):
    """Reads and checks requests.

    Input:   Message     an encoded request.
    Output:  Submission  main: the message with its request.
             Rejected    REJECTED: the message with every problem at once.

    Args:
        languages: tags that the chosen writer can write; None for any.
    """

    def __init__(self, languages: Collection[str] | None = None) -> None:
        super().__init__()
        self._languages = languages

    def expand(self, messages: PCollection[Message]) -> Any:
        return messages | beam.FlatMap(parse, self._languages).with_outputs(
            REJECTED, main="submissions"
        )
