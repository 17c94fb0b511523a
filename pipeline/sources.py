"""Sources: where encoded requests come from."""

from typing import Any

import apache_beam as beam
from apache_beam.io import PubsubMessage
from apache_beam.io.gcp.pubsub import ReadFromPubSub
from apache_beam.pvalue import PBegin

from domain.work import Message
from pipeline.graph import NarrateBatches


def message_of(published: PubsubMessage) -> Message:
    """A message from a subscription, as the graph takes it."""
    return Message.published(published.data, published.message_id, published.publish_time)


class ReadRequests(beam.PTransform[Any, Any]):
    """Reads requests for as long as the pipeline runs.

    Output:  Message  one a published message; again where it is delivered again.

    Args:
        subscription: projects/<project>/subscriptions/<subscription>.
        id_label: attribute by which the runner drops repetitions; empty for the
            message id. Dataflow can, the local runners cannot.
    """

    def __init__(self, subscription: str, id_label: str = "") -> None:
        super().__init__()
        self._subscription = subscription
        self._id_label = id_label or None

    def expand(self, begin: PBegin) -> Any:
        """Receive and name."""
        return (
            begin
            | "Receive"
            >> ReadFromPubSub(
                subscription=self._subscription, id_label=self._id_label, with_attributes=True
            )
            | "Name" >> beam.Map(message_of).with_output_types(Message)
        )


def narrate_subscription(
    pipeline: beam.Pipeline, subscription: str, flow: NarrateBatches, id_label: str = ""
) -> None:
    """Apply the streaming graph: requests of a subscription, narrated.

    Args:
        pipeline: an empty one.
        subscription: as of ReadRequests.
        flow: the graph.
        id_label: as of ReadRequests.
    """
    _ = (
        pipeline
        | "Read requests" >> ReadRequests(subscription, id_label)
        | "Narrate batches" >> flow
    )
