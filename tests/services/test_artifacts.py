"""Files of a folder or a bucket."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem

from services.artifacts import SPOOL_BYTES, BeamArtifactStore
from services.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = [
    "plain",
    "ação ☕",
    "日本",
    "a [1]",
    "[ab]",
    "a*b",
    "**",
    "c?d",
    "{x} 100%",
    "a'\"b",
    "!^-]",
]
"""Folders that people make, some with the signs of a pattern."""


class Bucket(FileSystem):
    """A bucket in memory, for `bucket://`: an object is there once its upload is closed.

    Attributes:
        objects: content and type by url.
        away: nothing can be reached.
    """

    objects: ClassVar[dict[str, tuple[bytes, str]]] = {}
    away: ClassVar[bool] = False

    @classmethod
    def scheme(cls) -> str:
        return "bucket"

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        self._reach()
        for url, (data, _) in self.objects.items():
            if url.startswith(dir_or_prefix):
                yield FileMetadata(url, len(data))

    def create(self, path: str, mime_type: str = "", compression_type: str = "") -> io.BytesIO:  # noqa: ARG002 - Beam's
        self._reach()
        objects = self.objects

        class Upload(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    objects[path] = (self.getvalue(), mime_type)
                super().close()

        return Upload()

    def open(self, path: str, mime_type: str = "", compression_type: str = "") -> io.BytesIO:  # noqa: ARG002 - Beam's
        self._reach()
        if path not in self.objects:
            raise BeamIOError("no such object")
        return io.BytesIO(self.objects[path][0])

    def exists(self, path: str) -> bool:
        self._reach()
        return path in self.objects

    def _reach(self) -> None:
        if self.away:
            raise BeamIOError("503")

    def _unused(self, *_: Any) -> Any:
        raise NotImplementedError

    join = split = size = _unused  # type: ignore[assignment]
    mkdirs = copy = rename = last_updated = checksum = metadata = delete = _unused


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> type[Bucket]:
    monkeypatch.setattr(Bucket, "objects", {})
    monkeypatch.setattr(Bucket, "away", False)
    return Bucket


@pytest.fixture
def store(tmp_path: Path) -> BeamArtifactStore:
    return BeamArtifactStore(str(tmp_path))


def files(folder: Path) -> set[str]:
    """All files below a folder, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_where_its_uri_says(store: BeamArtifactStore, tmp_path: Path) -> None:
    """Other programs find it there, and the store reads it back byte by byte."""
    data = bytes(range(256)) * 1_000
    uri = store.write("batches/cafe/0001-café/a.mp3", data)
    assert uri == store.uri("batches/cafe/0001-café/a.mp3")
    assert Path(uri) == tmp_path / "batches" / "cafe" / "0001-café" / "a.mp3"
    assert Path(uri).read_bytes() == data
    with store.open(uri) as file:
        assert file.read() == data


@pytest.mark.parametrize(
    ("root", "uri"),
    [
        ("out", "out/a.txt"),
        ("out/", "out/a.txt"),
        ("./out//", "./out/a.txt"),
        ("gs://bucket/prefix/", "gs://bucket/prefix/a.txt"),
    ],
)
def test_a_roots_last_slash_does_not_matter(root: str, uri: str) -> None:
    """One file has one name."""
    assert BeamArtifactStore(root).uri("a.txt") == uri


def test_compressed_names_are_kept_as_they_are(store: BeamArtifactStore) -> None:
    """A file's ending does not change its bytes, on the way in or out."""
    uri = store.write("a.gz", b"not compressed")
    assert Path(uri).read_bytes() == b"not compressed"
    with store.open(uri) as file:
        assert file.read() == b"not compressed"


def test_a_file_appears_when_it_is_whole(store: BeamArtifactStore, tmp_path: Path) -> None:
    """Until its end there is nothing under its name, or what was there before."""
    for before, after in ((None, b"first"), (b"first", b"second")):
        with store.create("cafe/a.txt") as file:
            file.write(after)
            file.flush()
            there = tmp_path / "cafe" / "a.txt"
            assert (there.read_bytes() if there.exists() else None) == before
        assert files(tmp_path) == {"cafe/a.txt"}
        assert there.read_bytes() == after


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
@pytest.mark.parametrize("name", NAMES)
def test_a_broken_off_file_leaves_nothing(tmp_path: Path, name: str, error: BaseException) -> None:
    """After an exception there is what was there before, and no leftover."""
    store = BeamArtifactStore(str(tmp_path / name))
    store.write("a.txt", b"first")

    def break_off() -> None:
        with store.create("a.txt") as file:
            file.write(b"sec")
            raise error

    with pytest.raises(type(error)):
        break_off()
    assert files(tmp_path / name) == {"a.txt"}
    assert Path(store.uri("a.txt")).read_bytes() == b"first"


def test_a_full_disk_is_told_as_such(store: BeamArtifactStore, tmp_path: Path) -> None:
    """An error of the system while a file is written is one of the service."""

    def run_full() -> None:
        with store.create("a.txt") as file:
            file.write(b"x")
            raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable, match="No space left on device") as caught:
        run_full()
    assert caught.value.code == "storage_unavailable"
    assert files(tmp_path) == set()


