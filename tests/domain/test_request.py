"""What a client may ask for, and what it is told otherwise."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.request import (
    MAX_BYTES,
    AgentConfig,
    BatchRequest,
    Problem,
    RequestError,
    build_request,
    decode_json,
    field_path,
    parse_request,
)
from tests.builders import agent_document, batch_request, encoded, request_document

LANGUAGE_HINT = "is not a known BCP-47 language tag; write it like pt-BR, en-US or ja-JP"
REQUEST_FIELDS = "allowed: agent, batch_id, owner, titles, variations, version"
AGENT_FIELDS = (
    "allowed: aspects, instructions, master_language, max_output_tokens, model, name, "
    "speaking_rate, target_languages, target_minutes, temperature, thinking_budget, top_k, "
    "top_p, voices"
)


def problems_of(document: Any, **kwargs: Any) -> list[str]:
    """What a client is told; none where the request is accepted."""
    data = document if isinstance(document, bytes) else encoded(document)
    try:
        parse_request(data, **kwargs)
    except RequestError as error:
        return [str(problem) for problem in error.problems]
    return []


def with_agent(**fields: Any) -> dict[str, Any]:
    return request_document(agent=agent_document(**fields))


def test_titles_and_languages_are_enough() -> None:
    """Everything else has a default."""
    request = parse_request(encoded(request_document()))
    assert request == BatchRequest(
        titles=("A história do café",), agent=AgentConfig(target_languages=("pt-BR",))
    )
    assert (request.batch_id, request.owner, request.variations) == (None, "unknown", 1)
    assert request.agent.master_language == "pt-BR"


def test_the_documented_request_is_accepted_whole() -> None:
    """Every field of version 1 is kept as it was given."""
    document = {
        "version": 1,
        "batch_id": "cafe-2026",
        "owner": "ana@example.com",
        "titles": ["A história do café", "Como o café chegou ao Brasil"],
        "variations": 3,
        "agent": {
            "name": "Documentarista",
            "instructions": "Tom caloroso, segunda pessoa, sem jargão.",
            "master_language": "pt-BR",
            "target_languages": ["pt-BR", "en-US", "es-ES"],
            "aspects": ["história", "curiosidades", "impacto cultural"],
            "voices": {"pt-BR": "pt-BR-Chirp3-HD-Aoede"},
            "speaking_rate": 1.1,
            "model": "gemini-2.5-flash",
            "temperature": 0.9,
            "top_p": 0.95,
            "top_k": 40,
            "max_output_tokens": 8192,
            "thinking_budget": 0,
            "target_minutes": 3.5,
        },
    }
    request = parse_request(encoded(document))
    assert request.model_dump(mode="json") == document
    assert (request.items_per_job, request.total_items) == (9, 18)


def test_names_of_the_replaced_system_mean_the_same() -> None:
    """A request in the old names is the request in the new ones."""
    old = {
        "titulos": ["Café"],
        "num_variacoes": 2,
        "owner_email": "ana@example.com",
        "agente_config": {
            "idioma_master": "en-US",
            "idiomas_alvo": ["pt-BR", "es-ES"],
            "aspectos": ["história"],
        },
    }
    new = {
        "titles": ["Café"],
        "variations": 2,
        "owner": "ana@example.com",
        "agent": {
            "master_language": "en-US",
            "target_languages": ["pt-BR", "es-ES"],
            "aspects": ["história"],
        },
    }
    assert parse_request(encoded(old)) == parse_request(encoded(new))


def test_problems_are_told_in_the_names_the_client_wrote() -> None:
    """A path holds the old name where the client used it, the new one of what is missing."""
    document = {
        "titulos": [""],
        "num_variacoes": 0,
        "owner_email": "",
        "agente_config": {"idioma_master": "xx", "aspectos": [1]},
    }
    assert problems_of(document) == [
        'owner_email: must not be empty (got "")',
        'titulos[0]: must not be empty (got "")',
        "num_variacoes: must be greater than or equal to 1 (got 0)",
        f'agente_config.idioma_master: {LANGUAGE_HINT} (got "xx")',
        "agente_config.target_languages: is required",
        "agente_config.aspectos[0]: must be text; put it in quotes (got 1)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("titulos", "titles", ["Chá"]),
        ("num_variacoes", "variations", 1),
        ("owner_email", "owner", "rui@example.com"),
        ("agente_config", "agent", {"target_languages": ["en-US"]}),
    ],
)
def test_a_field_under_both_names_is_an_error(old: str, new: str, value: Any) -> None:
    """Neither of two values is silently dropped."""
    document = {"variations": 1, "owner": "ana@example.com", **request_document(), old: value}
    assert problems_of(document) == [f"{old}: is another name of {new}, which is given as well"]


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("idioma_master", "master_language", "pt-BR"),
        ("idiomas_alvo", "target_languages", ["pt-BR"]),
        ("aspectos", "aspects", ["história"]),
    ],
)
def test_an_agents_field_under_both_names_is_an_error(old: str, new: str, value: Any) -> None:
    """Even where both say the same."""
    assert problems_of(with_agent(**{new: value, old: value})) == [
        f"agent.{old}: is another name of {new}, which is given as well"
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"titles": []}, "titles: needs at least 1, has 0"),
        ({"titles": ["x"] * 10_001}, "titles: takes at most 10,000, has 10001"),
        ({"titles": ["é" * 501]}, "titles[0]: must be at most 500 characters long"),
        ({"titles": ["Café", ""]}, 'titles[1]: must not be empty (got "")'),
        ({"variations": 0}, "variations: must be greater than or equal to 1 (got 0)"),
        ({"variations": 21}, "variations: must be less than or equal to 20 (got 21)"),
        ({"owner": "x" * 201}, "owner: must be at most 200 characters long"),
        ({"version": 2}, "version: must be 1 (got 2)"),
        (
            {
                "titles": ["x"] * 10_000,
                "variations": 20,
                "agent": {"target_languages": ["pt", "en"]},
            },
            "asks for 400000 narrations (titles x variations x languages); at most 200000",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_limits_of_a_request(fields: dict[str, Any], problem: str) -> None:
    """Beyond each limit there is one problem, which names the field and the limit."""
    (told,) = problems_of(request_document(**fields))
    assert told.startswith(problem)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"target_languages": []}, "agent.target_languages: needs at least 1, has 0"),
        ({"target_languages": ["pt-BR"] * 51}, "agent.target_languages: takes at most 50, has 51"),
        ({"aspects": ["x"] * 21}, "agent.aspects: takes at most 20, has 21"),
        ({"aspects": ["x" * 201]}, "agent.aspects[0]: must be at most 200 characters long"),
        ({"instructions": "x" * 20_001}, "agent.instructions: must be at most 20000 characters"),
        ({"name": "x" * 201}, "agent.name: must be at most 200 characters long"),
        ({"model": ""}, "agent.model: must not be empty"),
        ({"voices": {"pt-BR": ""}}, "agent.voices.pt-BR: must not be empty"),
        ({"speaking_rate": 0.2}, "agent.speaking_rate: must be greater than or equal to 0.25"),
        ({"speaking_rate": 2.1}, "agent.speaking_rate: must be less than or equal to 2"),
        ({"temperature": -0.1}, "agent.temperature: must be greater than or equal to 0"),
        ({"temperature": 2.1}, "agent.temperature: must be less than or equal to 2"),
        ({"top_p": -0.1}, "agent.top_p: must be greater than or equal to 0"),
        ({"top_p": 1.1}, "agent.top_p: must be less than or equal to 1"),
        ({"top_k": 0}, "agent.top_k: must be greater than or equal to 1"),
        ({"top_k": 1001}, "agent.top_k: must be less than or equal to 1000"),
        ({"max_output_tokens": 63}, "agent.max_output_tokens: must be greater than or equal to 64"),
        ({"max_output_tokens": 65_537}, "agent.max_output_tokens: must be less than or equal to"),
        ({"thinking_budget": -2}, "agent.thinking_budget: must be greater than or equal to -1"),
        ({"thinking_budget": 32_769}, "agent.thinking_budget: must be less than or equal to 32768"),
        ({"target_minutes": 0.2}, "agent.target_minutes: must be greater than or equal to 0.25"),
        ({"target_minutes": 60.5}, "agent.target_minutes: must be less than or equal to 60"),
        (
            {"master_language": "en-x-" + "a-" * 20 + "b"},
            "agent.master_language: must be at most 35 characters long",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_limits_of_an_agent(fields: dict[str, Any], problem: str) -> None:
    """Beyond each limit there is one problem, which names the field and the limit."""
    (told,) = problems_of(with_agent(**fields))
    assert told.startswith(problem)


@pytest.mark.parametrize(
    "document",
    [
        request_document(titles=["x"] * 10_000, variations=20),
        request_document(titles=["é" * 500, "x"], owner="x" * 200, batch_id="a" * 63),
        request_document(batch_id="0-a"),
        with_agent(aspects=["x" * 200] * 20, instructions="x" * 20_000, name="x" * 200),
        with_agent(speaking_rate=0.25, temperature=0, top_p=0, top_k=1, max_output_tokens=64),
        with_agent(speaking_rate=2, temperature=2, top_p=1, top_k=1000, max_output_tokens=65_536),
        with_agent(thinking_budget=-1, target_minutes=0.25),
        with_agent(thinking_budget=32_768, target_minutes=60),
        with_agent(thinking_budget=None),
        with_agent(target_languages=[f"en-x-{number}" for number in range(50)]),
    ],
)
def test_limits_themselves_are_allowed(document: dict[str, Any]) -> None:
    """Each limit is inclusive."""
    assert problems_of(document) == []


@pytest.mark.parametrize(
    "batch_id", ["", "ab", "a" * 64, "-abc", "Cafe", "café", "a_b", "abc\n", "../abc", "a.b"]
)
def test_a_batch_id_names_a_folder_anywhere(batch_id: str) -> None:
    """Whatever could not be a folder's name on every system is refused."""
    (told,) = problems_of(request_document(batch_id=batch_id))
    assert told.startswith(
        "batch_id: must be 3 to 63 of a-z, 0-9 and -, beginning with a letter or digit (got"
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"variations": "3"}, 'variations: must be a whole number, without quotes (got "3")'),
        ({"variations": 2.5}, "variations: must be a whole number, without quotes (got 2.5)"),
        ({"variations": True}, "variations: must be a whole number, without quotes (got true)"),
        ({"variations": None}, "variations: must be a whole number, without quotes (got null)"),
        ({"version": "1"}, 'version: must be 1 (got "1")'),
        ({"titles": "Café"}, 'titles: must be a list (got "Café")'),
        ({"titles": {"1": "Café"}}, "titles: must be a list (got an object)"),
        ({"titles": [7]}, "titles[0]: must be text; put it in quotes (got 7)"),
        ({"titles": [["Café"]]}, "titles[0]: must be text; put it in quotes (got a list)"),
        ({"owner": 7}, "owner: must be text; put it in quotes (got 7)"),
        ({"batch_id": 2026}, "batch_id: must be text; put it in quotes (got 2026)"),
        ({"agent": []}, "agent: must be an object (got a list)"),
        ({"agent": None}, "agent: must be an object (got null)"),
        (
            {"agent": agent_document(temperature="hot")},
            'agent.temperature: must be a number, without quotes (got "hot")',
        ),
        (
            {"agent": agent_document(voices=["x"])},
            "agent.voices: must be an object (got a list)",
        ),
        (
            {"agent": agent_document(voices={"pt-BR": 1})},
            "agent.voices.pt-BR: must be text; put it in quotes (got 1)",
        ),
        (
            {"agent": agent_document(target_languages="pt-BR")},
            'agent.target_languages: must be a list (got "pt-BR")',
        ),
        (
            {"agent": agent_document(target_languages=[True])},
            "agent.target_languages[0]: must be text; put it in quotes (got true)",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_named(fields: dict[str, Any], problem: str) -> None:
    """Nothing is converted; the problem shows what was found and what is wanted."""
    assert problems_of(request_document(**fields)) == [problem]


def test_a_long_value_is_shown_in_part() -> None:
    """A problem's value is cut at 60 characters."""
    (problem,) = problems_of(request_document(batch_id="X" * 500))
    assert problem.endswith('(got "' + "X" * 56 + "…)")


def test_unknown_fields_are_errors_with_a_hint() -> None:
    """A misspelt name is answered with the nearest name and all that are allowed."""
    document = request_document(title=["x"], agent=agent_document(tmperature=1, zzz=2))
    document |= {"": 1}
    assert problems_of(document) == [
        f"agent.tmperature: is not a field; did you mean temperature? {AGENT_FIELDS}",
        f"agent.zzz: is not a field; {AGENT_FIELDS}",
        f"title: is not a field; did you mean titles? {REQUEST_FIELDS}",
        f"is not a field; {REQUEST_FIELDS}",
    ]


def test_all_problems_are_told_at_once() -> None:
    """A client corrects a request in one go."""
    document = {
        "batch_id": "No",
        "variations": "3",
        "titles": ["", "x" * 501, 7, "Café"],
        "agent": {
            "target_languages": ["pt-BR", "xx", "und"],
            "master_language": "??",
            "temperature": 3,
            "voices": {"qq": "x"},
            "aspects": ["…"],
            "colour": "red",
        },
    }
    assert [problem.partition(":")[0] for problem in problems_of(document)] == [
        "batch_id",
        "titles[0]",
        "titles[1]",
        "titles[2]",
        "variations",
        "agent.master_language",
        "agent.target_languages[1]",
        "agent.target_languages[2]",
        "agent.aspects[0]",
        "agent.voices.qq",
        "agent.temperature",
        "agent.colour",
    ]


def test_a_list_of_wrong_values_is_not_called_short_as_well() -> None:
    """One wrong title is one problem."""
    assert problems_of(request_document(titles=[""])) == ['titles[0]: must not be empty (got "")']


@pytest.mark.parametrize("value", [[], "x", 7, None, True, 1.5])
def test_a_request_is_an_object(value: Any) -> None:
    """Any other JSON is answered with what belongs at the top."""
    (problem,) = problems_of(encoded(value))
    assert problem.startswith("must be an object with titles and agent at the top level (got ")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is not valid JSON: Expecting value at line 1, column 1"),
        (b'{\n "titles": [,]}', "is not valid JSON: Expecting value at line 2, column 13"),
        (b"{} {}", "is not valid JSON: Extra data at line 1, column 4"),
        (b'{"titles": NaN}', "is not valid JSON: NaN is no number"),
        (b'{"titles": -Infinity}', "is not valid JSON: -Infinity is no number"),
        (b'{"titles": [], "titles": []}', "titles: is given twice"),
        (b'{"agent": {"model": 1, "model": 2}}', "model: is given twice"),
        (b'{"a\\ud800": 1, "a\\ud800": 2}', "a?: is given twice"),
        (b'{"titles": ["caf\xe9"]}', "is not UTF-8 text: byte 16 is 0xe9; save as UTF-8"),
        ('{"titles": []}'.encode("utf-16"), "is not UTF-8 text: byte 0 is 0xff; save as UTF-8"),
        (b"[" * 100_000, "is not valid JSON: nested too deeply"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "is nested too deeply"),
    ],
    ids=range(12),
)
def test_bytes_that_are_no_request(data: bytes, problem: str) -> None:
    """The one problem says what is wrong with the text and where."""
    assert problems_of(data) == [problem]


