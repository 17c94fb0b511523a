"""What is kept of a rejected message."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.letters import DeadLetter, letter_path
from domain.request import Problem
from domain.work import Message, Rejected

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def letter(data: bytes) -> DeadLetter:
    """The letter of these bytes."""
    problems = (Problem("titles", "is required"), Problem("agent", "must be an object", "3"))
    return DeadLetter.of(Rejected(Message(data, "given", "17"), problems), NOON)


@given(st.binary())
def test_a_letter_survives_its_stored_form(data: bytes) -> None:
    """Bytes, errors and times come back, requeued or not."""
    for made in (letter(data), letter(data).requeued(NOON)):
        assert DeadLetter.decode(made.encoded()) == made


def test_a_letter_tells_what_it_holds() -> None:
    """Text and batch id where there are any; its file is named after the delivery."""
    assert letter(b'{"batch_id": "caf\xc3\xa9"}').batch_id == "café"
    for other in (b"\xfe", b"[]", b'{"batch_id": 3}', b"{}", b"[" * 100_000):
        assert letter(other).batch_id == ""
    assert letter(b"a\xfe").text == "a\ufffd"
    assert letter_path("17") == "dead-letters/17.json"


def test_a_letter_of_before_has_no_time() -> None:
    """Its other fields are read all the same."""
    document = letter(b"x").document()
    del document["rejected_at"]
    old = DeadLetter.decode(json.dumps(document).encode())
    assert (old.rejected_at, old.requeued_at, old.data) == ("", "", b"x")


@pytest.mark.parametrize(
    "stored", [b"", b"\xfe", b"[]", b"{}", b'{"run_id": "x", "errors": [3], "data_base64": "?"}']
)
def test_what_is_no_letter(stored: bytes) -> None:
    """It is told as such, whatever it is."""
    with pytest.raises(ValueError, match=r".+"):
        DeadLetter.decode(stored)
