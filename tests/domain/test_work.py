"""What an element says of itself."""

from __future__ import annotations

import pickle

import pytest

from domain.request import Problem
from domain.work import Item, Message, Rejected, ScriptTask, Submission
from tests.builders import (
    batch_end,
    batch_request,
    failure,
    generated_script,
    item,
    job,
    narration,
    script,
    script_task,
)


def test_a_task_makes_the_missing_items_only() -> None:
    """Each of them has the index that the task knows, whichever of its neighbours are done."""
    task = ScriptTask(job(), 2, "Café", ((5, "es-ES"), (7, "ja-JP")))
    assert list(task.items()) == [
        Item(job(), 2, "es-ES", 5),
        Item(job(), 2, "ja-JP", 7),
    ]
    assert [made.name for made in task.items()] == ["v2.es-ES", "v2.ja-JP"]


def test_a_master_script_goes_to_every_language_of_its_task() -> None:
    """Each language gets the same title, text and writer."""
    generated = generated_script("Era uma vez.", title="Café", languages=("en-US", "es-ES"))
    scripts = list(generated.scripts())
    assert [made.item for made in scripts] == list(generated.task.items())
    assert {(made.title, made.text, made.writer) for made in scripts} == {
        ("Café", "Era uma vez.", "a-model")
    }


def test_a_script_in_other_words_is_the_same_narration() -> None:
    """Only the text and its writer change."""
    before = script(text="Era uma vez.")
    after = before.with_text("Once upon a time.", "another-model")
    assert (after.text, after.writer) == ("Once upon a time.", "another-model")
    assert after.with_text(before.text, before.writer) == before


@pytest.mark.parametrize(
    ("batch_id", "expected"), [("cafe-2026", "cafe-2026"), (None, "20260101-120000-abcdef")]
)
def test_the_clients_id_comes_before_the_messages(batch_id: str | None, expected: str) -> None:
    """A submission is called what the client calls it, else what its message was given."""
    message = Message(b"{}", "20260101-120000-abcdef", "run-1")
    assert Submission(message, batch_request(batch_id=batch_id)).batch_id == expected


@pytest.mark.parametrize(
    "element",
    [
        Message(b"{}", "cafe", "run-1", resume=True),
        Submission(Message(b"{}", "cafe", "run-1"), batch_request("Café", "Chá")),
        Rejected(Message(b"{", "cafe", "run-1"), (Problem("titles", "is required"),)),
        job(),
        item(),
        script_task(),
        generated_script(),
        script(),
        narration(),
        failure(),
        batch_end(),
    ],
    ids=lambda element: type(element).__name__,
)
def test_elements_cross_a_shuffle(element: object) -> None:
    """An element is the same after it was pickled."""
    assert pickle.loads(pickle.dumps(element)) == element  # noqa: S301 - our own