def test_values_nested_without_end_are_told() -> None:
    """However a value was read, one that is too deep to be written is an error of the request."""
    value: Any = 1
    for _ in range(5_000):
        value = [value]
    with pytest.raises(RequestError, match=r"^is nested too deeply$"):
        build_request({"titles": value})


def test_repeated_names_are_all_told() -> None:
    """Each name that is given twice is a problem of its own, with its name as the path."""
    with pytest.raises(RequestError) as caught:
        decode_json(b'{"b": 1, "a": 1, "c": 1, "a": 2, "b": 2, "b": 3}')
    assert caught.value.problems == (
        Problem("a", "is given twice"),
        Problem("b", "is given twice"),
    )


def test_too_long_a_number_is_no_surprise() -> None:
    """A number of more digits than Python converts is an error of the request."""
    (problem,) = problems_of(b'{"variations": ' + b"9" * 5_000 + b"}")
    assert problem.startswith("is not valid JSON: Exceeds the limit (4300 digits)")


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 4_300])
def test_numbers_beyond_any_limit_are_told_with_their_field(number: bytes) -> None:
    """A number that no computer holds is wrong in its field, like any other."""
    told = problems_of(
        b'{"titles": ["x"], "agent": {"target_languages": ["en"], "top_p": %b}}' % number
    )
    assert [problem.partition(":")[0] for problem in told] == ["agent.top_p"]


