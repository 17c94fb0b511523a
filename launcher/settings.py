"""Settings: flags over ROTEIRO_* variables over roteiro.toml over these defaults."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

CONFIG_FILE: Final = "roteiro.toml"
ENV_PREFIX: Final = "ROTEIRO_"


class SettingsError(ValueError):
    """Settings that cannot be used; the message names each, its value and the remedy."""


class Settings(BaseSettings):
    """What a run needs to know beyond the request; `docs/settings.md` explains each."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX, toml_file=CONFIG_FILE, extra="forbid", frozen=True
    )

    output: str = Field("output", min_length=1, description="Folder or gs://bucket/prefix.")
    status: str = Field(
        "", description="Status store: a SQLite file; by default status.db in the output folder."
    )
    writer: Literal["offline"] = Field("offline", description="Who writes and adapts scripts.")
    voice: Literal["offline"] = Field("offline", description="Who speaks them.")
    max_in_flight: int = Field(
        100, ge=1, le=1000, description="Calls under way at once, for each slow step."
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
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def database(self) -> Path:
        """Where the SQLite status store is."""
        if self.status:
            return Path(self.status.removeprefix("sqlite://"))
        return Path("roteiro-status.db") if "://" in self.output else Path(self.output, "status.db")


def load_settings(**flags: Any) -> Settings:
    """Settle the settings; flags that were not given are None.

    Raises:
        SettingsError: naming every setting that is wrong.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_explained(detail) for detail in error.errors())) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{CONFIG_FILE} is not valid TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{CONFIG_FILE} cannot be read: {error}") from None


def _explained(detail: Any) -> str:
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        allowed = ", ".join(Settings.model_fields)
        return f"{name}: is not a setting (in {CONFIG_FILE}); allowed: {allowed}"
    given = f"--{name}, {ENV_PREFIX}{name.upper()} or {name} in {CONFIG_FILE}"
    return f"{given}: {detail['msg'].replace('Input should', 'must')} (got {detail['input']!r})"
