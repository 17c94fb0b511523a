"""The offline writer: scripts from templates, without a key and without the network."""

from __future__ import annotations

import hashlib
import json
import operator
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from domain.prompts.aspects import default_aspects, translated_aspect
from services.errors import Refused
from services.ports import Completion

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from domain.prompts import Prompt

LANGUAGES: Final = ("pt-BR", "en-US", "es-ES", "fr-FR", "de-DE", "it-IT")
"""BCP-47 tags of the languages that have templates."""

MIN_WORDS: Final = 150
MAX_WORDS: Final = 400
TOLERANCE: Final = 0.15
"""How far a script may be from its target length, as a part of it."""

_FRAMES: Final = 3
"""Frames tried, at most, for a draft that fits in every language; the first is as a rule enough."""
_WITH_HOOK: Final = 8
"""Drafts tried of a frame with its hook."""
_WITHOUT_HOOK: Final = 8
"""Drafts tried after these that may drop the hook, which makes a short script easier to fit."""
_A_SECTION: Final = 2
"""Lines, at most, from one section of the body."""
_ASIDES: Final = 3
"""Asides, at most, of one script."""

_SHORT_WORDS: Final = 14
_SHORT_CHARACTERS: Final = 90
"""A title up to this length is repeated whole."""
_CUT_WORDS: Final = 6
_CUT_CHARACTERS: Final = 45
"""What is repeated of a longer one."""
_ASPECT_WORDS: Final = 12
_AGENT_WORDS: Final = 8

_SLOT: Final = re.compile(r"\{(full_title|title|aspect|agent)\}(\.?)")
_SENTENCE_ENDS: Final = (".", "!", "?", "…", "。", "！", "？")
_CUT_OFF: Final = " ,;:.-–—"
_NAMELESS: Final = "…"

_T = TypeVar("_T")
_Name: TypeAlias = tuple[str, int]
"""A line: the list that holds it and its position there, the same in every language."""


class OfflineWriter:
    """Writes scripts from templates: the same prompt always has the same answer.

    What a script says is chosen by title, aspect and variation, never by
    language, and every language has the same lines. An adaptation therefore
    says section by section what the script in the master language says, with
    the foods, places and measures of its own listeners. A title cannot be
    translated here; it is quoted as it was given.
    """

    def complete(self, prompt: Prompt) -> Completion:
        """Compose the script of the prompt's title, aspect and variation.

        Returns:
            A heading, a stage direction and paragraphs: 150 to 400 words in
            all, within 15 % of the target where that lies between the two.

        Raises:
            Refused: `unsupported_language` where there are no templates.
        """
        if prompt.language not in LANGUAGES:
            raise Refused(
                f"no offline templates for {prompt.language}; allowed: {', '.join(LANGUAGES)}",
                code="unsupported_language",
            )
        readings = {language: _Reading(prompt, language) for language in LANGUAGES}
        draft = _Drafting(prompt, readings.values()).fitting()
        return Completion(readings[prompt.language].script(draft), model="offline")


@dataclass(frozen=True, slots=True)
class _Line:
    """A template, and its length: its own words, and the slots that bring others."""

    text: str
    words: int
    slots: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> _Line:
        slots = tuple(match[1] for match in _SLOT.finditer(text))
        return cls(text, len(text.split()) - len(slots), slots)


@dataclass(frozen=True, slots=True)
class _Templates:
    """The lines of one language, by list; the sections are the lists of the body."""

    lists: Mapping[str, tuple[_Line, ...]]
    sections: tuple[str, ...]


