"""What of a script reaches the voice, and in chunks of what size."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.text import chunks, spoken

CLOSERS = r"""["'”’»›)\]}」』】）〉》]"""
SENTENCE_ENDS = re.compile(rf"(?<=[.!?…]){CLOSERS}*\s+|(?<=[。！？])\s*")

MARKUP = st.lists(
    st.sampled_from(
        [
            *'#*_~`[]()<>|!-+>=:.,&;@/\\\n \t"“«【】（）0159aeé',
            *("# ", "## ", "- ", "1. ", "> ", "**", "~~", "```", "---", "***", "| ", "\n\n"),
            *("](", "![", "[x](", "https://", "www.", "a@b.c", "&amp;", "&lt;", "&#38;", "<b>"),
            *("<!--", "-->", "Narrador:", "(pausa)", "(música ", "[música]", "25. März", "V.O."),
            *(
                "\u200b",
                "\u200d",
                "\u202e",
                "\u0301",
                "\ufe0f",
                "\u20e3",
                "👩",
                "🇧",
                "☕",
                "あ",
                "。",
            ),
        ]
    ),
    max_size=40,
).map("".join)
ANY_TEXT = st.text(max_size=200) | MARKUP
WITH_SURROGATES = st.text(st.characters(exclude_categories=()), max_size=50)


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Olá **mundo**, *muito* __bem__ _vindo_ ~~nunca~~.", "Olá mundo, muito bem vindo nunca."),
        ("Use o `café` ``aqui``.", "Use o café aqui."),
        ("Leia [o livro](https://x.com/a_(b)) hoje.", "Leia o livro hoje."),
        ("Leia [o livro][1] hoje.\n\n[1]: https://x.com", "Leia o livro hoje."),
        ("Antes ![gráfico](grafico.png) depois.", "Antes depois."),
        ("> Uma citação\n>> dentro de outra", "Uma citação\ndentro de outra"),
        ("- um\n* dois\n+ três\n• quatro", "um\ndois\ntrês\nquatro"),
        ("1. um\n2) dois", "um\ndois"),
        ("- [ ] um\n- [x] dois", "um\ndois"),
        ("Antes.\n\n---\n\nDepois.\n\n* * *\n\nFim.", "Antes.\n\nDepois.\n\nFim."),
        ("| País | Sacas |\n|------|------:|\n| Brasil | 60 |", "País, Sacas\nBrasil, 60"),
        ("```text\nEra uma vez.\n```", "Era uma vez."),
        ("<p>Olá <b>mundo</b></p><!-- nota -->", "Olá mundo"),
        ("Um<br>dois", "Um\ndois"),
        ("Caf&eacute; &amp; ch&#225; &amp;amp; mais", "Café & chá & mais"),
        ("\\*Não\\* é ênfase", "Não é ênfase"),
    ],
)
def test_marks_do_not_reach_the_voice(written: str, said: str) -> None:
    """Markdown and HTML lose their marks and keep their words."""
    assert spoken(written) == said


@pytest.mark.parametrize(
    "written",
    [
        "# A história do café\n\nTexto.",
        "### **Introdução** ###\nTexto.",
        "##Sem espaço\nTexto.",
        "A história do café\n==================\n\nTexto.",
        "A história do café\n---\nTexto.",
        "<h2>A história</h2>Texto.",
        "> # Citado\n\nTexto.",
    ],
)
def test_headings_do_not_reach_the_voice(written: str) -> None:
    """A heading is left out with its words, however it is written."""
    assert spoken(written) == "Texto."


def test_a_rule_below_prose_is_no_underline() -> None:
    """Dashes right under a sentence do not turn it into a heading."""
    assert spoken("Foi em 1727.\n---\nDepois cresceu.") == "Foi em 1727.\n\nDepois cresceu."


@pytest.mark.parametrize(
    "written",
    [
        "[música] Olá.",
        "[Som de chuva]\n\nOlá.",
        "(música suave) Olá.",
        "(música de fundo começa)\nOlá.",
        "Olá (pausa).",
        "*(pausa dramática)* Olá.",
        "*[music fades]* Olá.",
        "(Soft music plays) Olá.",
        "(Som de passos ao longe) Olá.",
        "(leise Musik im Hintergrund) Olá.",
        "(musique douce) Olá.",
        "(risas) Olá.",
        "(silenzio) Olá.",
        "【音楽】 Olá.",
        "[00:15] (0:15 - 0:30) Olá.",
        "**Narrador:** Olá.",
        "NARRADOR: Olá.",
        "Narrator (V.O.): Olá.",
        "Narradora [tom calmo]: Olá.",
        "Locutor 2: Olá.",
        "Narrateur : Olá.",
        "*Erzählerin:* Olá.",
        "Voce narrante: Olá.",
        "Voz en off: Olá.",
    ],
)
def test_directions_do_not_reach_the_voice(written: str) -> None:
    """Stage directions and speaker labels are left out, in the six languages."""
    assert spoken(written) == "Olá."


