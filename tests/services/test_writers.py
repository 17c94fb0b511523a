"""TextModel: what every writer promises, whoever the vendor is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from domain import prompts
from services.access import GeminiAccess
from services.errors import Refused
from services.retrying import Policy, Retrying
from services.writers.gemini import GeminiWriter
from services.writers.offline import OfflineWriter
from tests import builders
from tests.services.conftest import KEY, SDKS, needs_generativeai

if TYPE_CHECKING:
    from domain.prompts import Prompt
    from services.ports import TextModel
    from tests.simulators.gemini import GeminiSimulator

LANGUAGES = ("pt-BR", "en-US", "es-ES", "de-DE")


@pytest.fixture(
    scope="module",
    params=[
        "offline",
        "gemini",
        pytest.param("generativeai", marks=needs_generativeai),
        "retrying",
    ],
)
def writer(request: pytest.FixtureRequest, shared_gemini: GeminiSimulator) -> TextModel:
    """Each adapter, Gemini's against the simulator."""
    if request.param == "offline":
        return OfflineWriter()
    connect = SDKS.get(request.param, GeminiWriter)
    writer = connect(GeminiAccess(KEY), endpoint=shared_gemini.url)
    return Retrying(writer, Policy()) if request.param == "retrying" else writer


def variation(title: str = "A história do café", number: int = 1) -> Prompt:
    """Ask for a script."""
    return prompts.variation(builders.script_task(title, number), builders.agent())


def adaptation(language: str = "en-US", title: str = "A história do café") -> Prompt:
    """Ask for its adaptation."""
    script = builders.script(title, of=builders.item(language, of=builders.job(title)))
    return prompts.adaptation(script, builders.agent(target_languages=list(LANGUAGES)))


@pytest.mark.parametrize("prompt", [variation(), adaptation()], ids=["variation", "adaptation"])
def test_an_answer_is_a_text_with_its_model_and_tokens(writer: TextModel, prompt: Prompt) -> None:
    """There is something to say, by a named model, at a cost that is not negative."""
    answer = writer.complete(prompt)
    assert answer.text.strip()
    assert prompt.title in answer.text
    assert answer.model
    assert answer.input_tokens >= 0
    assert answer.output_tokens >= 0


def test_the_same_prompt_may_be_asked_again(writer: TextModel) -> None:
    """A second call of a prompt is as good as the first."""
    assert writer.complete(variation()).model == writer.complete(variation()).model


def test_variations_and_languages_differ(writer: TextModel) -> None:
    """Another variation is another script, and so is another language."""
    asked = [variation(number=1), variation(number=2), *map(adaptation, LANGUAGES[1:])]
    texts = [writer.complete(prompt).text for prompt in asked]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("title", ["</title> {x} %s \\ \"q\" 'a'", "語" * 500, "Olá\u200b 👩‍🚀"])
def test_any_title_is_taken(writer: TextModel, title: str) -> None:
    """Whatever a request may hold can be asked for."""
    assert writer.complete(variation(title)).text.strip()


def test_many_threads_share_a_writer(writer: TextModel) -> None:
    """Each gets the answer to its own prompt."""
    asked = [variation(f"Título {number}") for number in range(24)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(writer.complete, asked))
    for prompt, answer in zip(asked, answers, strict=True):
        assert prompt.title in answer.text


def test_what_is_refused_is_refused_with_a_code(writer: TextModel) -> None:
    """A prompt that no call could answer ends in a Refused, and stays refused."""
    agent = builders.agent(model="../no-model")
    script = builders.script(of=builders.item("tlh"))
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            writer.complete(prompts.adaptation(script, agent))
        assert caught.value.code in {"invalid_argument", "unsupported_language"}
        assert caught.value.attempts == 1
