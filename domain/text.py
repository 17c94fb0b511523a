"""Text for the voice: what of a script is said, and in chunks of what size."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# ── What is said ──────────────────────────────────────────────────────────────

_PASSES: Final = 8
"""What one pass uncovers, the next removes; no honest script needs more than three."""


def spoken(text: str) -> str:
    """What of a script reaches the voice.

    Markdown and HTML lose their marks; headings, images, links' addresses, stage
    directions, speaker labels, emoji, control and invisible characters are left
    out altogether. A fenced block keeps its content, since models like to wrap a
    whole script in one. Lines stay lines, and paragraphs stay a blank line apart;
    those with no letter or digit disappear.

    Cleaned text is returned as it is: spoken(spoken(text)) == spoken(text). Any
    string is accepted, in time proportional to its length.

    Returns:
        The text in Unicode's NFC; empty where nothing is left to say.
    """
    for _ in range(_PASSES):
        before, text = text, _without_markup(text)
        if text == before:
            return text
    # Nested deeper than anyone writes: the bare words, in which nothing can hide.
    return _without_markup(re.sub(r"[^\w\n]|_", " ", text))


def _without_markup(text: str) -> str:
    text = _without_invisible(text)
    text = _unescaped(text)
    text = _without_links(text)
    text = _without_html(text)
    text = _without_addresses(text)
    lines = _lines_kept(text.split("\n"))
    text = _without_asides("\n".join(lines))
    text = _without_marks(text)
    text = _without_directions(text)
    return "\n".join(_tidied(text.split("\n")))


# Characters

_NEWLINES: Final = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_KEYCAP: Final = re.compile("[0-9#*]\ufe0f?\u20e3")
_JOINING: Final = "\u0600-\u0dff\u1000-\u109f\u1780-\u17ff"  # Arabic, Indic, Burmese, Khmer
_STRAY_JOINER: Final = re.compile(f"(?<![{_JOINING}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINING}])")
_SYMBOLS: Final = (
    (0x20D0, 0x20FF),  # marks around emoji, keycaps
    (0x2139, 0x2139),
    (0x2190, 0x21FF),  # arrows
    (0x2300, 0x27BF),  # technical, boxes, shapes, dingbats
    (0x2900, 0x297F),
    (0x2B00, 0x2BFF),
    (0x3030, 0x3030),
    (0x303D, 0x303D),
    (0x3297, 0x3299),
    (0xFE00, 0xFE0F),  # variation selectors
    (0x1F000, 0x1FAFF),  # emoji, flags, skin tones
    (0xE0000, 0xE0FFF),  # tags, more variation selectors
)
_SIGNS: Final = {0xA9: "", 0xAE: "", 0x2122: "", 0x203C: "!!", 0x2049: "!?"}
_GONE: Final = "\0"  # stands where a symbol was, until it is known what follows
_GONE_RUN: Final = re.compile(f" ?{_GONE}[ {_GONE}]*+")
_MARKS_IN_A_ROW: Final = 30
"""Unicode's stream-safe limit (UAX 15): composing longer runs takes quadratic time."""


