"""The declaration of a model is checked where it is written."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import Categories, FullBatch, HashedText, Model, Numbers, Text
from tests.toy import TOY


def test_all_that_a_model_reads_of_an_event_is_named_once() -> None:
    """Whatever the order and number of its inputs."""
    model = Model(inputs=(Text("title"), Numbers("a", "b"), Categories("shop", "title"),
                          Text("title", unit="words"), Numbers("c")))
    assert model.numbers == ("a", "b", "c")
    assert model.categories == ("shop", "title")
    assert model.texts == ("title", "shop")
    assert [each.unit for each in model.of(Text)] == ["bytes", "words"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Numbers(), r"Numbers\.columns is \(\); expected at least one name"),
        (lambda: Numbers(3), r"Numbers\.columns is \(3,\)"),  # type: ignore[arg-type]
        (lambda: Model(inputs=(Numbers("a", "a"),)), r"Model\.inputs is \['a'\]; .* Numbers once"),
        (lambda: Model(inputs=(Text("a"), Text("a"))), r"each of Text once"),
        (lambda: Model(inputs=(Categories("a"), Categories("a"))), "each of Categories once"),
        (lambda: Model(inputs=("a",)),  # type: ignore[arg-type]
         r"Model\.inputs is 'a'; expected what HashedText can read: 'Text', 'Numbers'"),
        (lambda: Model(holdout=timedelta(0)), r"Model\.holdout"),
        (lambda: Model(history=timedelta(days=1)), r"Model\.history is .*longer than holdout"),
        (lambda: HashedText(buckets=1000), r"HashedText\.buckets is 1000; expected a power of two"),
        (lambda: HashedText(hidden=-1), r"HashedText\.hidden is -1"),
        (lambda: FullBatch(iterations=0), r"FullBatch\.iterations is 0"),
        (lambda: FullBatch(half_life=timedelta(days=-1)),
         r"FullBatch\.half_life is .*; expected none, or a positive time"),
    ],
)
def test_a_wrong_model_is_named(make: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        make()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((Text("nott"),), r"model\.inputs: Text names 'nott'; .* Closest: 'note'"),
        ((Text("amount"),), "'amount', which is number; expected a column of 'text'"),
        ((Numbers("note"),), "'note', which is text; expected a column of 'number', 'integer'"),
        ((Categories("amount"),),
         "expected a column of 'category', 'text' or 'integer': note, shop"),
    ],
)
def test_a_column_that_an_event_lacks_or_that_cannot_be_read_so_is_refused(
    inputs: Any, message: str
) -> None:
    with pytest.raises(DeclarationError, match=f"System 'toy': .*{message}"):
        replace(TOY, model=Model(inputs=inputs))


def test_a_model_is_a_frozen_value_that_can_be_copied_and_pickled() -> None:
    """Dagster carries systems between processes."""
    model = Model(inputs=(Text("note"), Numbers("a", "b")), network=HashedText(hidden=2))
    assert pickle.loads(pickle.dumps(model)) == model == replace(model)
    assert len({model, replace(model)}) == 1
    assert model.described["network.hidden"] == 2
    assert model.described["inputs"] == [
        "Text(column='note', unit='bytes', length=64, ids=16384)", "Numbers(columns=('a', 'b'))"]
