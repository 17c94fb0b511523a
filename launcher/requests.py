"""Request files: JSON or YAML, from a path or from standard input."""

from __future__ import annotations

import math
import re
import sys
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import yaml
from yaml.constructor import ConstructorError

from domain import keys
from domain.request import (
    MAX_BYTES,
    BatchRequest,
    Problem,
    RequestError,
    build_request,
    decode_json,
    not_utf8,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from domain.status import BatchDoc, JobDoc

STANDARD_INPUT: Final = "-"


def load_request(
    file: str, languages: Collection[str] | None = None, batch_id: str | None = None
) -> BatchRequest:
    """Read a request file.

    Args:
        file: path of JSON or YAML, told apart by the content; `-` reads standard input.
        languages: tags that the chosen writer can write; None for any.
        batch_id: instead of the file's own.

    Raises:
        RequestError: with every problem at once.
    """
    data = _read(file)
    if len(data) > MAX_BYTES:
        raise RequestError([Problem("", f"holds more than {MAX_BYTES:,} bytes")])
    if not data.strip():
        raise RequestError([Problem("", "is empty; examples/ holds requests to begin with")])
    looks_like_json = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}
    value = decode_json(data) if looks_like_json else decode_yaml(data)
    if batch_id is not None and isinstance(value, dict):
        value["batch_id"] = batch_id
    return build_request(value, languages)


def file_name(file: str) -> str:
    """What messages call it."""
    return "standard input" if file == STANDARD_INPUT else file


def named(request: BatchRequest) -> BatchRequest:
    """The request under its own id, or a new one."""
    if request.batch_id:
        return request
    new = keys.new_batch_id(datetime.now(UTC), uuid.uuid4().hex)
    return request.model_copy(update={"batch_id": new})


def stored_request(
    batch: BatchDoc, jobs: Iterable[JobDoc], languages: Collection[str] | None = None
) -> BatchRequest:
    """The request that a batch was made of, from its documents.

    Args:
        batch: its document.
        jobs: those of its jobs, in order.
        languages: tags that the chosen writer can write; None for any.

    Raises:
        RequestError: where the writer cannot.
    """
    titles = [job["title"] for job in jobs]
    document = {**batch["request"], "batch_id": batch["batch_id"], "titles": titles}
    return build_request(document, languages)


def _read(file: str) -> bytes:
    try:
        if file == STANDARD_INPUT:
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with Path(file).open("rb") as source:
            return source.read(MAX_BYTES + 1)
    except OSError as error:
        raise RequestError([Problem("", f"cannot be read: {error.strerror}")]) from None


def decode_yaml(data: bytes) -> Any:
    """YAML in UTF-8 → plain values, as YAML 1.2 reads them: `no` is text, and so is a date.

    Raises:
        RequestError: for anything else, anchors and repeated keys included.
    """
    try:
        return yaml.load(data.decode("utf-8-sig"), Loader=_Loader)  # noqa: S506 - plain values only
    except UnicodeDecodeError as error:
        raise RequestError([not_utf8(error)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = " ".join(filter(None, (error.context, error.problem)))
        message = f"is not valid YAML: {reason}{where}"
        raise RequestError([Problem("", message)]) from None
    except yaml.reader.ReaderError as error:
        message = f"is not valid YAML: character {error.position} is {error.character:#04x}"
        raise RequestError([Problem("", message)]) from None
    except RecursionError:
        raise RequestError([Problem("", "is not valid YAML: nested too deeply")]) from None


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2, whose values are those of JSON.

    Neither anchors, which can grow without bound, nor repeated keys.
    """

    # Not those of the base class: they are YAML 1.1's, with its dates and octal numbers.
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - as in the base class
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.composer.ComposerError(
                None, None, "anchors and aliases are not accepted; write it out", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the base's signature
        keys = Counter(str(key.value) for key, _ in node.value)
        if twice := sorted(key for key, number in keys.items() if number > 1):
            raise ConstructorError(
                None, None, f"{', '.join(twice)} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _scalar(convert: Callable[[str], Any]) -> Callable[[_Loader, Any], Any]:
    """A constructor that tells what it cannot convert by its place."""

    def construct(loader: _Loader, node: Any) -> Any:
        text = loader.construct_scalar(node)
        try:
            return convert(text)
        except ValueError as error:
            raise ConstructorError(None, None, str(error), node.start_mark) from None

    return construct


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text[:20]} is no whole number, or too long a one") from None


def _finite(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no number, or too large a one")
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text} is neither true nor false")
    return text.lower() == "true"


_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final[dict[str, tuple[str, str, Callable[[str], Any]]]] = {
    "null": (r"~|null|Null|NULL|", "~nN", lambda _: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF", _boolean),
    "int": (r"[-+]?[0-9]+", "-+0123456789", _integer),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        "-+.0123456789",
        _finite,
    ),
}
for _name, (_pattern, _first, _convert) in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), [*_first, ""])
    _Loader.add_constructor(_TAG + _name, _scalar(_convert))
for _name in ("str", "seq", "map"):
    _Loader.add_constructor(_TAG + _name, yaml.SafeLoader.yaml_constructors[_TAG + _name])
_Loader.add_constructor(None, yaml.SafeLoader.yaml_constructors[None])