def test_too_many_bytes_are_refused_unread() -> None:
    """Beyond 9,000,000 bytes nothing is parsed."""
    assert problems_of(b" " * (MAX_BYTES + 1)) == ["holds 9,000,001 bytes; at most 9,000,000"]
    document = encoded(request_document())
    assert problems_of(document + b" " * (MAX_BYTES - len(document))) == []


def test_a_byte_order_mark_is_ignored() -> None:
    """Files saved by editors that begin with one are read."""
    assert problems_of(b"\xef\xbb\xbf" + encoded(request_document())) == []


@pytest.mark.parametrize("title", ["\0", " \t\r\n", "\x1b\x07", "…!?", "\u200b\u202e", "\u0301"])
def test_a_title_can_be_spoken(title: str) -> None:
    """A title without a letter, number or symbol is refused."""
    (problem,) = problems_of(request_document(titles=[title]))
    assert problem.startswith("titles[0]: holds no letter or number that could be spoken (got ")


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("  Café \n", "Café"),
        ("Um\0dois\x1b[31m", "Um dois [31m"),
        ("Um\u2028dois", "Um dois"),
        ("☕", "☕"),
        ("珈琲の歴史", "珈琲の歴史"),
        ("1984", "1984"),
    ],
)
def test_control_characters_in_titles_become_spaces(title: str, kept: str) -> None:
    """A title is one line of what can be read."""
    assert parse_request(encoded(request_document(titles=[title]))).titles == (kept,)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"owner": " \n"}, "owner"),
        ({"agent": agent_document(name="\0")}, "agent.name"),
        ({"agent": agent_document(voices={"pt-BR": " "})}, "agent.voices.pt-BR"),
    ],
)
def test_a_name_is_not_blank(fields: dict[str, Any], path: str) -> None:
    """Spaces and control characters alone are no name."""
    (problem,) = problems_of(request_document(**fields))
    assert problem.startswith(f"{path}: must not be blank")


