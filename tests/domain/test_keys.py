"""What things are called, and where they are."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import keys
from domain.request import BATCH_ID_PATTERN, MAX_TITLE_CHARACTERS, MAX_TITLES

TITLES = st.text(max_size=MAX_TITLE_CHARACTERS) | st.text(
    st.sampled_from("/\\.\0\n\u202e\u200f&#x;<>%~$ -_aé☕日"), max_size=60
)
POSITIONS = st.integers(1, MAX_TITLES)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("A história do café", "0001-a-historia-do-cafe"),
        ("../../etc/passwd", "0001-etc-passwd"),
        ("C:\\Windows\\..", "0001-c-windows"),
        ("um\0dois", "0001-um-dois"),
        ("\u202eabc\u200f", "0001-abc"),
        ("☕🎙️", "0001-untitled"),
        ("コーヒーの歴史", "0001-kohinoli-shi"),
        ("Ação & reação", "0001-acao-reacao"),
        ("&#47;&#99999999999;&lt;", "0001-47-99999999999-lt"),
        ("x" * 500, "0001-" + "x" * 48),
        ("--a--", "0001-a"),
        ("CON", "0001-con"),
        ("", "0001-untitled"),
    ],
)
def test_a_job_is_called_after_its_title(title: str, expected: str) -> None:
    """Its id is the title in ASCII words, fit for a path on any system."""
    assert keys.job_id(1, title) == expected


def test_a_long_title_is_cut_between_words() -> None:
    """At most 48 characters of the title are in the id, and no half word."""
    assert keys.job_id(
        10_000, "Como o café chegou ao Brasil e por que ele nunca mais foi embora"
    ) == ("10000-como-o-cafe-chegou-ao-brasil-e-por-que-ele-nunca")


@given(POSITIONS, TITLES)
def test_a_job_id_is_one_safe_name(position: int, title: str) -> None:
    """Whatever the title, the id has digits, letters and hyphens only, and not many."""
    made = keys.job_id(position, title)
    assert re.fullmatch(r"[0-9]{4,5}-[a-z0-9]+(-[a-z0-9]+)*", made)
    assert len(made) <= 5 + 1 + keys.SLUG_CHARACTERS


@given(st.lists(POSITIONS, unique=True, min_size=2, max_size=5), TITLES)
def test_positions_tell_jobs_apart(positions: list[int], title: str) -> None:
    """The same title at another position is another job."""
    assert len({keys.job_id(position, title) for position in positions}) == len(positions)


@given(TITLES)
def test_ids_are_the_same_everywhere(title: str) -> None:
    """An id is a function of position and title alone."""
    assert keys.job_id(7, title) == keys.job_id(7, title)


@given(
    st.datetimes(min_value=datetime(2000, 1, 1)),  # noqa: DTZ001 - aware by the next argument
    st.sampled_from([UTC, timezone(timedelta(hours=-3)), timezone(timedelta(hours=14))]),
    st.text("0123456789abcdef", min_size=6, max_size=32),
)
def test_a_generated_batch_id_could_be_a_clients(
    moment: datetime, zone: timezone, entropy: str
) -> None:
    """It keeps to the pattern that clients keep to, wherever it is generated."""
    made = keys.new_batch_id(moment.replace(tzinfo=zone), entropy)
    assert re.fullmatch(BATCH_ID_PATTERN, made)


def test_a_generated_batch_id_tells_when_in_utc() -> None:
    """The same moment is written the same in any time zone."""
    moment = datetime(2026, 1, 1, 23, 30, 5, tzinfo=timezone(timedelta(hours=-3)))
    assert keys.new_batch_id(moment, "abcdef0123") == "20260102-023005-abcdef"
    assert keys.new_batch_id(moment.astimezone(UTC), "abcdef") == "20260102-023005-abcdef"


def test_deliverables_stand_in_their_batchs_folder() -> None:
    """Narration, script and manifest are named after batch, job and item."""
    assert keys.deliverable("cafe", "0001-x", "v2.pt-BR", "mp3") == (
        "batches/cafe/0001-x/0001-x.v2.pt-BR.mp3"
    )
    assert keys.batch_folder("cafe") == "batches/cafe"
    assert keys.manifest("cafe") == "batches/cafe/manifest.json"
