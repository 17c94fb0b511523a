"""Sources: where encoded requests come from."""

from typing import Any

import apache_beam as beam
from apache_beam.io import PubsubMessage
from apache_beam.io.gcp.pubsub import ReadFromPubSub
from apache_beam.pvalue import PBegin

from domain.work import Message


def message_of(published: PubsubMessage) -> Message:
    """A message from a subscription, as the graph takes it."""
    return Message.published(published.data, published.message_id, published.publish_time)


class ReadRequests(beam.PTransform[Any, Any]):
    """Reads requests for as long as the pipeline runs.

    Output:  Message  one a published message; again where it is delivered again.

    Args:
        subscription: projects/<project>/subscriptions/<subscription>.
    """

    def __init__(self, subscription: str) -> None:
        super().__init__()
        self._subscription = subscription

    def expand(self, begin: PBegin) -> Any:
        """Receive and name."""
        return (
            begin
            | "Receive" >> ReadFromPubSub(subscription=self._subscription, with_attributes=True)
            | "Name" >> beam.Map(message_of).with_output_types(Message)
        )