def test_half_characters_are_told_with_their_fields() -> None:
    """JSON can spell one half of a surrogate pair, which nothing after it could write."""
    data = (
        b'{"titles": ["ok", "x\\ud800", "\\ud83d\\ude00"], "owner": "\\udfff!",'
        b' "agent": {"target_languages": ["pt-BR"], "voices": {"pt-BR": "x\\udc00"}}}'
    )
    half = "holds half a character (an unpaired surrogate)"
    assert problems_of(data) == [
        f"owner: {half}",
        f"titles[1]: {half}",
        f"agent.voices.pt-BR: {half}",
    ]


@pytest.mark.parametrize("data", [b'"\\ud800"', b'{"\\ud800": 1}', b'{"a": "\\ud800"}'])
def test_problems_can_be_written_down(data: bytes) -> None:
    """What a client is told is valid text, whatever the client wrote."""
    assert problems_of(data)
    for problem in problems_of(data):
        problem.encode()


def test_a_title_may_be_asked_for_twice() -> None:
    """Repeated titles are jobs of their own."""
    request = parse_request(encoded(request_document(titles=["Café", "Café"])))
    assert request.titles == ("Café", "Café")


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("pt_br", "pt-BR"),
        ("PT-br", "pt-BR"),
        ("EN", "en"),
        ("zh-hans-cn", "zh-Hans-CN"),
        ("iw", "he"),
        ("es-419", "es-419"),
        ("i-klingon", "tlh"),
    ],
)
def test_languages_are_normalised(written: str, normal: str) -> None:
    """One language has one tag, wherever a request names it."""
    request = parse_request(
        encoded(
            with_agent(
                master_language=written, target_languages=[written], voices={written: "a-voice"}
            )
        )
    )
    agent = request.agent
    assert (agent.master_language, agent.target_languages) == (normal, (normal,))
    assert agent.voices == {normal: "a-voice"}


