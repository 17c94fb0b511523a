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
