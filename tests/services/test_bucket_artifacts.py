"""Objects of a bucket: their types, their upload, and whatever fails on the way."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import google.auth
import pytest
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.auth.exceptions import TransportError as AuthTransportError
from google.cloud.storage import Blob

from services.artifacts import bucket as module
from services.artifacts.bucket import CHUNK_BYTES, SPOOL_BYTES, BucketArtifactStore
from services.errors import Overloaded, Refused, ServiceError, Unavailable
from tests.emulators.faults import Fault, Front
from tests.emulators.storage import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.emulators.storage import StorageEmulator

LARGE = b"0123456789abcdef" * (CHUNK_BYTES // 16) + b"the end"
"""More than one chunk."""


@pytest.fixture
def front(
    storage_emulator: StorageEmulator, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Front]:
    """Before the emulator: what passes it can fail."""
    assert bucket
    with Front(storage_emulator.url) as server:
        monkeypatch.setenv(VARIABLE, server.url)
        yield server


@pytest.fixture
def store(bucket: str) -> BucketArtifactStore:
    return BucketArtifactStore(f"gs://{bucket}/out")


def quick(root: str, **settings: Any) -> BucketArtifactStore:
    """A store that hardly waits before it tries again, and not for long."""
    return BucketArtifactStore(root, **({"deadline": 0.0, "backoff": 0.001} | settings))


def calls(store: BucketArtifactStore) -> list[tuple[str, Callable[[], Any]]]:
    """Each way to reach a bucket, and the words that an error begins with."""
    root = store.uri("")[:-1]
    return [
        (f"cannot write {root}/a.txt: ", lambda: store.write("a.txt", b"x")),
        (f"cannot read {root}/a.txt: ", lambda: store.open(f"{root}/a.txt")),
        (f"cannot list {root}/cafe: ", lambda: store.existing("cafe")),
        (f"cannot write {root}: ", store.check),
    ]


# ── Objects ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("root", ["gs://", "gs:///out", "bucket/out", "s3://bucket"])
def test_a_root_without_a_bucket_is_refused(root: str) -> None:
    """When the store is made, not when the first file is finished."""
    with pytest.raises(Refused, match="names no bucket; write gs://bucket/prefix"):
        BucketArtifactStore(root)


@pytest.mark.parametrize("root", ["gs://{}", "gs://{}/", "gs://{}/a/b", "gs://{}/[a]*?"])
def test_an_object_is_named_as_its_uri(
    storage_emulator: StorageEmulator, bucket: str, root: str
) -> None:
    """The bucket, the prefix, the path; other programs find it there."""
    store = BucketArtifactStore(root.format(bucket))
    uri = store.write("cafe/a.txt", b"x")
    assert set(store.existing("cafe")) == {uri}
    store.check()
    assert [f"gs://{bucket}/{name}" for name in storage_emulator.objects(bucket)] == [uri]


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
    storage_emulator: StorageEmulator,
    bucket: str,
    store: BucketArtifactStore,
    path: str,
    content_type: str,
) -> None:
    """A browser plays, or shows, what a bucket serves; however it was written."""
    store.write(path, b"x")
    with store.create(f"large/{path}") as file:
        file.write(LARGE)
    objects = storage_emulator.objects(bucket).values()
    assert [blob.content_type for blob in objects] == [content_type] * 2


def test_an_object_is_uploaded_when_it_is_whole(
    storage_emulator: StorageEmulator, bucket: str, store: BucketArtifactStore
) -> None:
    """Not before its last byte, not after an exception, and not through memory alone."""
    data = b"x" * (SPOOL_BYTES + 1)

    def break_off() -> None:
        with store.create("a.txt") as file:
            file.write(data)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        break_off()
    assert storage_emulator.objects(bucket) == {}
    with store.create("a.txt") as file:
        file.write(data)
        assert storage_emulator.objects(bucket) == {}
    with store.open(store.uri("a.txt")) as file:
        assert file.read() == data


@pytest.mark.parametrize("path", ["a" * 1025, "é" * 513, "a\nb", "a\rb"])
def test_a_name_that_no_object_can_have_is_refused(store: BucketArtifactStore, path: str) -> None:
    """Before anything is sent."""
    with pytest.raises(Refused, match="no line breaks") as caught:
        store.write(path, b"x")
    assert caught.value.code == "invalid_argument"


def test_an_empty_folder_of_the_console_is_no_file(store: BucketArtifactStore) -> None:
    """It is an object whose name ends with a slash."""
    store.write("cafe/folder/", b"")
    uri = store.write("cafe/a.txt", b"x")
    assert store.existing("cafe") == {uri: 1}


def test_a_full_disk_is_told_as_such(
    storage_emulator: StorageEmulator, bucket: str, store: BucketArtifactStore
) -> None:
    """Large files wait on it."""

    def run_full() -> None:
        with store.create("a.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable, match="No space left on device"):
        run_full()
    assert storage_emulator.objects(bucket) == {}


# ── Connections ───────────────────────────────────────────────────────────────


def test_connections_are_used_again(front: Front, bucket: str) -> None:
    """One for one thread, whatever it does."""
    store = BucketArtifactStore(f"gs://{bucket}/out")
    for number in range(10):
        store.write(f"cafe/{number}.txt", b"x")
        with store.open(store.uri(f"cafe/{number}.txt")) as file:
            assert file.read() == b"x"
    assert len(store.existing("cafe")) == 10
    assert front.connections == 1


def test_as_many_connections_stay_as_are_asked_for(front: Front, bucket: str) -> None:
    """More than the ten that are kept by default."""
    threads = 24
    store = BucketArtifactStore(f"gs://{bucket}/out", connections=threads)
    store.check()  # one connection, made before the others
    together = threading.Barrier(threads)

    def write(number: int) -> None:
        for turn in range(4):
            together.wait(60)
            store.write(f"cafe/{number}.{turn}.txt", b"x")

    workers = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(store.existing("cafe")) == threads * 4
    assert front.connections <= threads


def test_a_closed_store_connects_again(front: Front, bucket: str) -> None:
    """With its next call."""
    store = BucketArtifactStore(f"gs://{bucket}/out")
    store.close()
    store.check()
    store.close()
    store.check()
    assert front.connections == 2


def test_an_emulator_needs_no_credentials(
    store: BucketArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a project; nobody looks for either."""

    def looked(*_: Any, **__: Any) -> Any:
        raise AssertionError("credentials were looked for")

    monkeypatch.setattr(google.auth, "default", looked)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    store.write("a.txt", b"x")


