"""Announcement: the end of a batch is published as a CloudEvent."""

import json
from typing import Any, Final

import apache_beam as beam
from apache_beam.io import PubsubMessage
from apache_beam.io.gcp.pubsub import WriteToPubSub
from apache_beam.pvalue import PCollection

from domain.work import BatchEnd

EVENT_TYPE: Final = "roteiro.batch.ended.v1"
EVENT_SOURCE: Final = "/roteiro/batches"


def ended_event(end: BatchEnd) -> PubsubMessage:
    """A batch's end as a CloudEvent in binary mode: context attributes beside JSON data.

    The id is made of batch and run, so that an event that is published twice
    is known by its id. Source of the names: CloudEvents 1.0 and its binding
    for Google Cloud Pub/Sub.
    """
    data = {
        "batch_id": end.batch_id,
        "owner": end.owner,
        "status": end.status,
        "completed_items": end.completed,
        "failed_items": end.failed,
        "cancelled_items": end.cancelled,
        "manifest_uri": end.manifest_uri,
    }
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": f"{end.batch_id}.{end.run_id}",
        "ce-source": EVENT_SOURCE,
        "ce-type": EVENT_TYPE,
        "ce-subject": end.batch_id,
        "ce-time": end.completed_at,
        "content-type": "application/json",
    }
    return PubsubMessage(json.dumps(data, ensure_ascii=False).encode(), attributes)


class AnnounceEnds(beam.PTransform[Any, Any]):
    """Publishes the ends of batches.

    Input:   BatchEnd
    Output:  BatchEnd  the same, whether it is published yet or not.

    Args:
        topic: projects/<project>/topics/<topic>.
    """

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def expand(self, ends: PCollection[BatchEnd]) -> Any:
        _ = (
            ends
            | "Encode" >> beam.Map(ended_event).with_output_types(PubsubMessage)
            | "Publish" >> WriteToPubSub(self._topic, with_attributes=True)
        )
        return ends
