"""`roteiro validate`: what a request would make, or everything wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.prompts import target_words
from domain.request import RequestError
from launcher import bootstrap
from launcher.consoles import output_console, print_json, print_problems
from launcher.exits import BAD_INPUT, DONE
from launcher.requests import file_name, load_request
from launcher.settings import load_settings

if TYPE_CHECKING:
    from domain.request import BatchRequest
    from launcher.settings import Flags, Settings


def validate(file: str, flags: Flags, *, json: bool) -> int:
    """Check a request file; returns the exit code."""
    settings = load_settings(flags)
    try:
        request = load_request(file, bootstrap.offered_languages(settings))
    except RequestError as error:
        print_problems(file_name(file), error.problems)
        return BAD_INPUT
    if json:
        print_json(request.model_dump(mode="json"))
        return DONE
    console, agent = output_console(), request.agent
    console.print(f"{file_name(file)} is a valid request: {sizes(request)}.", soft_wrap=True)
    console.print(
        f"{agent.name} writes in {agent.master_language}, about {target_words(agent)} words "
        f"a script; spoken in {', '.join(agent.target_languages)}.",
        soft_wrap=True,
    )
    return DONE


def sizes(request: BatchRequest) -> str:
    """`3 titles × 2 variations × 3 languages = 18 narrations`."""
    parts = (
        (len(request.titles), "title"),
        (request.variations, "variation"),
        (len(request.agent.target_languages), "language"),
    )
    product = " × ".join(counted(number, noun) for number, noun in parts)
    return f"{product} = {counted(request.total_items, 'narration')}"


def counted(number: int, noun: str) -> str:
    """(1, "title") → `1 title`; (2, "title") → `2 titles`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def made_by(settings: Settings) -> str:
    """`written by gemini, spoken by the offline stand-in`."""
    writer, speaker = (
        "the offline stand-in" if name == "offline" else name
        for name in (settings.writer, settings.voice)
    )
    if writer == speaker:
        return f"written and spoken by {writer}"
    return f"written by {writer}, spoken by {speaker}"
