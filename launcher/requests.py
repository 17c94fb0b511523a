"""Request files: JSON or YAML, from a path or from standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

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
    from collections.abc import Collection

STANDARD_INPUT = "-"


def load_request(file: str, languages: Collection[str] | None = None) -> BatchRequest:
    """Read a request file.

    Args:
        file: path of JSON or YAML, told apart by the content; `-` reads standard input.
        languages: tags that the chosen writer can write; None for any.

    Raises:
        RequestError: with every problem at once.
    """
    data = _read(file)
    if len(data) > MAX_BYTES:
        raise RequestError([Problem("", f"holds {len(data):,} bytes; at most {MAX_BYTES:,}")])
    if not data.strip():
        raise RequestError([Problem("", "is empty; examples/ holds requests to begin with")])
    looks_like_json = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}
    value = decode_json(data) if looks_like_json else decode_yaml(data)
    return build_request(value, languages)


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
        return yaml.load(data.decode("utf-8-sig"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise RequestError([not_utf8(error)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        message = f"is not valid YAML: {error.problem or error.context}{where}"
        raise RequestError([Problem("", message)]) from None
    except yaml.YAMLError as error:
        raise RequestError([Problem("", f"is not valid YAML: {error}")]) from None
    except RecursionError:
        raise RequestError([Problem("", "is not valid YAML: nested too deeply")]) from None


class _Loader(yaml.SafeLoader):
    """Plain values only; neither anchors, which can grow without bound, nor repeated keys."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - as in the base class

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.composer.ComposerError(
                None, None, "anchors and aliases are not accepted; write it out", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the base's signature
        keys = [key.value for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(twice)} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


# The core schema of YAML 1.2, whose numbers and booleans are those of JSON.
_PLAIN = {
    "tag:yaml.org,2002:null": (r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    "tag:yaml.org,2002:bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "tag:yaml.org,2002:int": (r"^[-+]?[0-9]+$", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$",
        "-+.0123456789",
    ),
}


def _add_resolvers() -> None:
    import re

    for tag, (pattern, first) in _PLAIN.items():
        _Loader.add_implicit_resolver(tag, re.compile(pattern), [*first.replace("\0", ""), ""])


_add_resolvers()


def as_message(request: BatchRequest) -> bytes:
    """The encoded form that is published and parsed."""
    document = request.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(document, ensure_ascii=False).encode()