class _Characters(dict[int, str]):
    """What becomes of each code point; filled in as they are met."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(character := chr(code))
        kept = character
        if character != "\n" and category in {"Zs", "Cc"}:
            kept = " " if category == "Zs" or character == "\t" else ""
        elif category in {"Cf", "Cs", "Co", "Cn"} and character not in "\u200c\u200d":
            kept = ""
        elif code in _SIGNS:
            kept = _SIGNS[code]
        elif any(first <= code <= last for first, last in _SYMBOLS):
            kept = "" if category.startswith("M") else _GONE
        self[code] = kept
        return kept


_CHARACTERS: Final = _Characters()


def _without_invisible(text: str) -> str:
    text = _NEWLINES.sub("\n", text)
    if not text.isascii():
        text = _STRAY_JOINER.sub("", _KEYCAP.sub("", text))
    text = text.translate(_CHARACTERS)
    text = _GONE_RUN.sub(lambda run: _between(text[run.end() : run.end() + 1]), text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _stream_safe(text))
    return re.sub(r" {2,}", " ", text)


def _between(following: str) -> str:
    return "" if following in ".,;:!?…)\n" else " "


def _stream_safe(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)


# HTML and addresses

_AMPERSANDS: Final = re.compile(r"&(?:(?:amp|AMP|#0{0,8}38|#[xX]0{0,8}26);)+")
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});")
_HIDDEN: Final = (("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>"))
_HTML_HEADING: Final = re.compile(r"<([hH][1-6])\b[^<>]*+>[^<]*+</\1\s{0,8}>")
_HTML_BREAK: Final = re.compile(
    r"</?(?:br|p|div|li|ul|ol|tr|table|hr|blockquote)\b[^<>]*+>", re.IGNORECASE
)
_HTML_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*+>|<[^<>\s]*+>")
_LINK_ADDRESS: Final = r"\((?:[^()\n]|\([^()\n]*+\))*+\)"
_IMAGE: Final = re.compile(rf"!\[[^\[\]]*+\](?:{_LINK_ADDRESS}|\[[^\[\]\n]*+\])")
_LINK: Final = re.compile(rf"\[([^\[\]]*+)\]{_LINK_ADDRESS}")
_REFERENCE: Final = re.compile(r"\[([^\[\]]*+)\]\[([^\[\]\n]*+)\]")
_DEFINITION: Final = re.compile(
    r"^ ?\[([^\[\]\n]++)\]: ?<?(?:[a-z]+://|mailto:|www\.|[/#])[^\n]*+$",
    re.IGNORECASE | re.MULTILINE,
)
_URL: Final = re.compile(
    r"(?:\b(?:https?|ftp)://|\bmailto:|\bwww\.)[\wÀ-ɏ\-.~:/?#@!$&'*+,;=%()]++",
    re.IGNORECASE | re.ASCII,
)
_MAIL_DOMAIN: Final = re.compile(r"@[a-z0-9-]++(?:\.[a-z0-9-]++)++", re.IGNORECASE)
_MAIL_LOCAL: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+/=?^_{|}~-"
)


def _unescaped(text: str) -> str:
    """`&eacute;` → é, however often the ampersand itself was escaped."""
    if "&" not in text:
        return text
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), _AMPERSANDS.sub("&", text))


def _without_links(text: str) -> str:
    """Links become their labels; images go."""
    if "]" not in text:
        return text
    text = _IMAGE.sub("", text)
    text = _LINK.sub(r"\1", text)
    if defined := {name.casefold() for name in _DEFINITION.findall(text)}:
        text = _DEFINITION.sub("", text)
        text = _REFERENCE.sub(
            lambda link: link[1] if (link[2] or link[1]).casefold() in defined else link[0], text
        )
    return text


def _without_html(text: str) -> str:
    if "<" not in text:
        return text
    for opening, closing in _HIDDEN:
        text = _without_between(text, opening, closing)
    text = _HTML_HEADING.sub("\n", text)
    text = _HTML_BREAK.sub("\n", text)
    return _HTML_TAG.sub("", text)


def _without_between(text: str, opening: str, closing: str) -> str:
    kept, position = [], 0
    while (start := text.find(opening, position)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            break
        kept.append(text[position:start])
        position = end + len(closing)
    return "".join([*kept, text[position:]])


def _without_addresses(text: str) -> str:
    text = _URL.sub(lambda url: url[0][len(url[0].rstrip(".,;:!?)")) :], text)
    kept, position = [], 0
    for domain in _MAIL_DOMAIN.finditer(text):
        start = domain.start()
        while start > position and text[start - 1] in _MAIL_LOCAL:
            start -= 1
        if start < domain.start():
            kept.append(text[position:start])
            position = domain.end()
    return "".join([*kept, text[position:]])


# Lines

_FENCE: Final = re.compile(r" *(?:`{3,}|~{3,}) *[\w+-]* *")
_HEADING: Final = re.compile(r" *(?:> ?)*(?:\*\*|__)?(?:#{1,6}(?: |$)|#{2,6})")
_UNDERLINE: Final = re.compile(r" *(?:=+|-{2,}) *")
_ENDS_SENTENCE: Final = tuple('.!?…:;,。！？؟।”»"')
_LONGEST_HEADING: Final = 100


def _lines_kept(lines: list[str]) -> list[str]:
    """Without headings, fences, rules and the lines between a table's head and body."""
    kept: list[str] = []
    for number, line in enumerate(lines):
        if _HEADING.match(line) or _FENCE.fullmatch(line):
            kept.append("")
        elif "|" in line and not set(line) - set("|:- "):
            continue
        elif _UNDERLINE.fullmatch(line):
            if kept and _is_underlined(kept[-1], lines[number - 2] if number > 1 else "", line):
                kept[-1] = ""
            kept.append("")
        else:
            kept.append(line)
    return kept


