"""What every ArtifactStore promises, on a folder and on a bucket."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from services.artifacts.bucket import BucketArtifactStore
from services.artifacts.folder import FolderArtifactStore
from services.artifacts.opening import OpensAnywhere
from services.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.ports import ArtifactStore

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
    "a#b&c=d+e",
]
"""Folders that people make, some with the signs of a pattern or of a URL."""
MANY = 50


@pytest.fixture(params=["folder", "bucket"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], ArtifactStore]:
    """A path below nothing that was there before → a store whose root it is."""
    if request.param == "folder":
        return lambda path: FolderArtifactStore(f"{tmp_path}/{path}")
    name = request.getfixturevalue("bucket")
    return lambda path: BucketArtifactStore(f"gs://{name}/{path}")


@pytest.fixture
def store(made: Callable[[str], ArtifactStore]) -> ArtifactStore:
    return made("out")


def read(store: ArtifactStore, uri: str) -> bytes:
    with store.open(uri) as file:
        return file.read()


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 1_000], ids=len)
def test_what_was_written_is_read(store: ArtifactStore, data: bytes) -> None:
    """Byte by byte, under the uri that was told."""
    uri = store.write("batches/cafe/0001-café/a.mp3", data)
    assert uri == store.uri("batches/cafe/0001-café/a.mp3")
    assert read(store, uri) == data


def test_a_roots_last_slash_does_not_matter(made: Callable[[str], ArtifactStore]) -> None:
    """One file has one name."""
    assert made("out//").uri("a.txt") == made("out").uri("a.txt")


def test_a_compressed_file_is_kept_as_it_is(store: ArtifactStore) -> None:
    """A file's ending does not change its bytes, on the way in or out."""
    assert read(store, store.write("a.gz", b"not compressed")) == b"not compressed"


def test_a_file_appears_when_it_is_whole(store: ArtifactStore) -> None:
    """Until its end there is nothing under its name, or what was there before."""
    uri = store.uri("cafe/a.txt")
    with store.create("cafe/a.txt") as file:
        file.write(b"first")
        file.flush()
        with pytest.raises(Refused):
            store.open(uri)
    with store.create("cafe/a.txt") as file:
        file.write(b"the second")
        file.flush()
        assert read(store, uri) == b"first"
    assert read(store, uri) == b"the second"
    assert store.existing("cafe") == {uri: 10}


def test_writing_again_replaces(store: ArtifactStore) -> None:
    """The last one counts, be it shorter."""
    for data in (b"long enough", b"short", b""):
        uri = store.write("a.txt", data)
        assert read(store, uri) == data


def test_a_file_that_is_there_is_not_created_again(store: ArtifactStore) -> None:
    """Whoever comes second is told so, and the first one's file stays, whoever wrote it."""
    assert store.create_only("cache/ab/a", b"first")
    assert not store.create_only("cache/ab/a", b"the second")
    assert read(store, store.uri("cache/ab/a")) == b"first"
    uri = store.write("cache/ab/a", b"replaced")
    assert not store.create_only("cache/ab/a", b"")
    assert read(store, uri) == b"replaced"
    assert store.existing("cache") == {uri: 8}


def test_of_many_creators_one_succeeds(store: ArtifactStore) -> None:
    """All at once: its file is there, whole, and nothing else."""
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(store.create_only, ["cache/a"] * 8, contents))
    assert created.count(True) == 1
    uri = store.uri("cache/a")
    assert store.existing("cache") == {uri: 100_000}
    assert read(store, uri) == contents[created.index(True)]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
@pytest.mark.parametrize("name", NAMES)
def test_a_broken_off_file_leaves_nothing(
    made: Callable[[str], ArtifactStore], name: str, error: BaseException
) -> None:
    """After an exception there is what was there before, and no leftover."""
    store = made(name)
    uri = store.write("cafe/a.txt", b"first")

    def break_off() -> None:
        with store.create("cafe/a.txt") as file:
            file.write(b"sec")
            raise error

    with pytest.raises(type(error)):
        break_off()
    assert store.existing("cafe") == {uri: 5}
    assert read(store, uri) == b"first"