# ── Failures ──────────────────────────────────────────────────────────────────


def test_a_missing_bucket_is_told(bucket: str) -> None:
    """Once and for all, with what to do; a file in it is merely not found."""
    name = f"{bucket}-not"
    store = quick(f"gs://{name}/out", deadline=60.0)
    remedy = f"bucket {name} is not there; create it or correct --output"
    for begin, call in calls(store):
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.code == "not_found"
        expected = f"{store.uri('a.txt')} is not there" if "read" in begin else begin + remedy
        assert caught.value.message == expected


@pytest.mark.parametrize(
    ("status", "kind", "code", "words"),
    [
        (400, Refused, "invalid_argument", "simulated 400"),
        (401, Refused, "unauthenticated", "`gcloud auth application-default login`"),
        (403, Refused, "permission_denied", "grant roles/storage.objectUser on bucket test-"),
        (408, Unavailable, "storage_unavailable", "simulated 408"),
        (412, Refused, "invalid_argument", "simulated 412"),
        (429, Overloaded, "rate_limited", "too many requests (simulated 429)"),
        (500, Unavailable, "storage_unavailable", "simulated 500"),
        (503, Unavailable, "storage_unavailable", "simulated 503"),
    ],
)
def test_a_refusal_is_told_with_its_remedy(
    front: Front, bucket: str, status: int, kind: type[ServiceError], code: str, words: str
) -> None:
    """By a stable code, whatever was asked for."""
    front.faults = [Fault(status=status)]
    for begin, call in calls(quick(f"gs://{bucket}/out")):
        with pytest.raises(kind) as caught:
            call()
        assert caught.value.code == code
        assert caught.value.message.startswith(begin)
        assert words in caught.value.message


@pytest.mark.parametrize("fault", [Fault(status=503, times=2), Fault(drop=True, times=2)])
@pytest.mark.parametrize("data", [b"x", LARGE], ids=["small", "large"])
def test_what_fails_for_a_while_is_asked_again(
    front: Front, bucket: str, fault: Fault, data: bytes
) -> None:
    """Writing, reading and listing end well; a file is there once."""
    store = quick(f"gs://{bucket}/out", deadline=60.0)

    def fail() -> None:
        front.faults = [Fault(**{**vars(fault), "times": 2})]

    fail()
    uri = store.write("cafe/a.txt", data)
    fail()
    assert store.existing("cafe") == {uri: len(data)}
    fail()
    with store.open(uri) as file:
        fail()
        assert file.read() == data


def test_a_server_that_does_not_answer_is_given_up(front: Front, bucket: str) -> None:
    """After the timeout, each call."""
    front.faults = [Fault(hang=True)]
    for begin, call in calls(quick(f"gs://{bucket}/out", timeout=0.05)):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.code == "storage_unavailable"
        assert caught.value.message.startswith(begin)