@pytest.mark.parametrize(
    "tag",
    ["", "xx", "und", "und-BR", "mul", "zxx", "mis", "x-foo", "é", "pt-BR\n", " pt", "../pt", "\0"],
)
def test_what_is_no_language_is_refused(tag: str) -> None:
    """A tag that names no language anyone could speak is a problem of its place."""
    document = with_agent(target_languages=["pt-BR", tag])
    shown = json.dumps(tag, ensure_ascii=False)
    assert problems_of(document) == [f"agent.target_languages[1]: {LANGUAGE_HINT} (got {shown})"]


def test_a_language_is_asked_for_once() -> None:
    """Two spellings of one language are a repetition."""
    document = with_agent(target_languages=["pt_br", "en-US", "pt-BR", "en_us", "EN-us"])
    assert problems_of(document) == ["agent.target_languages: lists en-US, pt-BR twice"]


def test_a_language_has_one_voice() -> None:
    """Two spellings of one language with a voice each are a repetition."""
    document = with_agent(voices={"pt_br": "a", "en-US": "b", "pt-BR": "c"})
    assert problems_of(document) == ["agent.voices: lists pt-BR twice"]


def test_only_languages_that_the_writer_offers_are_accepted() -> None:
    """What the chosen writer cannot write is told beside what it can."""
    document = with_agent(master_language="fr-FR", target_languages=["pt_br", "de-DE", "xx"])
    hint = "has no offline templates; allowed: en-US, pt-BR"
    assert problems_of(document, languages=["pt-BR", "en-US"]) == [
        f'agent.master_language: {hint} (got "fr-FR")',
        f'agent.target_languages[1]: {hint} (got "de-DE")',
        f'agent.target_languages[2]: {LANGUAGE_HINT} (got "xx")',
    ]
    assert problems_of(with_agent(), languages=["pt-BR"]) == []


