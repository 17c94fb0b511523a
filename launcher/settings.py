"""Settings: flags over ROTEIRO_* variables over roteiro.toml over these defaults."""

from __future__ import annotations

import os
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from launcher.exits import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

CONFIG_FILE: Final = "roteiro.toml"
ENV_PREFIX: Final = "ROTEIRO_"
TABLES: Final = ("dataflow",)
"""Tables of the file that hold settings of their own."""
SQLITE: Final = "sqlite://"
FIRESTORE: Final = "firestore://"
BUCKET: Final = "gs://"
DIRECT: Final = "direct"
_HTTPS: Final = re.compile(
    r"(https://[^/\s@?#]+|http://(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?)(/[^\s@?#]*)?"
)
"""Where a key may be sent: encrypted, or to this machine."""
_SECRET: Final = re.compile(r"projects/[^/\s]+/secrets/[^/\s]+/versions/[^/\s]+")
_DATABASE: Final = re.compile(r"firestore://([a-z][a-z0-9:.-]{4,61}[a-z0-9])(?:/([^/\s]+))?")
SAMPLE_RATES: Final = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Hz that MP3 knows."""

Flags: TypeAlias = "Mapping[str, str | bool | int | float | None]"
"""Settings given on the command line; None for those that were not."""
Kind = TypeVar("Kind", bound=BaseSettings)


def location(allowed: str, *schemes: str) -> AfterValidator:
    """A path, or a name that begins with one of the schemes."""

    def check(name: str) -> str:
        if "://" in name and not name.startswith(schemes):
            raise PydanticCustomError("scheme", "must be {allowed}", {"allowed": allowed})
        if any(unicodedata.category(c) == "Cc" for c in name):
            raise PydanticCustomError("control", "must not hold control characters")
        return name

    return AfterValidator(check)


def _firestore(name: str) -> str:
    if name.startswith(FIRESTORE) and not _DATABASE.fullmatch(name):
        raise PydanticCustomError("firestore", "must be firestore://project/database")
    return name


def bucket(name: str) -> str:
    """See that a name in Cloud Storage has a bucket."""
    if name.startswith(BUCKET) and not re.fullmatch(r"gs://[^/]+(/.*)?", name):
        raise PydanticCustomError("bucket", "must be gs://bucket or gs://bucket/prefix")
    return name


def resource(kind: str) -> AfterValidator:
    """A Pub/Sub topic or subscription by its full name, or none."""

    def check(name: str) -> str:
        if name and not re.fullmatch(rf"projects/[^/\s]+/{kind}/[^/\s]+", name):
            raise PydanticCustomError(
                "resource", "must be projects/<project>/{kind}/<name>", {"kind": kind}
            )
        return name

    return AfterValidator(check)


def _secret(name: str) -> str:
    if name and not _SECRET.fullmatch(name):
        raise PydanticCustomError(
            "secret", "must be projects/<project>/secrets/<name>/versions/<version>"
        )
    return name


def endpoint(url: str) -> str:
    """See that what is sent there is seen by nobody else."""
    if url and not _HTTPS.fullmatch(url):
        raise PydanticCustomError(
            "endpoint", "must be https://host, or http:// and this machine: a key is sent there"
        )
    return url


def _host_and_port(name: str) -> str:
    if name and not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):[0-9]{1,5}", name):
        raise PydanticCustomError("endpoint", "must be host:port")
    return name


def _sample_rate(hertz: int) -> int:
    if hertz and hertz not in SAMPLE_RATES:
        allowed = {"allowed": ", ".join(map(str, SAMPLE_RATES))}
        raise PydanticCustomError("sample_rate", "must be 0 or one of {allowed}", allowed)
    return hertz


class _WithoutTables(TomlConfigSettingsSource):
    """The file, without what belongs to another class."""

    def __call__(self) -> dict[str, Any]:
        found = super().__call__()
        return {
            name: value
            for name, value in found.items()
            if name not in TABLES or not isinstance(value, dict)
        }


class Settings(BaseSettings):
    """What a run needs to know beyond the request; `docs/settings.md` explains each."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        toml_file=CONFIG_FILE,
        extra="forbid",
        frozen=True,
    )

    output: Annotated[
        str, location("a folder or gs://bucket/prefix", BUCKET), AfterValidator(bucket)
    ] = Field("output", min_length=1, description="Folder or bucket of the deliverables.")
    status: Annotated[
        str,
        location("a SQLite file or firestore://project/database", SQLITE, FIRESTORE),
        AfterValidator(_firestore),
    ] = Field(
        "",
        description="Status store: a SQLite file, or firestore://project/database; by default "
        "status.db in the output folder.",
    )
    writer: Literal["offline", "gemini", "generativeai"] = Field(
        "offline", description="Who writes and adapts scripts."
    )
    voice: Literal["offline", "google"] = Field("offline", description="Who speaks them.")
    speech_endpoint: Annotated[str, AfterValidator(_host_and_port)] = Field(
        "", description="host:port of a Text-to-Speech server in Google's place, unencrypted."
    )
    speech_timeout: float = Field(
        60, gt=0, le=600, description="Seconds a call of the Google voice may take."
    )
    sample_rate: Annotated[int, AfterValidator(_sample_rate)] = Field(
        0, description="Hz of the Google voice's audio; 0 for the voice's own."
    )
    max_in_flight: int = Field(
        100, ge=1, le=1000, description="Calls under way at once, for each slow step."
    )
    generation_timeout: float = Field(
        120, ge=10, le=3600, description="Seconds that writing a script may take."
    )
    adaptation_timeout: float = Field(
        120, ge=10, le=3600, description="Seconds that adapting a script may take."
    )
    attempts: int = Field(5, ge=1, le=100, description="Calls, at most, for one answer.")
    retry_deadline: float = Field(
        600, ge=0, le=86_400, description="Seconds from the first call on, the waits included."
    )
    store_patience: float = Field(
        600, ge=0, le=86_400, description="Seconds that steps wait for a status store that is away."
    )
    gemini_endpoint: Annotated[str, AfterValidator(endpoint)] = Field(
        "", description="Base URL of Gemini's API, instead of Google's."
    )
    no_cache: bool = Field(
        default=False, description="Neither use nor keep answers that were paid for."
    )
    refresh: bool = Field(
        default=False, description="Ask for everything anew, and keep the new answers."
    )
    api_key_secret: Annotated[str, AfterValidator(_secret)] = Field(
        "", description="Secret of Secret Manager that holds Gemini's key, by name."
    )

    topic: Annotated[str, resource("topics")] = Field(
        "", description="Where `submit` publishes requests."
    )
    subscription: Annotated[str, resource("subscriptions")] = Field(
        "", description="Where `start` takes requests from."
    )
    dead_letter_topic: Annotated[str, resource("topics")] = Field(
        "", description="Where rejected messages are published, besides the output."
    )
    events_topic: Annotated[str, resource("topics")] = Field(
        "", description="Where the ends of batches are published."
    )
    runner: str = Field(
        DIRECT, min_length=1, description="Who runs the pipeline that `start` starts."
    )
    max_batches: int = Field(
        10, ge=1, le=100, description="Batches that `start` makes at once, on the direct runner."
    )
    grace: float = Field(
        30, ge=0, le=86_400, description="Seconds that calls under way have when `start` stops."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - part of the signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags first, then the environment, then the file."""
        return init_settings, env_settings, _WithoutTables(settings_cls)

    @property
    def store(self) -> str:
        """The status store, as messages name it."""
        return self.status or str(Path(self.output, "status.db"))

    @property
    def database(self) -> Path | None:
        """Where the SQLite status store is; None where it is Firestore."""
        return None if self.firestore else Path(self.store.removeprefix(SQLITE))

    @property
    def firestore(self) -> tuple[str, str] | None:
        """Project and database, where the statuses are in Firestore."""
        found = _DATABASE.fullmatch(self.status)
        return (found[1], found[2] or "(default)") if found else None


def load_settings(flags: Flags, *, statuses: bool = True) -> Settings:
    """Settle the settings.

    Args:
        flags: go before all else.
        statuses: whether a status store is needed.

    Raises:
        BadInput: naming every setting that is wrong, and where it was given.
    """
    settings = settled(Settings, flags)
    if settings.no_cache and settings.refresh:
        raise BadInput("refresh fills the cache anew and no_cache leaves it alone: choose one")
    if statuses and settings.output.startswith(BUCKET) and not settings.status:
        raise BadInput(
            f"--status is missing: with output in {settings.output}, name the status store, such "
            "as firestore://project/(default), or a SQLite file"
        )
    return settings


def settled(kind: type[Kind], flags: Flags) -> Kind:
    """Settings of a class, wherever they are given.

    Raises:
        BadInput: naming every setting that is wrong, and where it was given.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        told = "\n".join(_explained(detail, given, kind) for detail in error.errors())
        raise BadInput(told) from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{CONFIG_FILE} is not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{CONFIG_FILE} cannot be read: {error}") from None


def _explained(detail: ErrorDetails, flags: Flags, kind: type[BaseSettings]) -> str:
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        allowed = ", ".join(kind.model_fields)
        return f"{name} in {CONFIG_FILE} is not a setting; allowed: {allowed}"
    message = detail["msg"].replace("Input should", "must").replace("String should", "must")
    return f"{_source(name, flags)} {message} (got {detail['input']!r})"


def _source(name: str, flags: Flags) -> str:
    """Where a setting's value was given."""
    if name in flags:
        return f"--{name}"
    variable = f"{ENV_PREFIX}{name}".upper()
    if any(known.upper() == variable and value for known, value in os.environ.items()):
        return variable
    return f"{name} in {CONFIG_FILE}"
