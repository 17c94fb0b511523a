"""Access: how Google is reached, read from the environment and kept in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn

from services.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

API_KEYS: Final = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
"""Variables that may hold the key; the first that is set counts, as in google-genai."""
USE_VERTEX: Final = "GOOGLE_GENAI_USE_VERTEXAI"
PROJECT: Final = "GOOGLE_CLOUD_PROJECT"
LOCATION: Final = "GOOGLE_CLOUD_LOCATION"
DEFAULT_LOCATION: Final = "global"


@dataclass(frozen=True, slots=True)
class GeminiAccess:
    """An API key, or a project on Vertex AI with Application Default Credentials.

    It does not pickle, so that no key leaves its process with an element; a
    worker reads its own environment.

    Attributes:
        api_key: empty on Vertex AI; in no repr.
        project: of Google Cloud; empty with an API key.
        location: of Vertex AI.
    """

    api_key: str = field(default="", repr=False)
    project: str = ""
    location: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> GeminiAccess:
        """Read the variables that google-genai reads; an empty one counts as none.

        Raises:
            Refused: `unauthenticated`, saying what to set.
        """
        if environment.get(USE_VERTEX, "").strip().lower() in {"true", "1"}:
            if project := environment.get(PROJECT, "").strip():
                location = environment.get(LOCATION, "").strip() or DEFAULT_LOCATION
                return cls(project=project, location=location)
            raise Refused(f"{USE_VERTEX} needs {PROJECT} as well", code="unauthenticated")
        for name in API_KEYS:
            key = environment.get(name, "").strip()
            if key and not _may_be_key(key):
                raise Refused(f"{name} is no API key: see its characters", code="unauthenticated")
            if key:
                return cls(api_key=key)
        raise Refused(
            f"Gemini needs a key in {' or '.join(API_KEYS)}, or Vertex AI: "
            f"{USE_VERTEX}=true and {PROJECT}",
            code="unauthenticated",
        )

    @classmethod
    def with_key(cls, key: str, source: str) -> GeminiAccess:
        """A key that was read elsewhere.

        Args:
            key: of the Gemini API.
            source: whatever held it, for the error.

        Raises:
            Refused: `unauthenticated`, where it cannot be a key.
        """
        if not _may_be_key(key):
            raise Refused(f"{source} holds no API key: see its characters", code="unauthenticated")
        return cls(api_key=key)

    def __reduce__(self) -> NoReturn:
        raise TypeError("access to Gemini stays in its process; read it from the environment")


def _may_be_key(key: str) -> bool:
    return bool(key) and key.isascii() and key.isprintable() and " " not in key