def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens on its port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{taken.getsockname()[1]}")
        for begin, call in calls(quick("gs://test/out")):
            with pytest.raises(Unavailable) as caught:
                call()
            assert caught.value.code == "storage_unavailable"
            assert caught.value.message.startswith(begin)


@pytest.mark.parametrize("size", [len(LARGE), 1_000], ids=["large", "small"])
def test_bytes_that_changed_on_their_way_are_no_success(
    front: Front, bucket: str, size: int
) -> None:
    """The checksum of what is stored is not that of what was sent."""
    front.faults = [Fault(replace=(b"0123456789", b"012345x789"))]
    store = quick(f"gs://{bucket}/out")
    with pytest.raises(Unavailable) as caught:
        store.write("a.txt", LARGE[:size])
    assert caught.value.code == "storage_unavailable"
    assert caught.value.message.startswith(f"cannot write {store.uri('a.txt')}: ")


def test_bytes_that_changed_on_their_way_are_not_read_as_right(front: Front, bucket: str) -> None:
    """It is told at the end of the file at the latest."""
    store = quick(f"gs://{bucket}/out")
    uri = store.write("a.txt", LARGE)
    with store.open(uri) as file:
        front.faults = [Fault(replace=(b"the end", b"the eel"))]
        assert file.read(7) == LARGE[:7]
        with pytest.raises(Unavailable, match=f"^cannot read {uri}: it was replaced or cut off"):
            file.read()


def test_an_object_that_vanishes_while_it_is_read_is_told(front: Front, bucket: str) -> None:
    """What was opened is read to its end, or there is an error."""
    store = quick(f"gs://{bucket}/out")
    with store.open(store.write("a.txt", LARGE)) as file:
        assert file.read(7) == LARGE[:7]
        front.faults = [Fault(status=404)]
        with pytest.raises(Unavailable, match="it was replaced or cut off meanwhile"):
            file.read()


def test_a_failure_while_reading_is_told(front: Front, bucket: str) -> None:
    """As one while opening is."""
    store = quick(f"gs://{bucket}/out")
    uri = store.write("a.txt", LARGE)
    with store.open(uri) as file:
        assert file.read(7) == LARGE[:7]
        front.faults = [Fault(status=403)]
        with pytest.raises(Refused) as caught:
            file.read()
    assert caught.value.code == "permission_denied"


def test_a_large_file_is_held_a_chunk_at_a_time(
    store: BucketArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request asks for more."""
    asked = []
    download = Blob.download_as_bytes

    def counted(blob: Blob, *, start: int, end: int, **arguments: Any) -> Any:
        asked.append(end - start + 1)
        return download(blob, start=start, end=end, **arguments)

    monkeypatch.setattr(Blob, "download_as_bytes", counted)
    with store.open(store.write("a.bin", LARGE)) as file:
        assert file.read() == LARGE
    assert asked == [CHUNK_BYTES, len(LARGE) - CHUNK_BYTES]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (DefaultCredentialsError("None found. See X"), Refused, "Google credentials (None found)"),
        (RefreshError("Reauthentication is needed."), Refused, "(Reauthentication is needed); run"),
        (AuthTransportError("metadata server is away"), Unavailable, "metadata server is away"),
    ],
)
def test_credentials_that_fail_are_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[ServiceError], words: str
) -> None:
    """With how to get others, or that it was only for now."""

    def default(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(google.auth, "default", default)
    for begin, call in calls(quick("gs://test/out")):
        with pytest.raises(kind) as caught:
            call()
        assert caught.value.code == (
            "unauthenticated" if kind is Refused else "storage_unavailable"
        )
        assert caught.value.message.startswith(begin)
        assert words in caught.value.message


def test_without_the_fast_crc32c_md5_is_compared(
    front: Front, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways, and as strictly."""
    monkeypatch.setattr(module, "_CHECKSUM", "md5")
    store = quick(f"gs://{bucket}/out")
    uri = store.write("a.txt", LARGE)
    with store.open(uri) as file:
        assert file.read() == LARGE
    front.faults = [Fault(replace=(b"the end", b"the eel"))]
    with pytest.raises(Unavailable, match=r"^cannot write gs://"):
        store.write("a.txt", b"the end")


def test_no_message_holds_the_address_of_an_upload(front: Front, bucket: str) -> None:
    """Whoever has it could go on with the upload."""
    front.faults = [Fault(method="PUT", drop=True)]
    store = quick(f"gs://{bucket}/out")
    with pytest.raises(Unavailable) as caught:
        store.write("a.bin", LARGE)
    message = caught.value.message
    assert "upload_id=" not in message.replace("upload_id=…", "")
