"""`roteiro doctor`: each service is asked one thing, side by side, and the answers are told."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from launcher.bootstrap import examination
from launcher.checks import REACH
from launcher.consoles import error_console, output_console, plain_table, print_json
from launcher.exits import DONE, SOME_FAILED
from launcher.settings import load_settings
from services.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from launcher.checks import Check
    from launcher.settings import Flags

OK: Final = "ok"
FAILED: Final = "failed"
UNUSED: Final = "not used"
GRACE: Final = 10.0
"""Seconds, besides those of an answer, for what comes before and after: libraries, credentials."""
ANYWAY: Final = {"unavailable": REACH, "timeout": REACH}
"""What to do about an error of any service that has no better word."""
SAID: Final = ("GOOGLE_", "gcloud ", "--")
"""An error that names a variable, a command or a flag says by itself what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a check.

    Attributes:
        milliseconds: from the question to its answer, the connection included;
            None where nothing was asked, or nothing was answered.
        code, error, remedy: of a failure.
    """

    service: str
    state: str
    asked: str
    milliseconds: int | None = None
    code: str = ""
    error: str = ""
    remedy: str = ""


def doctor(flags: Flags, seconds: float, *, json: bool) -> int:
    """Ask every service; returns the exit code.

    Args:
        flags: settings given on the command line.
        seconds: that an answer may take.
        json: print for programs.
    """
    settings = load_settings(flags)
    answers = examined(examination.checks(settings, seconds), seconds)
    failed = [answer for answer in answers if answer.state == FAILED]
    if json:
        print_json({"checks": [asdict(answer) for answer in answers]})
    else:
        _print(output_console(), answers)
        for line in _explained(failed):
            error_console().print(line, soft_wrap=True)
    return SOME_FAILED if failed else DONE


def examined(checks: Sequence[Check], seconds: float, *, grace: float = GRACE) -> list[Answer]:
    """The answers, in the order of the checks; none waits for another, nor holds this up.

    Args:
        checks: all of them.
        seconds: that an answer may take; a check ends by itself then.
        grace: seconds until one that has not is given up.
    """
    came: queue.SimpleQueue[tuple[int, Answer]] = queue.SimpleQueue()

    def examine(number: int, check: Check) -> None:
        came.put((number, _asked(check)))

    answers = {}
    waiting = set()
    for number, check in enumerate(checks):
        if check.call is None:
            answers[number] = Answer(check.service, UNUSED, "")
        else:
            waiting.add(number)
            # A daemon: what never answers must not keep the command from its end.
            threading.Thread(target=examine, args=(number, check), daemon=True).start()
    deadline = time.monotonic() + seconds + grace
    while waiting:
        try:
            number, answer = came.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            break
        waiting.remove(number)
        answers[number] = answer
    for number in waiting:
        check = checks[number]
        reason = f"no answer in {seconds + grace:g} seconds"
        answers[number] = Answer(
            check.service, FAILED, check.asked, None, "timeout", reason, ANYWAY["timeout"]
        )
    return [answers[number] for number in sorted(answers)]


def _asked(check: Check) -> Answer:
    begun = time.monotonic()
    code, error = "", ""
    try:
        if check.call is not None:
            check.call()
    except ServiceError as failure:
        code, error = failure.code, failure.message
    except Exception as failure:  # noqa: BLE001 - it would end a thread unseen, and may hold a key
        code, error = "internal", f"a fault of Roteiro: {type(failure).__name__}"
    milliseconds = round((time.monotonic() - begun) * 1000)
    remedy = check.remedies.get(code, ANYWAY.get(code, ""))
    if any(word in error for word in SAID):
        remedy = ""
    state = FAILED if code else OK
    return Answer(check.service, state, check.asked, milliseconds, code, error, remedy)


def _print(console: Console, answers: Sequence[Answer]) -> None:
    table = plain_table("Service", "State", "ms>", "Asked")
    for answer in answers:
        took = "" if answer.milliseconds is None else f"{answer.milliseconds:,}"
        table.add_row(answer.service, answer.state, took, answer.asked)
    console.print(table)


def _explained(failed: Sequence[Answer]) -> Iterator[str]:
    for answer in failed:
        remedy = f"; {answer.remedy}" if answer.remedy else ""
        yield f"{answer.service}: {answer.error.rstrip('.')}{remedy}"
