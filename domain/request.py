"""The batch request: what a client may ask for, and every reason why not."""

from __future__ import annotations

import difflib
import hashlib
import json
import unicodedata
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

import langcodes
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pydantic_core import ErrorDetails

MAX_TITLES: Final = 10_000
MAX_TITLE_CHARACTERS: Final = 500
MAX_VARIATIONS: Final = 20
MAX_LANGUAGES: Final = 50
MAX_TAG_CHARACTERS: Final = 35
"""Of a language tag, which is part of file names; RFC 5646 names it as enough (section 4.4.1)."""
MAX_ITEMS: Final = 200_000
MAX_BYTES: Final = 9_000_000
"""Encoded size of a request: under Pub/Sub's 10,000,000 bytes, with room for attributes."""

BATCH_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{2,62}$"
NOT_A_LANGUAGE: Final = frozenset({"und", "mul", "zxx", "mis", "x"})
"""First parts of valid tags that name no language anyone could speak."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request: where, why and, where it helps, what was found."""

    path: str
    message: str
    got: str = ""

    def __str__(self) -> str:
        found = f" (got {self.got})" if self.got else ""
        return f"{self.path}: {self.message}{found}" if self.path else f"{self.message}{found}"


class RequestError(ValueError):
    """A request that cannot be accepted; carries every problem at once."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


def _language(tag: str, info: ValidationInfo) -> str:
    language = langcodes.standardize_tag(tag) if langcodes.tag_is_valid(tag) else "und"
    if language.partition("-")[0] in NOT_A_LANGUAGE:
        raise PydanticCustomError(
            "language", "is not a known BCP-47 language tag; write it like pt-BR, en-US or ja-JP"
        )
    offered = (info.context or {}).get("languages")
    if offered is not None and language not in offered:
        raise PydanticCustomError(
            "language_offered",
            "has no offline templates; allowed: {allowed}",
            {"allowed": ", ".join(sorted(offered))},
        )
    return language


def _speakable(text: str) -> str:
    if not any(unicodedata.category(c)[0] in "LNS" for c in text):
        raise PydanticCustomError("speakable", "holds no letter or number that could be spoken")
    return _one_line(text)


def _visible(text: str) -> str:
    line = _one_line(text)
    if not line:
        raise PydanticCustomError("blank", "must not be blank")
    return line


def _one_line(text: str) -> str:
    """Control characters and line ends become spaces: none of them can be read or spoken."""
    breaks = {"Cc", "Zl", "Zp"}
    return "".join(" " if unicodedata.category(c) in breaks else c for c in text).strip()


def _each_once(tags: tuple[str, ...]) -> tuple[str, ...]:
    if repeated := _repeated(tags):
        raise PydanticCustomError("repeated", "lists {tags} twice", {"tags": ", ".join(repeated)})
    return tags


def _one_voice_each(voices: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Two tags may name one language; of their voices only the last would be left."""
    by_language = validate(voices)
    if len(by_language) < len(voices):
        _each_once(tuple(langcodes.standardize_tag(tag) for tag in voices))
    return by_language


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)


Language: TypeAlias = Annotated[
    str, StringConstraints(max_length=MAX_TAG_CHARACTERS), AfterValidator(_language)
]
Title: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_TITLE_CHARACTERS),
    AfterValidator(_speakable),
]
Phrase: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_speakable)
]
Label: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_visible)
]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class AgentConfig(_Model):
    """The editorial voice of a batch: who writes, in which languages, and how."""

    name: Label = Field("Narrator", description="Name of the editorial voice.")
    instructions: str = Field(
        "", max_length=20_000, description="Tone, audience and rules, in your own words."
    )
    master_language: Language = Field(
        "pt-BR",
        validation_alias=AliasChoices("master_language", "idioma_master"),
        description="BCP-47 tag of the language the scripts are first written in.",
    )
    target_languages: Annotated[tuple[Language, ...], AfterValidator(_each_once)] = Field(
        min_length=1,
        max_length=MAX_LANGUAGES,
        validation_alias=AliasChoices("target_languages", "idiomas_alvo"),
        description="BCP-47 tags of the languages that are spoken; the master only where listed.",
    )
    aspects: tuple[Phrase, ...] = Field(
        (),
        max_length=MAX_VARIATIONS,
        validation_alias=AliasChoices("aspects", "aspectos"),
        description="What each variation dwells on, in turn; empty takes the language's defaults.",
    )
    voices: Annotated[dict[Language, Label], WrapValidator(_one_voice_each)] = Field(
        {}, description="Voice name by language."
    )
    speaking_rate: float = Field(1.0, ge=0.25, le=2.0, description="1.0 is the voice's own pace.")
    model: Label = Field("gemini-2.5-flash", description="Gemini model.")
    temperature: float = Field(0.9, ge=0.0, le=2.0, description="Sampling temperature.")
    top_p: float = Field(0.95, ge=0.0, le=1.0, description="Nucleus sampling.")
    top_k: int = Field(40, ge=1, le=1000, description="Sampling from the k likeliest tokens.")
    max_output_tokens: int = Field(8192, ge=64, le=65_536, description="Tokens an answer may use.")
    thinking_budget: int | None = Field(
        None, ge=-1, le=32_768, description="Tokens for thinking; -1 lets the model choose."
    )
    target_minutes: float = Field(3.0, ge=0.25, le=60.0, description="Length to aim at, minutes.")


