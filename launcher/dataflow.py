"""Settings of a job on Dataflow: where it runs, on what, and as whom."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from launcher.exits import BadInput
from launcher.settings import (
    BUCKET,
    CONFIG_FILE,
    ENV_PREFIX,
    Flags,
    Settings,
    bucket,
    endpoint,
    location,
    settled,
)

TABLE: Final = "dataflow"
RUNNER: Final = "DataflowRunner"
LABEL: Final = "roteiro"
"""Of every job of ours; its value is the version."""
AT_LEAST_ONCE: Final = "streaming_mode_at_least_once"

BEAM_NAMES: Final = {
    "project": "project",
    "region": "region",
    "temp_location": "temp_location",
    "staging_location": "staging_location",
    "image": "sdk_container_image",
    "job_name": "job_name",
    "machine_type": "machine_type",
    "max_workers": "max_num_workers",
    "service_account": "service_account_email",
    "network": "network",
    "subnetwork": "subnetwork",
    "dataflow_endpoint": "dataflow_endpoint",
}
"""What Beam calls these settings."""

_Folder = Annotated[str, location("gs://bucket/prefix", BUCKET), AfterValidator(bucket)]
_LABELS: Final = (
    r"^$|^[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}(,[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63})*$"
)


class _Table(TomlConfigSettingsSource):
    """The file's table."""

    def __call__(self) -> dict[str, Any]:
        found = super().__call__().get(TABLE)
        return found if isinstance(found, dict) else {}  # Settings tells what is no table


class DataflowSettings(BaseSettings):
    """What a job needs to know beyond Settings; `docs/dataflow.md` explains each.

    In roteiro.toml they are the table `dataflow`.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        toml_file=CONFIG_FILE,
        extra="forbid",
        frozen=True,
    )

    project: str = Field("", description="Project of Google Cloud that the job belongs to.")
    region: str = Field("", description="Region of its workers, such as southamerica-east1.")
    temp_location: _Folder = Field("", description="Where the job keeps temporary files.")
    staging_location: _Folder = Field(
        "", description="Where the job's description is; by default temp_location."
    )
    image: str = Field("", description="Container image of the workers, built by the Dockerfile.")
    job_name: str = Field(
        "roteiro",
        pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
        description="Name of the job; only one of a name runs at a time.",
    )
    machine_type: str = Field("e2-standard-2", description="Compute Engine's name of a worker.")
    max_workers: int = Field(10, ge=1, le=1000, description="Workers, at most.")
    service_account: str = Field(
        "", description="E-mail address of the workers' account; by default Compute Engine's."
    )
    network: str = Field("", description="Network of the workers.")
    subnetwork: str = Field("", description="Subnetwork of the workers, by URL or by path.")
    labels: str = Field("", pattern=_LABELS, description="key=value,… for the bill.")
    streaming_mode: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once", description="Whether Dataflow drops repetitions between its steps."
    )
    vertex_location: str = Field(
        "", description="Location of Gemini on Vertex AI, such as global; without, a key is used."
    )
    dataflow_endpoint: Annotated[str, AfterValidator(endpoint)] = Field(
        "", description="URL of a server in Dataflow's place."
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
        """Flags first, then the environment, then the file's table."""
        return init_settings, env_settings, _Table(settings_cls)


def load_dataflow(flags: Flags) -> DataflowSettings:
    """Settle the settings of a job.

    Raises:
        BadInput: naming every setting that is wrong, and where it was given.
    """
    return settled(DataflowSettings, flags)


def require(settings: DataflowSettings, *names: str) -> None:
    """See that settings without a default are given.

    Raises:
        BadInput: naming all that are not.
    """
    if missing := [f"--{name}" for name in names if not getattr(settings, name)]:
        raise BadInput(f"Dataflow needs {', '.join(missing)}; see docs/dataflow.md")


def check(settings: Settings, job: DataflowSettings) -> None:
    """See that workers, which share nothing with this machine, can reach all that they need.

    Raises:
        BadInput: with everything that has to be given otherwise.
    """
    problems = []
    if not settings.output.startswith(BUCKET):
        problems.append(f"--output must be gs://bucket/prefix (got {settings.output!r})")
    if settings.firestore is None:
        problems.append(f"--status must be firestore://project/database (got {settings.store!r})")
    if settings.writer == "generativeai":
        problems.append("--writer generativeai is not in the image; choose gemini")
    if settings.writer == "gemini" and bool(settings.api_key_secret) == bool(job.vertex_location):
        problems.append(
            "--writer gemini needs --api_key_secret or --vertex_location, one of them: "
            "workers do not have this environment"
        )
    if problems:
        raise BadInput("\n".join(problems))


def labels(settings: DataflowSettings, version: str) -> dict[str, str]:
    """Labels of the job: those that were asked for, and ours."""
    given = dict(pair.split("=", 1) for pair in settings.labels.split(",") if pair)
    return given | {LABEL: version.replace(".", "-")}


def beam_flags(settings: Settings, job: DataflowSettings, version: str) -> list[str]:
    """The job's options as Beam knows them.

    There is no secret among them: they are stored with the job, and shown.
    """
    named = {beam: getattr(job, ours) for ours, beam in BEAM_NAMES.items()}
    named["staging_location"] = job.staging_location or job.temp_location
    flags = [f"--{name}={value}" for name, value in named.items() if value != ""]
    flags += [f"--labels={key}={value}" for key, value in labels(job, version).items()]
    # A bundle of a stream is often a single element, so that calls overlap only by as many
    # bundles as there are threads.
    flags.append(f"--number_of_worker_harness_threads={settings.max_in_flight}")
    flags.append("--sdk_location=container")  # the image has Beam, and ours
    if job.streaming_mode == "at_least_once":
        flags.append(f"--dataflow_service_options={AT_LEAST_ONCE}")
    return flags