def test_a_large_file_goes_both_ways(store: ArtifactStore) -> None:
    """In pieces, as files are copied."""
    piece = bytes(range(256)) * 4_096
    with store.create("lot/large.bin") as file:
        for _ in range(20):
            file.write(piece)
    uri = store.uri("lot/large.bin")
    with store.open(uri) as source:
        for _ in range(20):
            assert source.read(len(piece)) == piece
        assert source.read(1) == b""
    assert store.existing("lot") == {uri: 20 * len(piece)}


def test_writers_of_one_file_do_not_mix(store: ArtifactStore) -> None:
    """Of several at once the last one's file is there, whole."""
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        uris = set(pool.map(store.write, ["cafe/a.bin"] * 8, contents))
    assert store.existing("cafe") == dict.fromkeys(uris, 100_000)
    assert read(store, *uris) in contents


def test_many_threads_write_at_once(store: ArtifactStore) -> None:
    """Each its own file, and all of them are there."""
    contents = [f"{number}".encode() * 1_000 for number in range(MANY)]
    paths = [f"cafe/{number:04d}.txt" for number in range(MANY)]
    with ThreadPoolExecutor(MANY) as pool:
        uris = list(pool.map(store.write, paths, contents))
        assert list(pool.map(read, [store] * MANY, uris)) == contents
    assert store.existing("cafe") == dict(zip(uris, map(len, contents), strict=True))


def test_a_missing_file_is_not_found(store: ArtifactStore) -> None:
    """It is told when it is opened; trying again would not help."""
    store.write("file", b"")
    for path in ("a.txt", "none/a.txt", "file/a.txt"):
        with pytest.raises(Refused) as refused:
            store.open(store.uri(path))
        assert refused.value.code == "not_found"
        assert refused.value.message == f"{store.uri(path)} is not there"


@pytest.mark.parametrize("name", NAMES)
def test_existing_files_are_those_of_a_folder(
    made: Callable[[str], ArtifactStore], name: str
) -> None:
    """At any depth, under the uris they were written with; its neighbours' are not among them."""
    store = made(f"{name}/out")
    folder = f"batches/{name}"
    written = {store.write(f"{folder}/{path}", b"x") for path in ("a.txt", f"b/{name}.mp3")}
    for other in (f"{folder}2/a.txt", "batches/a.txt", "batches/cafe/a.txt", "batches/ab/a.txt"):
        store.write(other, b"x")
    assert store.existing(folder) == dict.fromkeys(written, 1)
    assert [read(store, uri) for uri in written] == [b"x", b"x"]


def test_a_folder_that_is_not_there_has_no_files(made: Callable[[str], ArtifactStore]) -> None:
    """It is no error to ask."""
    assert made("nowhere").existing("batches/cafe") == {}


def test_a_check_writes_no_file(store: ArtifactStore) -> None:
    """Where files can be written, it says nothing and leaves nothing; again and again."""
    store.check()
    store.check()
    assert store.existing(".") == store.existing("batches") == {}


def test_a_store_travels_to_a_worker(store: ArtifactStore) -> None:
    """Pickled, even after it was used."""
    uri = store.write("a.txt", b"x")
    other = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert other.uri("a.txt") == uri
    assert read(other, uri) == b"x"


def test_each_store_opens_what_the_other_wrote(tmp_path: Path, bucket: str) -> None:
    """Wherever new files go, uris in older documents can be read."""
    folder = FolderArtifactStore(str(tmp_path))
    remote = BucketArtifactStore(f"gs://{bucket}/out")
    others: dict[str, Callable[[], ArtifactStore]] = {"": lambda: folder, "gs": lambda: remote}
    uris = [folder.write("a.txt", b"folder"), remote.write("a.txt", b"bucket")]
    for one in (folder, remote):
        store = OpensAnywhere(one, others)
        assert [read(store, uri) for uri in uris] == [b"folder", b"bucket"]
        store.check()
        assert read(one, store.write("cafe/b.txt", b"b")) == b"b"
        assert not store.create_only("cafe/b.txt", b"c")
        with store.create("cafe/c.txt") as file:
            file.write(b"cc")
        assert store.existing("cafe") == {one.uri("cafe/b.txt"): 1, one.uri("cafe/c.txt"): 2}


def test_an_unknown_kind_of_storage_is_refused(tmp_path: Path) -> None:
    """A document may name what is not offered here."""
    store = OpensAnywhere(FolderArtifactStore(str(tmp_path)), {})
    with pytest.raises(Refused, match=r"^cannot read s4://a/b\.txt: s4:// is no storage"):
        store.open("s4://a/b.txt")
