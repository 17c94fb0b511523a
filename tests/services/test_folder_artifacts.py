"""Files of a folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.artifacts.folder import FolderArtifactStore
from services.errors import Unavailable


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifactStore:
    return FolderArtifactStore(str(tmp_path), sleep=lambda _: None)


def files(folder: Path) -> set[str]:
    """All files below a folder, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_uri_is_a_path(store: FolderArtifactStore, tmp_path: Path) -> None:
    """Other programs find the file there."""
    uri = store.write("batches/cafe/0001-café/a.mp3", b"x")
    assert Path(uri) == tmp_path / "batches" / "cafe" / "0001-café" / "a.mp3"
    assert Path(uri).read_bytes() == b"x"


@pytest.mark.parametrize(
    ("root", "uri"), [("out", "out/a.txt"), ("./out//", "./out/a.txt"), ("/", "//a.txt")]
)
def test_a_root_is_kept_as_it_was_said(root: str, uri: str) -> None:
    """A relative one stays relative."""
    assert FolderArtifactStore(root).uri("a.txt") == uri


def test_a_relative_root_is_kept_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uris say what the user said, in a list of files too."""
    monkeypatch.chdir(tmp_path)
    store = FolderArtifactStore("./out")
    uri = store.write("cafe/a.txt", b"x")
    assert set(store.existing("cafe")) == {uri} == {"./out/cafe/a.txt"}


def test_no_partial_file_stays(store: FolderArtifactStore, tmp_path: Path) -> None:
    """Neither of what was broken off, nor of what was finished."""

    def break_off() -> None:
        with store.create("b.txt") as file:
            file.write(b"x")
            raise ValueError("x")

    with store.create("a.txt") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="x"):
        break_off()
    assert files(tmp_path) == {"a.txt"}


def test_a_full_disk_is_told_as_such(store: FolderArtifactStore, tmp_path: Path) -> None:
    """An error of the system while a file is written is one of the service."""

    def run_full() -> None:
        with store.create("a.txt") as file:
            file.write(b"x")
            raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable, match="No space left on device") as caught:
        run_full()
    assert caught.value.code == "storage_unavailable"
    assert files(tmp_path) == set()


def test_where_nothing_can_be_written_is_told(store: FolderArtifactStore, tmp_path: Path) -> None:
    """Below a file, or where a folder is, no file can be."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in ("file/a.txt", "folder"):
        with pytest.raises(Unavailable) as caught:
            store.write(path, b"x")
        assert caught.value.code == "storage_unavailable"
        assert caught.value.message.startswith(f"cannot write {store.uri(path)}: ")
    assert files(tmp_path) == {"file"}


def test_without_hard_links_a_file_is_created_once_too(
    store: FolderArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems of sticks and shares have none."""

    def refuse(*_: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert store.create_only("a", b"first")
    assert not store.create_only("a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert files(tmp_path) == {"a"}


def test_a_file_that_cannot_be_created_is_told(store: FolderArtifactStore, tmp_path: Path) -> None:
    """Below a file none can be; it is no answer that it is there already."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match=r"^cannot write .*/file/a: "):
        store.create_only("file/a", b"x")


def test_a_disk_that_is_full_for_a_while_is_waited_for(tmp_path: Path) -> None:
    """The bytes are written again, after ever longer waits; nothing is told before they are there."""
    (tmp_path / "cafe").write_bytes(b"")
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            (tmp_path / "cafe").unlink()

    uri = FolderArtifactStore(str(tmp_path), sleep).write("cafe/a.txt", b"x")
    assert Path(uri).read_bytes() == b"x"
    assert len(waits) == 3


def test_bytes_that_were_lost_are_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is smaller than what was written never gets its name."""
    real = os.stat

    def smaller(path: str) -> Any:
        found = real(path)
        return SimpleNamespace(st_size=found.st_size - 1) if path.endswith(".part") else found

    store = FolderArtifactStore(str(tmp_path), sleep=lambda _: None)
    monkeypatch.setattr(os, "stat", smaller)
    with pytest.raises(Unavailable, match="not all are there") as caught:
        store.write("a.txt", b"x")
    monkeypatch.undo()
    assert caught.value.code == "storage_unavailable"
    assert caught.value.attempts == 5
    assert files(tmp_path) == set()


@pytest.mark.parametrize("path", ["folder", "a\0b"])
def test_what_cannot_be_read_is_told(store: FolderArtifactStore, tmp_path: Path, path: str) -> None:
    """It is there, or no file could have that name."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(Unavailable) as caught:
        store.open(store.uri(path))
    assert caught.value.code == "storage_unavailable"


def test_a_check_makes_the_folder_or_says_why_not(tmp_path: Path) -> None:
    """With those above it; below a file there can be none."""
    FolderArtifactStore(f"{tmp_path}/a/b").check()
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match=f"^cannot write {tmp_path}/file/c: ") as caught:
        FolderArtifactStore(f"{tmp_path}/file/c").check()
    assert caught.value.code == "storage_unavailable"