@cache
def _templates(language: str) -> _Templates:
    file = resources.files(__package__).joinpath("templates", f"{language}.toml")
    lists = tomllib.loads(file.read_text(encoding="utf-8"))
    body = lists.pop("body")
    return _Templates(
        lists={key: tuple(map(_Line.of, texts)) for key, texts in (lists | body).items()},
        sections=tuple(body),
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """What a script says, in no language yet: names of lines, by paragraph."""

    direction: _Name
    paragraphs: tuple[tuple[_Name, ...], ...]


@dataclass(frozen=True, slots=True)
class _Frame:
    """The lines around the body; of these, only the hook and the focus may be left out."""

    direction: _Name
    hook: _Name
    announcement: _Name
    host: _Name
    lead: _Name
    focus: _Name
    closing: _Name

    @classmethod
    def of(cls, prompt: Prompt, number: int) -> _Frame:
        """A frame for a prompt; the turns keep the variations of one title apart."""
        title, both = (prompt.title,), (prompt.title, prompt.aspect)
        turn = prompt.variation + number
        defaults = default_aspects(prompt.agent.master_language)
        return cls(
            direction=_pick("directions", both, turn),
            hook=_pick("hooks", title, turn),
            announcement=_pick("announcements", both, 3 * turn),
            host=_pick("hosts", both, turn),
            lead=_pick("leads", title, 5 * turn),
            focus=("focus", defaults.index(prompt.aspect))
            if prompt.aspect in defaults
            else _pick("custom", both, turn),
            closing=_pick("closings", both, 3 * turn),
        )

    @property
    def spoken(self) -> tuple[_Name, ...]:
        """The lines that every script says."""
        return self.announcement, self.host, self.lead, self.closing


class _Reading:
    """A prompt as one language would tell it: fills lines and counts their words."""

    def __init__(self, prompt: Prompt, language: str) -> None:
        aspect = translated_aspect(prompt.aspect, prompt.agent.master_language, language)
        title = _one_line(prompt.title)
        self._templates = _templates(language)
        self._values = {
            "full_title": _cut(title, words=_target(prompt) // 5),
            "title": title if _repeatable(title) else _cut(title, _CUT_WORDS, _CUT_CHARACTERS),
            "aspect": _cut(_one_line(aspect), _ASPECT_WORDS),
            "agent": _cut(_one_line(prompt.agent.name), _AGENT_WORDS),
        }
        self._words = {slot: len(value.split()) for slot, value in self._values.items()}

    def words(self, name: _Name) -> int:
        line = self._line(name)
        return line.words + sum(self._words[slot] for slot in line.slots)

    def unspoken_words(self, direction: _Name) -> int:
        """Words of the heading and the stage direction: written, not read aloud."""
        return 1 + self._words["title"] + self.words(direction)

    def script(self, draft: _Draft) -> str:
        paragraphs = [" ".join(map(self._filled, names)) for names in draft.paragraphs]
        direction = f"[{self._filled(draft.direction)}]"
        return "\n\n".join([f"# {self._values['title']}", direction, *paragraphs])

    def _filled(self, name: _Name) -> str:
        """The line with its values, put in at one go: a brace in a value stays a brace."""

        def value(slot: re.Match[str]) -> str:
            text = self._values[slot[1]]
            return text if text.endswith(_SENTENCE_ENDS) else text + slot[2]

        return _SLOT.sub(value, self._line(name).text)

    def _line(self, name: _Name) -> _Line:
        key, position = name
        return self._templates.lists[key][position]


def _target(prompt: Prompt) -> int:
    return min(max(prompt.target_words, MIN_WORDS), MAX_WORDS)


class _Drafting:
    """Chooses what a script says, so that its length is right in every language at once."""

    def __init__(self, prompt: Prompt, readings: Collection[_Reading]) -> None:
        self._prompt = prompt
        self._readings = readings
        self._facts = (prompt.title, prompt.aspect, prompt.variation)
        self._target = _target(prompt)
        self._least = max(MIN_WORDS, round(self._target * (1 - TOLERANCE)))
        self._most = min(MAX_WORDS, int(self._target * (1 + TOLERANCE)))

    def fitting(self) -> _Draft:
        """The first draft that is long enough spoken, or the one that comes nearest."""
        tried = []
        for number in range(_FRAMES):
            frame = _Frame.of(self._prompt, number)
            for attempt in range(_WITH_HOOK + _WITHOUT_HOOK):
                chosen, spoken = self._chosen(frame, self._ranked(frame, attempt))
                tried.append((spoken, frame, chosen))
                if spoken >= self._least:
                    return self._arranged(frame, chosen)
        _, frame, chosen = max(tried, key=operator.itemgetter(0))
        return self._arranged(frame, chosen)

    def _ranked(self, frame: _Frame, attempt: int) -> list[_Name]:
        """The lines that may be added to the frame, first choice first.

        A title too long to be repeated leaves out the lines that would repeat
        it. The asides come again at the end: short as they are, they fill a gap.
        """
        lists = _templates(LANGUAGES[0]).lists
        names = [
            (key, position)
            for key in (*_sections(), "asides")
            for position, line in enumerate(lists[key])
            if "title" not in line.slots or _repeatable(_one_line(self._prompt.title))
        ]
        first = [frame.focus]
        (first if attempt < _WITH_HOOK else names).append(frame.hook)
        ranked = _shuffled(names, *self._facts, attempt)
        return [*first, *ranked, *(name for name in ranked if name[0] == "asides")]

    def _chosen(self, frame: _Frame, ranked: Iterable[_Name]) -> tuple[list[_Name], int]:
        """Add lines to the frame until the script is as long as it should be.

        Returns:
            The added lines, and the words then spoken in the tersest language.
        """
        unspoken = [reading.unspoken_words(frame.direction) for reading in self._readings]
        spoken = [sum(map(reading.words, frame.spoken)) for reading in self._readings]
        chosen: list[_Name] = []
        for name in ranked:
            if min(spoken) >= MIN_WORDS and sum(unspoken + spoken) >= self._target * len(spoken):
                break
            words = (reading.words(name) for reading in self._readings)
            longer = list(map(operator.add, spoken, words))
            fits = max(map(operator.add, unspoken, longer)) <= self._most
            if fits and _has_room(chosen, name):
                spoken = longer
                chosen.append(name)
        return chosen, min(spoken)

    def _arranged(self, frame: _Frame, chosen: Collection[_Name]) -> _Draft:
        """Paragraphs of the frame and the chosen lines, the sections in an order of their own."""
        asides = [name for name in chosen if name[0] == "asides"]
        body = [
            name
            for section in _shuffled(_sections(), *self._facts)
            for name in chosen
            if name[0] == section
        ]
        stride = max(1, len(body) // max(1, len(asides)))
        followers = dict(zip(body[::stride], asides, strict=False))
        left = asides[len(followers) :]
        told = [(name, followers[name]) if name in followers else (name,) for name in body]
        hook = [frame.hook] if frame.hook in chosen else []
        focus = [frame.focus] if frame.focus in chosen else []
        beginning = (*hook, frame.announcement, frame.host)
        return _Draft(
            frame.direction,
            (beginning, (frame.lead, *focus, *left), *told, (frame.closing,)),
        )


def _has_room(chosen: Collection[_Name], name: _Name) -> bool:
    """Whether a script may have this line too; every aside needs a paragraph to follow."""
    limit = _A_SECTION
    if name[0] == "asides":
        limit = min(_ASIDES, 1 + sum(key in _sections() for key, _ in chosen))
    return name not in chosen and sum(key == name[0] for key, _ in chosen) < limit


def _sections() -> tuple[str, ...]:
    return _templates(LANGUAGES[0]).sections


def _pick(key: str, facts: tuple[object, ...], turn: int) -> _Name:
    """One line of a list, by what the facts hash to; each turn moves it on."""
    return key, (_hash(key, *facts) + turn) % len(_templates(LANGUAGES[0]).lists[key])


def _shuffled(items: Iterable[_T], *facts: object) -> list[_T]:
    return sorted(items, key=lambda item: _hash(item, *facts))


def _hash(*facts: object) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(facts).encode()).digest())


def _one_line(text: str) -> str:
    return " ".join(text.split()) or _NAMELESS


def _repeatable(title: str) -> bool:
    return len(title.split()) <= _SHORT_WORDS and len(title) <= _SHORT_CHARACTERS


def _cut(text: str, words: int, characters: int | None = None) -> str:
    """The beginning of a text that is too long, at a word where there is one."""
    kept = " ".join(text.split()[:words])
    if characters is not None and len(kept) > characters:
        kept = kept[: characters + 1].rpartition(" ")[0] or kept[:characters]
    return text if kept == text else f"{kept.rstrip(_CUT_OFF)}…"