class BatchRequest(_Model):
    """A list of titles to be made into narrated scripts; version 1 of the message."""

    version: Literal[1] = Field(1, description="Version of this message's shape.")
    batch_id: str | None = Field(
        None, pattern=BATCH_ID_PATTERN, description="Your own id; generated where absent."
    )
    owner: Label = Field(
        "unknown",
        validation_alias=AliasChoices("owner", "owner_email"),
        description="Whom the batch belongs to, an e-mail address as a rule.",
    )
    titles: tuple[Title, ...] = Field(
        min_length=1,
        max_length=MAX_TITLES,
        validation_alias=AliasChoices("titles", "titulos"),
        description="What the scripts are about; one job each, repeated titles included.",
    )
    variations: int = Field(
        1,
        ge=1,
        le=MAX_VARIATIONS,
        validation_alias=AliasChoices("variations", "num_variacoes"),
        description="Scripts a title.",
    )
    agent: AgentConfig = Field(
        validation_alias=AliasChoices("agent", "agente_config"),
        description="The editorial voice.",
    )

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if self.total_items > MAX_ITEMS:
            raise PydanticCustomError(
                "too_many_items",
                "asks for {items} narrations (titles x variations x languages); at most {limit}",
                {"items": self.total_items, "limit": MAX_ITEMS},
            )
        return self

    @property
    def items_per_job(self) -> int:
        """Narrations a title."""
        return self.variations * len(self.agent.target_languages)

    @property
    def total_items(self) -> int:
        """Narrations of the whole batch."""
        return len(self.titles) * self.items_per_job

    def encoded(self) -> bytes:
        """The form that is published and parsed; what has its default value is left out."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    def content_hash(self) -> str:
        """SHA-256 of everything asked for, whatever the batch is called."""
        document = self.model_dump(mode="json", exclude={"batch_id"})
        canonical = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def parse_request(data: bytes, languages: Collection[str] | None = None) -> BatchRequest:
    """Read an encoded request.

    Args:
        data: JSON in UTF-8, at most MAX_BYTES.
        languages: the tags that the chosen writer can write; None where it can
            write any.

    Raises:
        RequestError: with every problem at once, each with its field path.
    """
    if len(data) > MAX_BYTES:
        raise RequestError([Problem("", f"holds {len(data):,} bytes; at most {MAX_BYTES:,}")])
    return build_request(decode_json(data), languages)


def decode_json(data: bytes) -> Any:
    """JSON in UTF-8 → plain values; duplicate keys and NaN are refused.

    Raises:
        RequestError: where the bytes are not such JSON.
    """
    try:
        return json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except RequestError:  # of the hooks; it is a ValueError like those below
        raise
    except UnicodeDecodeError as error:
        raise RequestError([not_utf8(error)]) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RequestError([Problem("", f"is not valid JSON: {error.msg} at {where}")]) from None
    except RecursionError:
        raise RequestError([Problem("", "is not valid JSON: nested too deeply")]) from None
    except ValueError as error:  # a number of more digits than Python converts
        raise RequestError([Problem("", f"is not valid JSON: {error}")]) from None


def not_utf8(error: UnicodeDecodeError) -> Problem:
    """The problem of bytes that are no UTF-8 text."""
    return Problem(
        "",
        f"is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}; save as UTF-8",
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = _repeated(key for key, _ in pairs)
        raise RequestError([Problem(field_path((key,)), "is given twice") for key in twice])
    return values


def _no_constant(name: str) -> float:
    raise RequestError([Problem("", f"is not valid JSON: {name} is no number")])


def build_request(value: Any, languages: Collection[str] | None = None) -> BatchRequest:
    """Plain values, as read from JSON or YAML → the request; raises RequestError."""
    if not isinstance(value, dict):
        message = "must be an object with titles and agent at the top level"
        raise RequestError([Problem("", message, _shown(value))])
    context = {"languages": frozenset(languages)} if languages is not None else None
    problems = [
        Problem(field_path(location), "holds half a character (an unpaired surrogate)")
        for location in _half_characters(value)
    ]
    try:
        # Through JSON, because strict mode takes a list for a tuple only from there.
        encoded = json.dumps(value, ensure_ascii=False).encode(errors="replace")
        request = BatchRequest.model_validate_json(encoded, context=context)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
        problems += [_problem(detail) for detail in found if not _left_short(detail)]
    except RecursionError:
        problems.append(Problem("", _MESSAGES["json_invalid"]))
    if problems:
        raise RequestError(problems)
    return request


def _half_characters(value: Any) -> Iterator[tuple[int | str, ...]]:
    """Where text is that cannot be written down: JSON can spell one half of a surrogate pair."""
    waiting: deque[tuple[tuple[int | str, ...], Any]] = deque([((), value)])
    while waiting:
        location, part = waiting.popleft()
        if isinstance(part, dict):
            waiting += [((*location, str(key)), inner) for key, inner in part.items()]
        elif isinstance(part, list):
            waiting += [((*location, index), inner) for index, inner in enumerate(part)]
        elif isinstance(part, str) and part != _writable(part):
            yield location


def _writable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _left_short(detail: ErrorDetails) -> bool:
    """A list is called too short as well when all it holds was refused."""
    return detail["type"] == "too_short" and bool(detail["input"])


_MESSAGES: Final = {
    "missing": "is required",
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number, without quotes",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "json_invalid": "is nested too deeply",
}
_SEEN_AT_ONCE: Final = frozenset(
    {"missing", "too_short", "too_long", "repeated", "too_many_items", "json_invalid"}
)
"""Kinds of error that need not say what was found."""


def _problem(detail: ErrorDetails) -> Problem:
    path = field_path(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return Problem(path, _unknown_field(detail["loc"]))
    if kind == "string_pattern_mismatch":
        message = "must be 3 to 63 of a-z, 0-9 and -, beginning with a letter or digit"
    elif kind == "too_short":
        message = f"needs at least {context['min_length']}, has {context['actual_length']}"
    elif kind == "too_long":
        message = (
            f"takes at most {context['max_length']:,}, has {context['actual_length'] or 'more'}"
        )
    elif kind == "string_too_long":
        message = f"must be at most {context['max_length']} characters long"
    elif kind == "string_too_short":
        message = "must not be empty"
    elif kind == "literal_error":
        message = f"must be {context['expected']}"
    elif kind in {"greater_than_equal", "less_than_equal"}:
        message = detail["msg"].replace("Input should", "must")
    else:
        message = _MESSAGES.get(kind, detail["msg"])
    shown = "" if kind in _SEEN_AT_ONCE else _shown(detail["input"])
    return Problem(path, message, shown)


def field_path(location: tuple[int | str, ...]) -> str:
    """('agent', 'target_languages', 2) → agent.target_languages[2]."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{part}" if path else part
    return _writable(path)


def _unknown_field(location: tuple[int | str, ...]) -> str:
    model = AgentConfig if len(location) > 1 else BatchRequest
    found = str(location[-1])
    for name, field in model.model_fields.items():
        choices = field.validation_alias
        if isinstance(choices, AliasChoices) and found in choices.choices:
            return f"is another name of {name}, which is given as well"
    names = sorted(model.model_fields)
    near = difflib.get_close_matches(found, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"is not a field; {hint}allowed: {', '.join(names)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = _writable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 60 else f"{text[:57]}…"
