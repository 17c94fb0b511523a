"""`roteiro download`: a batch's files in one ZIP, streamed from where they are."""

from __future__ import annotations

import io
import shutil
import sys
import unicodedata
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from domain.status import manifest_items
from launcher import bootstrap
from launcher.consoles import error_console
from launcher.exits import DONE, SOME_FAILED, BadInput
from launcher.settings import load_settings
from launcher.status import stored_batch
from services.errors import Refused
from services.manifest import write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.status import BatchDoc
    from launcher.settings import Flags
    from services.ports import ArtifactStore, StatusStore

NAME_BYTES: Final = 160
"""Of a title or an aspect in UTF-8: a name with its ending stays below 255."""
COPY_BYTES: Final = 256 * 1024
"""Held in memory of a file on its way into the ZIP."""
FORBIDDEN: Final = frozenset('<>:"/\\|?*')
"""In names of files, on one system or another."""
STANDARD_OUTPUT: Final = "-"


def download(batch_id: str, to: str, flags: Flags, *, replace: bool) -> int:
    """Write a batch's ZIP; returns the exit code."""
    settings = load_settings(flags)
    if to == STANDARD_OUTPUT and sys.stdout.isatty():
        raise BadInput("a ZIP is nothing for a terminal; redirect it, or name a file with --to")
    target = Path(to or f"{batch_id}.zip")
    with stored_batch(batch_id, settings) as (batch, statuses):
        if target.exists() and not replace:
            raise BadInput(f"{target} is there already; --force replaces it, --to names another")
        pack = _Pack(batch, statuses, bootstrap.artifacts(settings.output))
        if to == STANDARD_OUTPUT:
            pack.write(cast("IO[bytes]", _Unseekable(sys.stdout.buffer)))
        else:
            _write_file(pack, target)
    told = f"{target}, {target.stat().st_size / 1e6:.1f} MB" if to != STANDARD_OUTPUT else "ZIP"
    not_made = batch["total_items"] - batch["completed_items"]
    error_console().print(
        f"{told}: {pack.narrations:,} of {batch['total_items']:,} narrations"
        + (f"; {not_made:,} are not made" if not_made else "")
        + (f"; files that are gone: {pack.lost:,}" if pack.lost else ""),
        soft_wrap=True,
    )
    return SOME_FAILED if pack.lost else DONE


def _write_file(pack: _Pack, target: Path) -> None:
    """Write beside the target first: under its name is all of the ZIP, or nothing new."""
    if target.is_dir():
        raise BadInput(f"{target} is a folder; name the ZIP, such as --to {target / 'batch.zip'}")
    partial = target.with_name(f".{target.name}.part")
    try:
        try:
            with partial.open("wb") as file:
                pack.write(file)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror or error}") from None


class _Pack:
    """A batch's files on their way into a ZIP.

    Attributes:
        narrations: MP3s that are in it.
        lost: files of finished narrations that are gone, and left out.
    """

    def __init__(self, batch: BatchDoc, statuses: StatusStore, artifacts: ArtifactStore) -> None:
        self._batch = batch
        self._statuses = statuses
        self._artifacts = artifacts
        self.narrations = 0
        self.lost = 0

    def write(self, file: IO[bytes]) -> None:
        """Write the ZIP, a chunk at a time."""
        folder = self._batch["batch_id"]
        # Stored, not deflated: MP3 does not get smaller.
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for entry, name in self._finished():
                self.narrations += self._add(archive, f"{folder}/{name}.mp3", entry["uri"])
                self._add(archive, f"{folder}/{name}.txt", entry["script_uri"])
            with archive.open(_member(f"{folder}/manifest.json"), "w") as manifest:
                jobs = self._statuses.jobs(self._batch["batch_id"])
                write_manifest(manifest, self._batch, jobs)

    def _finished(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Each finished item and its name in the ZIP, without the ending."""
        width = len(str(self._batch["total_jobs"]))
        for job in self._statuses.jobs(self._batch["batch_id"]):
            folder = f"{job['position']:0{width}d} {readable(job['title'])}"
            for entry in manifest_items(job, self._batch["request"]):
                if entry["status"] == "completed":
                    aspect = readable(entry["aspect"])
                    yield entry, f"{folder}/{entry['variation']} {aspect} [{entry['language']}]"

    def _add(self, archive: zipfile.ZipFile, name: str, uri: str) -> bool:
        try:
            source = self._artifacts.open(uri)
        except Refused as error:
            self.lost += 1
            error_console().print(f"left out: {error.message}", soft_wrap=True)
            return False
        with source, archive.open(_member(name), "w", force_zip64=True) as member:
            shutil.copyfileobj(source, member, COPY_BYTES)
        return True


def _member(name: str) -> zipfile.ZipInfo:
    """A file of now that everyone may read."""
    member = zipfile.ZipInfo(name, datetime.now(UTC).timetuple()[:6])
    member.external_attr = 0o644 << 16
    return member


def readable(text: str) -> str:
    """A name that people recognise and every file system takes."""
    kept = "".join(
        " " if c in FORBIDDEN or unicodedata.category(c)[0] in "CZ" else c
        for c in unicodedata.normalize("NFC", text)
    )
    short = " ".join(kept.split()).encode()[:NAME_BYTES].decode(errors="ignore")
    return short.strip(" .") or "untitled"


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
