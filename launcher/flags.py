"""Flags: the settings as options of the command line; the defaults are those of launcher.settings."""

from __future__ import annotations

from typing import Annotated

import typer

Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="PLACE", help="Folder, or gs://bucket/prefix. [output]"),
]
StatusStore = Annotated[
    str | None,
    typer.Option(
        "--status",
        metavar="STORE",
        help="SQLite file, or firestore://project/database. [status.db in the output]",
    ),
]
Writer = Annotated[
    str | None,
    typer.Option(
        "--writer", metavar="NAME", help="Who writes: offline, gemini or generativeai. [offline]"
    ),
]
Speaker = Annotated[
    str | None,
    typer.Option("--voice", metavar="NAME", help="Who speaks: offline or google. [offline]"),
]
SpeechEndpoint = Annotated[
    str | None,
    typer.Option(
        "--speech_endpoint", metavar="HOST:PORT", help="Text-to-Speech server, not Google's."
    ),
]
SpeechTimeout = Annotated[
    float | None,
    typer.Option("--speech_timeout", metavar="SECONDS", help="Of a Google voice's call. [60]"),
]
SampleRate = Annotated[
    int | None,
    typer.Option("--sample_rate", metavar="HZ", help="Google voice; 0 is its own. [0]"),
]
MaxInFlight = Annotated[
    int | None,
    typer.Option("--max_in_flight", metavar="N", help="Calls at once, each slow step. [100]"),
]
GenerationTimeout = Annotated[
    float | None,
    typer.Option("--generation_timeout", metavar="S", help="Seconds for a script. [120]"),
]
AdaptationTimeout = Annotated[
    float | None,
    typer.Option("--adaptation_timeout", metavar="S", help="Seconds to adapt it. [120]"),
]
Attempts = Annotated[
    int | None,
    typer.Option("--attempts", metavar="N", help="Calls, at most, for one answer. [5]"),
]
RetryDeadline = Annotated[
    float | None,
    typer.Option("--retry_deadline", metavar="S", help="Seconds, retries included. [600]"),
]
StorePatience = Annotated[
    float | None,
    typer.Option("--store_patience", metavar="S", help="For a status store that is away. [600]"),
]
GeminiEndpoint = Annotated[
    str | None,
    typer.Option("--gemini_endpoint", metavar="URL", help="Gemini's base URL. [Google's]"),
]
NoCache = Annotated[
    bool | None,
    typer.Option("--no_cache", help="Neither use nor keep answers that were paid for."),
]
Refresh = Annotated[
    bool | None,
    typer.Option("--refresh", help="Ask for everything anew, and keep the new answers."),
]
ApiKeySecret = Annotated[
    str | None,
    typer.Option(
        "--api_key_secret",
        metavar="NAME",
        help="projects/<project>/secrets/<name>/versions/<version>: Gemini's key. [none]",
    ),
]
Topic = Annotated[
    str | None,
    typer.Option("--topic", metavar="TOPIC", help="projects/<project>/topics/<topic>."),
]
Subscription = Annotated[
    str | None,
    typer.Option(
        "--subscription", metavar="NAME", help="projects/<project>/subscriptions/<subscription>."
    ),
]
DeadLetterTopic = Annotated[
    str | None,
    typer.Option(
        "--dead_letter_topic", metavar="TOPIC", help="Rejected messages go there too. [none]"
    ),
]
EventsTopic = Annotated[
    str | None,
    typer.Option("--events_topic", metavar="TOPIC", help="Ends of batches go there. [none]"),
]
Runner = Annotated[
    str | None,
    typer.Option(
        "--runner",
        metavar="NAME",
        help="direct, or a runner of Beam's; its own flags go behind --. [direct]",
    ),
]
MaxBatches = Annotated[
    int | None,
    typer.Option("--max_batches", metavar="N", help="Made at once, direct runner. [10]"),
]
Grace = Annotated[
    float | None,
    typer.Option("--grace", metavar="SECONDS", help="For calls under way at a stop. [30]"),
]
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="PROJECT",
        help="Of Google Cloud; Dataflow only, as those below. [none]",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="REGION", help="Of the workers, such as southamerica-east1. [none]"
    ),
]
TempLocation = Annotated[
    str | None,
    typer.Option(
        "--temp_location", metavar="PLACE", help="gs://bucket/prefix for temporary files. [none]"
    ),
]
StagingLocation = Annotated[
    str | None,
    typer.Option(
        "--staging_location",
        metavar="PLACE",
        help="gs://bucket/prefix for the job. [temp_location]",
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        "--image", metavar="IMAGE", help="Of the workers, as built by the Dockerfile. [none]"
    ),
]
JobName = Annotated[
    str | None,
    typer.Option(
        "--job_name", metavar="NAME", help="Of the job; one of a name runs at a time. [roteiro]"
    ),
]
MachineType = Annotated[
    str | None,
    typer.Option("--machine_type", metavar="TYPE", help="Of a worker. [e2-standard-2]"),
]
MaxWorkers = Annotated[
    int | None,
    typer.Option("--max_workers", metavar="N", help="Workers, at most. [10]"),
]
ServiceAccount = Annotated[
    str | None,
    typer.Option(
        "--service_account", metavar="EMAIL", help="The workers' account. [Compute Engine's]"
    ),
]
Network = Annotated[
    str | None,
    typer.Option("--network", metavar="NAME", help="The workers' network. [default]"),
]
Subnetwork = Annotated[
    str | None,
    typer.Option("--subnetwork", metavar="PATH", help="The workers' subnetwork. [the network's]"),
]
Labels = Annotated[
    str | None,
    typer.Option("--labels", metavar="KEY=VALUE,…", help="Of the job, for the bill. [none]"),
]
StreamingMode = Annotated[
    str | None,
    typer.Option(
        "--streaming_mode", metavar="MODE", help="exactly_once or at_least_once. [exactly_once]"
    ),
]
VertexLocation = Annotated[
    str | None,
    typer.Option(
        "--vertex_location", metavar="LOCATION", help="Gemini on Vertex AI, such as global. [none]"
    ),
]
DataflowEndpoint = Annotated[
    str | None,
    typer.Option(
        "--dataflow_endpoint", metavar="URL", help="A server in Dataflow's place. [Dataflow's]"
    ),
]