def test_writers_of_one_file_do_not_mix(store: BeamArtifactStore, tmp_path: Path) -> None:
    """Of several at once the last one's file is there, whole."""
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.write, ["a.bin"] * 8, contents))
    assert files(tmp_path) == {"a.bin"}
    assert (tmp_path / "a.bin").read_bytes() in contents


def test_where_nothing_can_be_written_is_told(store: BeamArtifactStore, tmp_path: Path) -> None:
    """Below a file, or where a folder is, no file can be."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in ("file/a.txt", "folder"):
        with pytest.raises(Unavailable) as caught:
            store.write(path, b"x")
        assert caught.value.code == "storage_unavailable"
        assert caught.value.message.startswith(f"cannot write {store.uri(path)}: ")
    assert files(tmp_path) == {"file"}


def test_a_missing_file_is_not_found(store: BeamArtifactStore, tmp_path: Path) -> None:
    """Trying again would not help; what cannot be read is another matter."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in ("a.txt", "none/a.txt", "file/a.txt"):
        with pytest.raises(Refused) as refused:
            store.open(store.uri(path))
        assert refused.value.code == "not_found"
    with pytest.raises(Unavailable) as caught:
        store.open(store.uri("folder"))
    assert caught.value.code == "storage_unavailable"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_existing_files_are_those_of_a_folder(
    tmp_path: Path, bucket: type[Bucket], kind: str, name: str
) -> None:
    """At any depth, under the uris they were written with; its neighbours' are not among them."""
    root = {"folder": str(tmp_path), "bucket": "bucket://here"}[kind]
    assert bucket.objects == {}
    store = BeamArtifactStore(f"{root}/{name}/out")
    folder = f"batches/{name}"
    written = {store.write(f"{folder}/{path}", b"x") for path in ("a.txt", f"b/{name}.mp3")}
    for other in (f"{folder}2/a.txt", "batches/a.txt", "batches/cafe/a.txt", "batches/ab/a.txt"):
        store.write(other, b"x")
    assert store.existing(folder) == dict.fromkeys(written, 1)


@pytest.mark.parametrize("root", ["nowhere", "bucket://nowhere"])
def test_a_folder_that_is_not_there_has_no_files(
    tmp_path: Path, bucket: type[Bucket], root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no error to ask."""
    monkeypatch.chdir(tmp_path)
    assert bucket.objects == {}
    assert BeamArtifactStore(root).existing("batches/cafe") == {}


def test_a_relative_root_is_kept_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uris say what the user said."""
    monkeypatch.chdir(tmp_path)
    store = BeamArtifactStore("./out")
    uri = store.write("cafe/a.txt", b"x")
    assert set(store.existing("cafe")) == {uri} == {"./out/cafe/a.txt"}


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("a.mp3", "audio/mpeg"),
        ("a.v1.pt-BR.txt", "text/plain; charset=utf-8"),
        ("manifest.json", "application/json"),
        ("cache/ab/abcd", "application/octet-stream"),
    ],
)
def test_an_object_has_the_type_of_its_ending(
    bucket: type[Bucket], path: str, content_type: str
) -> None:
    """A browser plays, or shows, what a bucket serves."""
    store = BeamArtifactStore("bucket://here")
    uri = store.write(path, b"x")
    assert bucket.objects == {uri: (b"x", content_type)}


def test_an_object_is_uploaded_when_it_is_whole(bucket: type[Bucket]) -> None:
    """Not before its last byte, not after an exception, and not through memory alone."""
    store, data = BeamArtifactStore("bucket://here"), b"x" * (SPOOL_BYTES + 1)

    def break_off() -> None:
        with store.create("a.txt") as file:
            file.write(data)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        break_off()
    assert bucket.objects == {}
    with store.create("a.txt") as file:
        file.write(data)
        assert bucket.objects == {}
    with store.open(store.uri("a.txt")) as file:
        assert file.read() == data


def test_a_bucket_that_is_away_is_told(
    bucket: type[Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing, reading and listing may be tried again; a missing object not."""
    store = BeamArtifactStore("bucket://here")
    with pytest.raises(Refused) as refused:
        store.open(store.uri("a.txt"))
    assert refused.value.code == "not_found"
    monkeypatch.setattr(bucket, "away", True)
    for verb, call in (
        ("write", lambda: store.write("a.txt", b"x")),
        ("read", lambda: store.open(store.uri("a.txt"))),
        ("list", lambda: store.existing("cafe")),
    ):
        with pytest.raises(Unavailable, match=f"^cannot {verb} bucket://here/.*503") as caught:
            call()
        assert caught.value.code == "storage_unavailable"


def test_an_unknown_kind_of_storage_is_told() -> None:
    """A scheme that nothing is installed for is an error of the service."""
    with pytest.raises(Unavailable, match=r"^cannot write nowhere://a/b\.txt: "):
        BeamArtifactStore("nowhere://a").write("b.txt", b"x")
