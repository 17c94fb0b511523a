"""Dead letters: what is kept of a message that will not be worked on."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from domain.request import Problem
from domain.status import timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from domain.work import Rejected

FOLDER: Final = "dead-letters"
"""Below the output."""


def letter_path(run_id: str) -> str:
    """Where a delivery's dead letter is, below the output."""
    return f"{FOLDER}/{run_id}.json"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected message with every reason.

    Attributes:
        run_id: names the delivery, and the letter.
        problems: why it was rejected.
        data: the original bytes.
        rejected_at: ISO 8601, UTC; empty in letters of before it was written down.
        requeued_at: when somebody published it again; empty where nobody did.
    """

    run_id: str
    problems: tuple[Problem, ...]
    data: bytes
    rejected_at: str = ""
    requeued_at: str = ""

    @classmethod
    def of(cls, rejected: Rejected, now: datetime) -> DeadLetter:
        """The letter of a message that was rejected at an aware time."""
        message = rejected.message
        return cls(message.run_id, rejected.problems, message.data, timestamp(now))

    @classmethod
    def decode(cls, stored: bytes) -> DeadLetter:
        """Read the stored form.

        Raises:
            ValueError: where it is none.
        """
        try:
            document = json.loads(stored)
            return cls(
                document["run_id"],
                tuple(Problem(**error) for error in document["errors"]),
                base64.b64decode(document["data_base64"], validate=True),
                document.get("rejected_at") or "",
                document.get("requeued_at") or "",
            )
        except (KeyError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
            raise ValueError(f"it is no dead letter: {error}") from error

    def document(self) -> dict[str, Any]:
        """The stored form as plain values: readable text where it is any, beside the bytes."""
        moments = {"rejected_at": self.rejected_at, "requeued_at": self.requeued_at}
        return {
            "run_id": self.run_id,
            **{name: moment for name, moment in moments.items() if moment},
            "errors": [asdict(problem) for problem in self.problems],
            "text": self.text,
            "data_base64": base64.b64encode(self.data).decode("ascii"),
        }

    def encoded(self) -> bytes:
        """The stored form."""
        return json.dumps(self.document(), ensure_ascii=False, indent=2).encode()

    def requeued(self, now: datetime) -> DeadLetter:
        """The same once its message, or what replaces it, was published again."""
        return replace(self, requeued_at=timestamp(now))

    @property
    def text(self) -> str:
        """The message as far as it is UTF-8."""
        return self.data.decode("utf-8", errors="replace")

    @property
    def batch_id(self) -> str:
        """The id that the message names, where that can be told; empty elsewhere."""
        try:
            document = json.loads(self.data)
        except (ValueError, RecursionError):
            return ""
        named = document.get("batch_id") if isinstance(document, dict) else None
        return named if isinstance(named, str) else ""
