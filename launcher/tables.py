"""Tables: what a batch has made and what it has not, for people."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from domain.status import manifest_items
from launcher.consoles import clock, plain_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from domain.status import BatchDoc, JobDoc

MOST_FILES: Final = 100
"""Rows of a table of files; the manifest has them all."""
MOST_FAILURES: Final = 10

REMEDIES: Final = {
    "refused_safety": "the model will not write this; reword the title or the instructions",
    "refused_max_tokens": "raise agent.max_output_tokens or lower agent.target_minutes",
    "refused_recitation": "the model would repeat a text it knows; reword the title",
    "refused_language": "the model does not write this language; choose another",
    "refused_blocklist": "a forbidden term is in the way; reword the title or the instructions",
    "refused_prohibited_content": "the model may not write this; choose another title",
    "refused_spii": "personal data is in the way; reword the title or the instructions",
    "refused_other": "the model gives no usable reason; run again, or reword the title",
    "empty_answer": "run again, or reword the title",
    "invalid_argument": "the reason says what the service does not accept",
    "unauthenticated": "check the key, or renew: gcloud auth application-default login",
    "permission_denied": "enable the service's API, or let this key or account use it",
    "not_found": "check agent.model and agent.voices; with Vertex AI, the project and location too",
    "unsupported_language": "choose a language that this writer or voice has",
    "empty_text": "the script held nothing to say; try again, or reword the title",
    "rate_limited": "run again later, or lower --max_in_flight",
    "quota_exhausted": "raise the quota, or run again when it is renewed",
    "unavailable": "run again; the service was away",
    "storage_unavailable": "check that the output folder can be written and has room, run again",
    "timeout": "run again; the service did not answer in time",
    "internal": "this is a fault of Roteiro; the log has its traceback",
}


def print_files(console: Console, batch: BatchDoc, jobs: Iterable[JobDoc]) -> None:
    """The finished narrations: file, length, language and aspect."""
    entries = (
        entry
        for job in jobs
        for entry in manifest_items(job, batch["request"])
        if entry["status"] == "completed"
    )
    table = plain_table("File", "Length>", "Language", "Aspect")
    for entry in islice(entries, MOST_FILES):
        name = PurePosixPath(entry["uri"]).name
        table.add_row(name, clock(entry["seconds"]), entry["language"], entry["aspect"])
    if table.row_count:
        console.print(table)
    if batch["completed_items"] > MOST_FILES:
        console.print(f"… the first {MOST_FILES} of {batch['completed_items']:,}.")
    console.print(
        f"Batch {batch['batch_id']} {batch['status']}: {batch['completed_items']:,} of "
        f"{batch['total_items']:,} narrations, {clock(batch['stats']['audio_seconds'])} of speech.",
        soft_wrap=True,
    )
    if manifest := batch.get("manifest_uri"):
        folder, _, name = manifest.rpartition("/")
        console.print(f"Files and {name} are in {folder}", soft_wrap=True)


def print_failures(console: Console, jobs: Iterable[JobDoc]) -> None:
    """The failed narrations, the first few by name, all by code with a remedy."""
    codes: Counter[str] = Counter()
    table = plain_table("Failed", "Stage", "Code", "Reason")
    for job in jobs:
        for name, item in job["items"].items():
            error = item.get("error")
            if item.get("status") != "failed" or not error:
                continue
            codes[error["code"]] += 1
            if codes.total() <= MOST_FAILURES:
                table.add_row(
                    f"{job['job_id']} {name}", error["stage"], error["code"], error["message"]
                )
    console.print(table)
    if codes.total() > MOST_FAILURES:
        console.print(f"… the first {MOST_FAILURES} of {codes.total():,}.")
    for code, number in codes.most_common():
        remedy = REMEDIES.get(code)
        console.print(f"{number:,} × {code}{f': {remedy}' if remedy else ''}", soft_wrap=True)