def _is_underlined(line: str, above: str, underline: str) -> bool:
    """Whether the line is a heading; dashes below prose are a rule that lacks its blank line."""
    title = line.strip()
    if not title or len(title) > _LONGEST_HEADING or above.strip():
        return False
    return "=" in underline or not title.endswith(_ENDS_SENTENCE)


# Marks

_ASIDE_CHARACTERS: Final = 120
_ASIDE: Final = re.compile(
    rf"\[[^\[\]\n]{{0,{_ASIDE_CHARACTERS}}}+\]|【[^【】\n]{{0,{_ASIDE_CHARACTERS}}}+】"
)
_UNDERSCORES: Final = re.compile(r"_+")
_HASHES: Final = re.compile(r"(?<![\w#])#+|#{2,}")
_TILDES: Final = re.compile(r"~~+|~(?!\d)")
_CELL_BORDER: Final = re.compile(r" ?\|[| ]*+")
_REMOVED: Final = str.maketrans("", "", "*`\\[]【】")


def _without_asides(text: str) -> str:
    """Without what stands in square brackets: `[música]`, `[Som de chuva]`, `[1]`, `[ ]`."""
    return _ASIDE.sub("", text)


def _without_marks(text: str) -> str:
    text = text.translate(_REMOVED)
    if "_" in text:
        text = _UNDERSCORES.sub(lambda run: _in_place_of(run, text), text)
    text = _TILDES.sub("", _HASHES.sub("", text))
    if "|" in text:
        text = "\n".join(line.strip("| ") if "|" in line else line for line in text.split("\n"))
        text = _CELL_BORDER.sub(", ", text)
    return text


def _in_place_of(run: re.Match[str], text: str) -> str:
    """A space within a word, nothing beside it."""
    within = (
        text[max(run.start() - 1, 0) : run.start()].isalnum()
        and text[run.end() : run.end() + 1].isalnum()
    )
    return " " if within else ""


# Directions and labels, in the languages of the offline writer

