"""An event is a line, whoever the handler is."""

from __future__ import annotations

import logging

import pytest

from services.logs import logger


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "roteiro")
    return caplog


def test_an_event_and_its_fields_are_one_line(log: pytest.LogCaptureFixture) -> None:
    """The event comes first, quoted where it has spaces; line ends in values are escaped."""
    logger().info("batch asked for", batch_id="cafe", new=True, items=9, text='a\n"b" event=c')
    (record,) = log.records
    assert record.getMessage() == (
        r'"batch asked for" batch_id=cafe new=true items=9 text="a\n\"b\" event=c"'
    )
    assert (record.name, record.levelname) == ("roteiro", "INFO")


def test_a_percent_sign_is_only_a_sign(log: pytest.LogCaptureFixture) -> None:
    """What is logged is not a format."""
    logger().info("done", progress="100%s")
    assert log.messages == ["done progress=100%s"]


def test_an_exception_is_told_once(log: pytest.LogCaptureFixture) -> None:
    """The traceback stands once behind the line, by the handler, with `exception` or without."""
    try:
        raise LookupError("gone")  # noqa: TRY301 - to have a traceback
    except LookupError as error:
        logger().exception("step broke down", item="v1.pt-BR")
        logger().warning("step broke down", item="v1.pt-BR", exc_info=error)
    assert log.messages == ['"step broke down" item=v1.pt-BR'] * 2
    assert [record.levelname for record in log.records] == ["ERROR", "WARNING"]
    assert log.text.count("Traceback (most recent call last)") == 2
    assert log.text.count("LookupError: gone") == 2


def test_events_below_the_level_are_dropped(log: pytest.LogCaptureFixture) -> None:
    """The standard library's level decides."""
    logger().debug("a detail")
    assert not log.records