@pytest.mark.parametrize(
    "prose",
    [
        "Pedro I (1822) e o país (o Brasil) seguiram.",
        "A MPB (música popular brasileira) nasceu.",
        "Acabou. (A música era proibida na época.) Depois voltou.",
        "Tom Jobim (pianista) tocava; o narrador: ninguém.",
        "Custa R$ 3,50, ou 3.14 em C#, e < 5 % & mais.",
        "Comment ça va ? Très bien !",
        "25. März 1872 war ein Montag.",
        "1822. O ano da independência.",
        "Bom dia — disse ela — e saiu.",
        "Ele disse “sim” e «não» e \"talvez\" 'sempre'.",
        "クッキー「おいしい」です。",
        "می‌خواهم क्‍ष",
    ],
)
def test_prose_is_left_as_it_is(prose: str) -> None:
    """Ordinary parentheses, numbers, quotes and scripts go through untouched."""
    assert spoken(prose) == prose


@pytest.mark.parametrize(
    "written",
    [
        "Olá 👋🏽 mundo!",
        "Olá 👨‍👩‍👧‍👦 mundo 🇧🇷!",
        "Olá 1️⃣ mundo ❤️!",
        "Olá ☕️ mundo ✨!",
        "Olá☕mundo!",
        "Olá https://exemplo.com/a?b=c#d mundo!",
        "Olá <https://exemplo.com> mundo!",
        "Olá (www.exemplo.com.br/x) mundo!",
        "Olá ana.silva+news@exemplo.com.br mundo!",
        "Olá\u00a0\t mundo!",
        "\ufeffO\u200bl\u00adá\u202e \u2066mundo\u0007!",
        "Ola\u0301 mundo!",
    ],
)
def test_what_cannot_be_said_is_left_out(written: str) -> None:
    """Emoji, addresses and invisible characters vanish, and leave single spaces."""
    assert spoken(written) == "Olá mundo!"


def test_paragraphs_stay_apart() -> None:
    """Lines stay lines and paragraphs one blank line apart, whatever lay between."""
    assert spoken("Um.\r\nDois.\r\n\r\n\r\n[música]\n\nTrês.") == "Um.\nDois.\n\nTrês."


@pytest.mark.parametrize(
    "written", ["", " \n ", "***", "# Só título", "[música]", "🎵🎶", "...!?", "()"]
)
def test_nothing_to_say_is_empty(written: str) -> None:
    """A text without a letter or digit to say comes out empty."""
    assert spoken(written) == ""


@given(ANY_TEXT | WITH_SURROGATES)
@settings(deadline=None)
def test_cleaning_again_changes_nothing(text: str) -> None:
    """Any string can be cleaned, and what was cleaned once stays as it is."""
    said = spoken(text)
    assert spoken(said) == said
    assert said == said.strip()
    said.encode()