def test_a_batchs_name_is_no_part_of_its_content() -> None:
    """Neither the id nor the order or spelling of names changes the content's hash."""
    plain = batch_request("Café", variations=2, voices={"pt-BR": "a", "en-US": "b"})
    other = {
        "num_variacoes": 2,
        "batch_id": "cafe-2026",
        "agente_config": {"voices": {"en_us": "b", "pt_br": "a"}, "idiomas_alvo": ["pt-br"]},
        "owner_email": "ana@example.com",
        "titulos": ["Café"],
    }
    assert parse_request(encoded(other)).content_hash() == plain.content_hash()


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": "rui@example.com"},
        {"titles": ["Chá"]},
        {"titles": ["Café", "Café"]},
        {"variations": 2},
        *(
            {"agent": agent_document(**{field: value})}
            for field, value in {
                "name": "Outra",
                "instructions": "x",
                "master_language": "en-US",
                "target_languages": ["en-US"],
                "aspects": ["x"],
                "voices": {"pt-BR": "x"},
                "speaking_rate": 1.1,
                "model": "x",
                "temperature": 0.8,
                "top_p": 0.9,
                "top_k": 39,
                "max_output_tokens": 8191,
                "thinking_budget": 0,
                "target_minutes": 3.5,
            }.items()
        ),
    ],
    ids=str,
)
def test_all_that_is_asked_for_is_content(changes: dict[str, Any]) -> None:
    """Any other difference gives another hash."""
    plain = build_request(request_document())
    assert build_request(request_document(**changes)).content_hash() != plain.content_hash()