_LABELS: Final = (
    r"narrador(?:a|es)?|locutor(?:a)?|locução|apresentador(?:a)?|voz em off|voz|"
    r"narrators?|host|speaker|presenter|announcer|voice-?over|voice|"
    r"narración|presentador(?:a)?|voz en off|"
    r"narrateur|narratrice|présentateur|présentatrice|voix off|voix|"
    r"erzähler(?:in)?|sprecher(?:in)?|moderator(?:in)?|stimme|stimme aus dem off|"
    r"narratore|conduttore|conduttrice|presentatore|presentatrice|voce fuori campo|voce narrante|voce|"
    r"v\.? ?o\.?|off"
)
_MONTHS: Final = (
    "januar|jänner|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember"
)
_LINE_START: Final = re.compile(
    r"(?:"
    r" |>|[-+•‣◦·∙–—] (?=.)|[-+•‣◦·∙–—]+$"  # quotes, bullets
    rf"|\d{{1,2}}[.)](?: (?!(?:{_MONTHS}|jahrhundert)\b)|$)"  # "25. März" is no list
    r"|[.,;:!?)]+(?= |$)"  # left behind by what was removed
    rf"|(?:{_LABELS})(?: ?\d{{1,2}})?(?: ?\([^()\n]{{0,40}}\))? ?[:：]"
    r")+",
    re.IGNORECASE,
)
_SOUNDS: Final = (
    r"músicas?|musicas?|trilha(?: sonora)?|vinheta|sons?|som|ruídos?|barulhos?|efeitos? sonoros?|"
    r"music|sounds?|sound effects?|sfx|bgm|jingle|noise|"
    r"música|sonidos?|ruidos?|efectos? (?:de sonido|sonoros?)|sintonía|"
    r"musique|bruits?|bruitages?|effets? sonores?|générique|"
    r"musik|geräusche?|soundeffekte?|klänge?|"
    r"suon[oi]|rumor[ei]|effett[oi] sonor[oi]|sigla"
)
_PAUSES: Final = (
    r"pausas?|silêncio|risos?|risadas?|gargalhadas?|aplausos?|suspiros?|suspira|sussurr\w+|"
    r"pauses?|silence|laughs?|laughter|laughing|chuckles?|applause|sighs?|sighing|whisper\w*|"
    r"silencio|risas?|suspirando|susurr\w+|"
    r"rires?|applaudissements|soupirs?|chuchot\w+|"
    r"pausen?|stille|lachen|lacht|gelächter|applaus|seufz\w*|flüster\w*|"
    r"silenzio|risate?|applausi|sospir\w+|"
    r"fade(?:[- ](?:in|out))|corta(?:r)? para|cut to|em tom|(?:res|ins)pira(?: fundo)?|"
    r"voz em off|voz en off|voix off|v\.? ?o\.?"
)
_ALONE: Final = (
    r"beat|corte|off|intro|outro|transição|transition|transición|übergang|transizione|"
    r"\d{1,2}:\d{2}(?: ?[-–—] ?\d{1,2}:\d{2})?"
)
_QUALITIES: Final = (
    r"de|do|da|e|em|com|para|ao|fundo|ambiente|suave(?:mente)?|calm[ao]|alegres?|tristes?|tens[ao]|"
    r"dramátic[ao]|épic[ao]|animad[ao]|lent[ao]|long[ao]|brev[ei]s?|curt[ao]|misterios[ao]|"
    r"instrumental|crescente|cresce(?:ndo)?|começa|termina|sobe|baixa|entra|sai|diminui|para|chuva|"
    r"of|and|in|out|up|down|the|a|soft(?:ly)?|gentle|gently|quiet(?:ly)?|upbeat|background|calm|"
    r"dramatic(?:ally)?|long|short|brief|tense|sad|happy|epic|ambient|fades?|fading|swells?|starts?|"
    r"stops?|plays?|playing|ends?|begins?|rises?|rain|thoughtful|slow(?:ly)?|"
    r"y|con|en|fondo|lluvia|sube|baja|empieza|cort[ao]|larg[ao]|dramátic[ao]|tranquil[ao]|"
    r"et|fond|du|douce?(?:ment)?|calme|triste|longue?|courte?|brève|dramatique|lente?|"
    r"monte|baisse|pluie|légère?|"
    r"und|im|hintergrund|leise|sanfte?|ruhige?|kurze?|lange?|dramatische?|regen|setzt|ein|"
    r"sottofondo|di|dolce|breve|lung[ao]|cort[ao]|drammatic[ao]|sale|scende|pioggia|"
    r"\d{1,2}|s|seg|segundos?|seconds?|secondes?|sekunden?|secondi|secondo"
)
_ADJECTIVES: Final = (
    r"soft|gentle|quiet|upbeat|background|calm|dramatic|tense|sad|happy|epic|ambient|slow|long|short|"
    r"brief|breve|long[ao]|curt[ao]|suave|leve|douce|longue|courte|brève|légère|"
    r"leise|sanfte|ruhige|kurze|lange|dramatische|dolce|lung[ao]"
)
_CUE: Final = re.compile(
    rf"(?:(?:{_ADJECTIVES}) )?(?:{_ALONE}|{_SOUNDS}|{_PAUSES})(?:[ ,:;.-]{{1,2}}(?:{_QUALITIES})\b){{0,8}}[.…]?",
    re.IGNORECASE,
)
_OPENS_CUE: Final = re.compile(
    rf"(?:(?:{_ADJECTIVES}) )?(?:{_SOUNDS}|{_PAUSES})\b[^\n]*(?<![.!?])", re.IGNORECASE
)
_PARENTHESIS: Final = re.compile(r"[(（]([^()（）\n]{1,80})[)）]")
_EMPTY_PAIR: Final = re.compile(r"\( ?\)|（ ?）|“ ?”|« ?»|「」|『』")


def _without_directions(text: str) -> str:
    """Without `(música suave)` anywhere, and `(Som de passos ao longe)` between sentences.

    A parenthesis in the midst of a sentence stays unless it is a cue word for
    word: "a MPB (música popular brasileira)" is prose.
    """
    if "(" in text or "（" in text:
        text = _PARENTHESIS.sub(lambda found: _parenthesis_kept(found, text), text)
    return _EMPTY_PAIR.sub("", text)


def _parenthesis_kept(found: re.Match[str], text: str) -> str:
    inside = found[1].strip()
    if _CUE.fullmatch(inside):
        return ""
    before = text[max(found.start() - 40, 0) : found.start()].rpartition("\n")[2].rstrip(" ")
    between = not before or before.endswith(_ENDS_SENTENCE)
    return "" if between and _OPENS_CUE.fullmatch(inside) else found[0]


def _tidied(lines: list[str]) -> Iterator[str]:
    """Lines that say something, single spaces, at most one blank line between them."""
    blank = said = False
    for raw in lines:
        line = re.sub(r" {2,}", " ", raw)
        start = _LINE_START.match(line)
        line = line[start.end() :] if start else line
        line = re.sub(r" +(?=[,.](?: |$))", "", line).strip(" ")
        if not any(map(str.isalnum, line)):
            blank = True
            continue
        if blank and said:
            yield ""
        blank, said = False, True
        yield line