@pytest.mark.parametrize("layers", [3, 300])
def test_deep_nesting_comes_to_rest(layers: int) -> None:
    """Marks within marks within marks are all removed, however deep."""
    text = "(" * layers + "a&amp;" * layers + "[x](" * layers + "pausa)" * layers
    said = spoken(text)
    assert spoken(said) == said


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "[",
            "](",
            "![",
            "<",
            "<a",
            "<!--",
            "(",
            "((pausa)",
            "[a](",
            "&amp;",
            "&#38;#38;",
            "*",
            "_",
        ),
        *(
            "#",
            "> ",
            "- ",
            "1. ",
            "|",
            "=\n",
            "```\n",
            "😀 ",
            "🇧",
            "\u0327\u0301",
            "a@",
            "@b.",
            "www.",
        ),
        *("http://", "Narrador: ", "(música ", "~", " ,", "\u200d", "\u2028", "あ", "a, "),
    ],
)
def test_hostile_text_takes_no_longer_than_prose(unit: str) -> None:
    """Fifty thousand characters of one mark, opened and never closed, come to an end.

    A pattern that starts over at every mark would take minutes here.
    """
    text = unit * (50_000 // len(unit))
    assert len(spoken(text)) <= len(text)
    assert len("".join(chunks(text, 5000, 300))) <= 2 * len(text)


# Chunks


@given(ANY_TEXT, st.integers(8, 120), st.integers(2, 60))
@example("0000000:。0", 8, 2)
@settings(max_examples=300, deadline=None)
def test_chunks_keep_to_both_limits(text: str, max_bytes: int, max_sentence: int) -> None:
    """No chunk and no sentence in it is over its limit, and no letter or digit is lost."""
    made = chunks(text, max_bytes, max_sentence)
    assert letters("".join(made)) == letters(text)
    for chunk in made:
        assert letters(chunk)
        assert len(chunk.encode()) <= max_bytes
        assert max(map(len, SENTENCE_ENDS.split(chunk))) <= max_sentence


# Words before and after which nobody doubts that a sentence ends.
PLAIN_SENTENCES = st.lists(
    st.tuples(
        st.text("BÉ5あ", min_size=2, max_size=30),
        st.sampled_from([". ", "! ", "。", "\n", ", ", " "]),
    ).map("".join),
    max_size=40,
).map("".join)


@given(PLAIN_SENTENCES, st.integers(40, 200), st.integers(8, 40))
@settings(deadline=None)
def test_chunks_are_packed_greedily(text: str, max_bytes: int, max_sentence: int) -> None:
    """The first sentence of a chunk would not have fitted into the chunk before it."""
    made = chunks(text, max_bytes, max_sentence)
    for chunk, following in itertools.pairwise(made):
        first = SENTENCE_ENDS.split(following)[0]
        room = max_bytes - len(chunk.encode())
        closing_and_space = 4
        assert (
            len(first.encode()) + closing_and_space > room
            or len(SENTENCE_ENDS.split(chunk)[-1]) >= max_sentence
        )


def test_a_short_text_is_one_chunk() -> None:
    """A text within the limits is one chunk, word for word."""
    text = "Olá, mundo. O Dr. Silva mediu 3.14 metros! E depois? “Nada.” Fim"
    assert chunks(text, 5000, 300) == [text]


@pytest.mark.parametrize("text", ["", " \n\n ", "...", "—"])
def test_an_empty_text_has_no_chunks(text: str) -> None:
    """Where there is nothing to say there is no chunk."""
    assert chunks(text, 5000, 300) == []


def test_chunks_end_with_sentences() -> None:
    """A text over the limit is cut where sentences end."""
    assert chunks("Um dois três. Quatro cinco! Seis sete? Oito", 30, 300) == [
        "Um dois três. Quatro cinco!",
        "Seis sete? Oito",
    ]


def test_a_number_is_not_split() -> None:
    """A decimal point ends no sentence, and a comma within a number is no place to break."""
    assert chunks("Vale 3.14 ou 1,234 reais, mais ou menos.", 5000, 27) == [
        "Vale 3.14 ou 1,234 reais. mais ou menos."
    ]


def test_long_sentences_become_sentences_at_their_commas() -> None:
    """A sentence that is too long is told apart by full stops in place of commas."""
    text = "O café chegou ao Brasil, cresceu no vale; depois, foi para o oeste"
    assert chunks(text, 5000, 45) == [
        "O café chegou ao Brasil, cresceu no vale. depois, foi para o oeste"
    ]


def test_long_sentences_without_commas_are_split_at_spaces() -> None:
    """Where there is no comma, a space will do, and no word is torn apart."""
    (chunk,) = chunks("palavra " * 50, 5000, 40)
    assert set(chunk.replace(".", "").split()) == {"palavra"}
    assert max(map(len, chunk.split(". "))) <= 40


def test_chinese_and_japanese_get_their_own_full_stop() -> None:
    """A split Japanese sentence ends in 。 and needs no space."""
    assert chunks("今日は晴れ、明日は雨、明後日は雪", 5000, 8) == [
        "今日は晴れ。明日は雨。明後日は雪"
    ]


def test_unended_lines_are_told_apart() -> None:
    """Lines without a full stop get one where another follows; wrapped lines do not."""
    assert chunks("Café:\nAçúcar\nLeite quente\ncom espuma", 5000, 300) == [
        "Café.\nAçúcar.\nLeite quente com espuma"
    ]


@pytest.mark.parametrize(
    "unit", ["e\u0301", "👩‍👩‍👧", "🇧🇷", "👍🏽", "क्षि", "\u1112\u1161\u11ab", "\U00020bb7"]
)
def test_characters_are_never_torn_apart(unit: str) -> None:
    """Accents, joined emoji, flags, conjuncts and syllables stay whole."""
    made = chunks(f"a{unit}" * 200, 97, 31)
    words = re.split(r"[.。\s]+", "".join(made))
    assert "".join(words) == f"a{unit}" * 200
    assert all(re.fullmatch(f"(?:{unit})?(?:a{unit})*a?", word) for word in words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Em 1727, o café chegou ao Brasil pelas mãos de Palheta. " * 360, 5),
        ("Em 1727, o café chegou ao Brasil pelas mãos de Palheta, e " * 360, 5),
        ("palavra " * 2500, 5),
        ("珈琲の歴史はとても長くて面白いものです" * 351, 5),
        ("珈琲の歴史はとても長くて、面白いものです。" * 318, 5),
        ("ก็" * 3334, 5),
    ],
    ids=["sentences", "commas", "words", "Japanese", "Japanese with stops", "Thai"],
)
def test_twenty_thousand_bytes_fit_the_service(text: str, expected: int) -> None:
    """A long script in any script becomes as few requests as its bytes allow."""
    assert len(text.encode()) >= 19_900
    made = chunks(text, 5000, 300)
    assert letters("".join(made)) == letters(text)
    assert all(len(chunk.encode()) <= 5000 for chunk in made)
    assert all(len(part) <= 300 for chunk in made for part in SENTENCE_ENDS.split(chunk))
    assert len(made) == expected


@pytest.mark.parametrize(("max_bytes", "max_sentence"), [(0, 300), (7, 300), (5000, 1), (-1, -1)])
def test_absurd_limits_are_refused(max_bytes: int, max_sentence: int) -> None:
    """Limits that leave no room for a character are a caller's mistake."""
    with pytest.raises(ValueError, match="too small"):
        chunks("Olá", max_bytes, max_sentence)