def test_the_order_of_titles_and_languages_is_content() -> None:
    """Positions are part of what things are called."""
    languages = ("pt-BR", "en-US")
    request = batch_request("Café", "Chá", languages=languages)
    assert request.content_hash() not in {
        batch_request("Chá", "Café", languages=languages).content_hash(),
        batch_request("Café", "Chá", languages=languages[::-1]).content_hash(),
    }


def test_an_error_crosses_processes() -> None:
    """A RequestError pickles with all its problems, and reads as one line each."""
    problems = [Problem("titles", "is required"), Problem("", "is odd", "7")]
    error = pickle.loads(pickle.dumps(RequestError(problems)))  # noqa: S301 - our own
    assert isinstance(error, RequestError)
    assert error.problems == tuple(problems)
    assert str(error) == "titles: is required\nis odd (got 7)"


def test_a_path_reads_as_people_write_it() -> None:
    """Positions stand in brackets, names behind dots."""
    assert field_path(("agent", "target_languages", 2)) == "agent.target_languages[2]"
    assert field_path(("agent", "voices", "pt-BR", "[key]")) == "agent.voices.pt-BR"
    assert field_path(()) == ""


def test_a_request_cannot_be_changed() -> None:
    """What was accepted is what is worked on."""
    with pytest.raises(ValueError, match="frozen"):
        batch_request().variations = 2  # type: ignore[misc]


@given(st.binary())
def test_any_bytes_are_a_request_or_an_error_of_it(data: bytes) -> None:
    """Nothing that arrives raises anything but RequestError."""
    problems_of(data)


JSON_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    JSON_LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
AGENT_NAMES = [*AgentConfig.model_fields, "idioma_master", "idiomas_alvo", "aspectos"]
NAMES = [*BatchRequest.model_fields, "titulos", "num_variacoes", "agente_config", "owner_email"]


def documents_of(names: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=5), values, max_size=8)


@given(documents_of(NAMES, JSON | documents_of(AGENT_NAMES, JSON)) | JSON)
def test_any_json_is_a_request_or_an_error_of_it(value: Any) -> None:
    """Any values under any names raise RequestError, whose problems can be written down."""
    for problem in problems_of(json.dumps(value).encode()):
        assert problem.encode()


TAGS = st.sampled_from(["pt-BR", "en_us", "es-ES", "ja", "zh-hant", "sr-latn-RS"])
LABELS = st.text(min_size=1, max_size=60).map(lambda text: text + "a")
VALID = st.fixed_dictionaries(
    {
        "titles": st.lists(LABELS, min_size=1, max_size=4),
        "agent": st.fixed_dictionaries(
            {"target_languages": st.lists(TAGS, min_size=1, unique=True)},
            optional={
                "name": LABELS,
                "instructions": st.text(),
                "master_language": TAGS,
                "aspects": st.lists(LABELS, max_size=4),
                "voices": st.dictionaries(TAGS, LABELS),
                "temperature": st.floats(0, 2) | st.integers(0, 2),
                "top_k": st.integers(1, 1000),
                "thinking_budget": st.none() | st.integers(-1, 32_768),
                "target_minutes": st.floats(0.25, 60),
            },
        ),
    },
    optional={
        "version": st.just(1),
        "batch_id": st.from_regex(r"\A[a-z0-9][a-z0-9-]{2,62}\Z") | st.none(),
        "owner": LABELS,
        "variations": st.integers(1, 20),
    },
)


@given(VALID)
def test_a_request_survives_being_published(document: dict[str, Any]) -> None:
    """Written as a message and read again, or pickled, a request is the same request."""
    request = build_request(document)
    again = parse_request(request.encoded())
    assert again == request
    assert again.content_hash() == request.content_hash()
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own
