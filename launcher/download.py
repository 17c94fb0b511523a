"""`roteiro download`: a batch's files in one ZIP, streamed from where they are."""

from __future__ import annotations

import io
import shutil
import sys
import unicodedata
import zipfile
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from domain.status import manifest_items
from launcher import bootstrap
from launcher.consoles import error_console
from launcher.exits import BAD_INPUT, DONE
from services.errors import Refused
from services.manifest import write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.status import BatchDoc
    from launcher.settings import Settings
    from services.ports import ArtifactStore, StatusStore

NAME_CHARACTERS: Final = 80
COPY_BYTES: Final = 256 * 1024
"""Held in memory of a file on its way into the ZIP."""
FORBIDDEN: Final = frozenset('<>:"/\\|?*')
"""In names of files, on one system or another."""


def download(batch_id: str, to: str, settings: Settings, *, replace: bool) -> int:
    """Write a batch's ZIP; returns the exit code."""
    target = Path(to or f"{batch_id}.zip")
    if not settings.database.exists():
        return _refuse(f"no batch {batch_id} in {settings.database}")
    with closing(bootstrap.statuses(settings)) as statuses:
        batch = statuses.batch(batch_id)
        if batch is None:
            return _refuse(f"no batch {batch_id} in {settings.database}")
        artifacts = bootstrap.artifacts(settings.output)
        if to == "-":
            _pack(cast("IO[bytes]", _Unseekable(sys.stdout.buffer)), batch, statuses, artifacts)
            return DONE
        if target.exists() and not replace:
            return _refuse(f"{target} is there already; --force replaces it, --to names another")
        partial = target.with_name(f".{target.name}.part")
        try:
            with partial.open("wb") as file:
                files = _pack(file, batch, statuses, artifacts)
            partial.replace(target)
        except OSError as error:
            return _refuse(f"{target} cannot be written: {error.strerror}")
        finally:
            partial.unlink(missing_ok=True)
    size = target.stat().st_size / 1e6
    missing = batch["total_items"] - files
    note = f"; {missing} of the batch's narrations are not made" if missing else ""
    error_console().print(f"{target}: {files} narrations, {size:.1f} MB{note}", soft_wrap=True)
    return DONE


def _refuse(message: str) -> int:
    error_console().print(message, soft_wrap=True)
    return BAD_INPUT


def _pack(file: IO[bytes], batch: BatchDoc, statuses: StatusStore, artifacts: ArtifactStore) -> int:
    """Write the ZIP; returns the number of narrations in it."""
    packed = 0
    # Stored, not deflated: MP3 does not get smaller.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for entry, folder, stem in _finished(batch, statuses):
            try:
                with artifacts.open(entry["uri"]) as audio:
                    _add(archive, f"{folder}/{stem}.mp3", audio)
                with artifacts.open(entry["script_uri"]) as script:
                    _add(archive, f"{folder}/{stem}.txt", script)
            except Refused as error:
                error_console().print(f"left out: {error.message}", soft_wrap=True)
            else:
                packed += 1
        with archive.open("manifest.json", "w", force_zip64=True) as manifest:
            write_manifest(manifest, batch, statuses.jobs(batch["batch_id"]))
    return packed


def _finished(batch: BatchDoc, statuses: StatusStore) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Each finished item, with its folder and file name in the ZIP."""
    width = len(str(batch["total_jobs"]))
    for job in statuses.jobs(batch["batch_id"]):
        folder = f"{job['position']:0{width}d} {readable(job['title'])}"
        for entry in manifest_items(job, batch["request"]):
            if entry["status"] == "completed":
                aspect = readable(entry["aspect"])
                yield entry, folder, f"{entry['variation']} {aspect} [{entry['language']}]"


def readable(text: str) -> str:
    """A name that people recognise and every file system takes."""
    kept = "".join(
        " " if c in FORBIDDEN or unicodedata.category(c)[0] in "CZ" else c
        for c in unicodedata.normalize("NFC", text)
    )
    return " ".join(kept.split())[:NAME_CHARACTERS].strip(" .") or "untitled"


def _add(archive: zipfile.ZipFile, name: str, source: IO[bytes]) -> None:
    with archive.open(name, "w", force_zip64=True) as entry:
        shutil.copyfileobj(source, entry, COPY_BYTES)


class _Unseekable(io.RawIOBase):
    """Standard output as a stream, so that the ZIP is written straight through."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._target.write(data)

    def flush(self) -> None:
        if not self._target.closed:
            self._target.flush()