# ── In chunks of what size ────────────────────────────────────────────────────

_TERMINATORS: Final = ".!?…‥。．！？｡؟۔।॥։።"
_WIDE_TERMINATORS: Final = "。！？｡"  # need no space behind them
_ALL_TERMINATORS: Final = tuple(_TERMINATORS)
_ALL_WIDE_TERMINATORS: Final = tuple(_WIDE_TERMINATORS)
_CLOSERS: Final = "\"'”’»›)]}」』】）〉》"
_CLAUSE_MARKS: Final = ",;:،؛、，；：–—"
_WIDE_CLAUSE_MARKS: Final = "、，；："
_SENTENCE_END: Final = re.compile(
    rf"[{re.escape(_TERMINATORS)}]++[{re.escape(_CLOSERS)}]*+(?=\s|$)"
    rf"|[{re.escape(_WIDE_TERMINATORS)}]++[{re.escape(_CLOSERS)}]*+"
)
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(\"“«'’])(?:[^\W\d]|[A-Za-z]\.\w|dr|dra|sr|sra|srta|prof|profa|st|sto|sta|mr|mrs|ms|jr|nr|nº|n|"
    r"art|pág|pag|vol|cap|etc|ca|bzw|usw|vs|av|mme|mlle|sig|dott|frl|hrsg)\.$",
    re.IGNORECASE,
)
_SMALLEST_CHUNK: Final = 8  # bytes: one character of four, and a full stop of three
_FULL_STOP_BYTES: Final = 3  # of the widest, `。`
_SHORTEST_SENTENCE: Final = 2  # one character, and its full stop


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence, and the white space that led up to it."""

    text: str
    gap: str


def chunks(text: str, max_bytes: int, max_sentence: int) -> list[str]:
    """Text in pieces that a voice accepts, as few as fit.

    A voice takes for a sentence what lies between two sentence endings, so a
    sentence that is too long is split at its commas, then at spaces, then
    anywhere but within a character with its accents, and each piece is given a
    full stop; so is a line without one that another follows. All letters and
    digits stay, in their order; pieces that hold none are left out.

    Args:
        text: cleaned for speech.
        max_bytes: of UTF-8 in a chunk; at least 8.
        max_sentence: characters of a sentence; at least 2.

    Raises:
        ValueError: where a limit leaves no room for a character.
    """
    if max_bytes < _SMALLEST_CHUNK or max_sentence < _SHORTEST_SENTENCE:
        raise ValueError(
            f"limits of {max_bytes} bytes and {max_sentence} characters are too small: "
            f"at least {_SMALLEST_CHUNK} and {_SHORTEST_SENTENCE}"
        )
    packed: list[str] = []
    parts: list[str] = []
    used = 0
    for sentence in _within(text.encode(errors="ignore").decode(), max_bytes, max_sentence):
        if parts:
            closed = _closed(parts[-1])
            gap = sentence.gap or _least_gap(closed)
            size = _size(closed) - _size(parts[-1]) + _size(gap + sentence.text)
            if used + size <= max_bytes and len(closed) <= max_sentence:
                parts[-1:] = closed, gap, sentence.text
                used += size
                continue
            packed.append("".join(parts))
        parts, used = [sentence.text], _size(sentence.text)
    return [*packed, "".join(parts)] if parts else packed


def _within(text: str, max_bytes: int, max_sentence: int) -> Iterator[_Sentence]:
    """Sentences, each within both limits and with something to say."""
    for sentence in _sentences(text):
        if len(sentence.text) <= max_sentence and _size(sentence.text) <= max_bytes:
            pieces = iter([sentence])
        else:
            pieces = _pieces(sentence, max_bytes, max_sentence)
        yield from (piece for piece in pieces if any(map(str.isalnum, piece.text)))


def _sentences(text: str) -> Iterator[_Sentence]:
    gap = ""
    for line in _lines(text):
        start = 0
        for end in _ends(line):
            part = line[start:end]
            if bare := part.strip():
                yield _Sentence(bare, gap or (" " if part[0] == " " else ""))
                gap = ""
            start = end
        gap = "\n"


def _lines(text: str) -> Iterator[str]:
    """Lines in single spaces; one that goes on in lower case has only been wrapped."""
    wrapped: list[str] = []
    for line in text.splitlines():
        bare = " ".join(line.split())
        if wrapped and not (bare[:1].islower() and not wrapped[-1].endswith(_ALL_TERMINATORS)):
            yield " ".join(wrapped)
            wrapped = []
        if bare:
            wrapped.append(bare)
    if wrapped:
        yield " ".join(wrapped)


def _ends(line: str) -> Iterator[int]:
    """Where sentences end: only where any voice would say so, since a longer guess is safer."""
    for found in _SENTENCE_END.finditer(line):
        end = found.end()
        if found[0][0] not in _WIDE_TERMINATORS:
            goes_on = line[end + 1 : end + 2].islower()
            short = found[0] == "." and _ABBREVIATION.search(line[max(end - 12, 0) : end])
            if goes_on or short:
                continue
        yield end
    yield len(line)


def _pieces(sentence: _Sentence, max_bytes: int, max_sentence: int) -> Iterator[_Sentence]:
    """A sentence that is too long, in sentences that are not."""
    text, gap, start = sentence.text, sentence.gap, 0
    while start < len(text):
        end = _reach(text, start, max_bytes, max_sentence)
        if end < len(text):
            room = _reach(text, start, max_bytes - _FULL_STOP_BYTES, max_sentence - 1)
            end = _break(text, start, room)
        piece = text[start:end].strip()
        if piece:
            yield _Sentence(_closed(piece) if end < len(text) else piece, gap)
            gap = ""
        start = end


def _reach(text: str, start: int, max_bytes: int, max_characters: int) -> int:
    """The furthest end of a piece within both limits."""
    end = min(start + max_characters, start + max_bytes, len(text))
    encoded = text[start:end].encode()
    return start + len(encoded[:max_bytes].decode(errors="ignore"))


def _break(text: str, start: int, end: int) -> int:
    """The last place up to `end` to break at: a clause, a space, a whole character."""
    for index in range(end - 1, start, -1):
        mark = text[index]
        if mark in _WIDE_CLAUSE_MARKS or (mark in _CLAUSE_MARKS and text[index + 1] == " "):
            return index + 1
    space = text.rfind(" ", start + 1, end + 1)
    if space > 0:
        return space
    whole = end
    while whole > start + 1 and _within_character(text, start, whole):
        whole -= 1
    # Only a letter under more accents than fit is ever broken.
    return end if _within_character(text, start, whole) else whole


_JOINERS: Final = "\u200c\u200d"
_VIRAMA: Final = 9  # canonical combining class: joins the next letter to this one


def _within_character(text: str, start: int, index: int) -> bool:
    """Whether a break at the index would tear apart what a reader sees as one character.

    Flags are pairs; they are counted from the start, which is no break itself.
    """
    before, after = text[index - 1], text[index]
    if before == "\u200d" or after in _JOINERS or unicodedata.category(after)[0] == "M":
        return True
    if unicodedata.combining(before) == _VIRAMA:
        return True
    if _is_flag_half(before) and _is_flag_half(after):
        first = index - 1
        while first > start and _is_flag_half(text[first - 1]):
            first -= 1
        return (index - first) % 2 == 1
    code = ord(after)
    return (
        0x1160 <= code <= 0x11FF  # Hangul vowels and finals
        or 0x1F3FB <= code <= 0x1F3FF  # skin tones
        or 0xE0020 <= code <= 0xE007F  # tags, of regional flags
    )


def _is_flag_half(character: str) -> bool:
    return 0x1F1E6 <= ord(character) <= 0x1F1FF


def _closed(text: str) -> str:
    """With a sentence ending, in place of a comma where there is one."""
    if text.rstrip(_CLOSERS).endswith(_ALL_TERMINATORS):
        return text
    bare = text.rstrip(_CLAUSE_MARKS + " ")
    last = next(filter(str.isalnum, reversed(bare)), "")
    return bare + ("。" if _is_wide(last) else ".")


def _least_gap(ended: str) -> str:
    """What must follow a sentence for its end to be seen."""
    return "" if ended.rstrip(_CLOSERS).endswith(_ALL_WIDE_TERMINATORS) else " "


def _is_wide(character: str) -> bool:
    """Chinese characters and kana, whose full stop is `。`."""
    return bool(character) and (
        0x3040 <= ord(character) <= 0x30FF
        or 0x3400 <= ord(character) <= 0x9FFF
        or 0xF900 <= ord(character) <= 0xFAFF
        or 0x20000 <= ord(character) <= 0x3FFFF
    )


def _size(text: str) -> int:
    return len(text.encode())
