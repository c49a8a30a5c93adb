"""Words that a declaration lists are checked when it is written, each field's by one mechanism."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import typing
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ml_assets.core
from ml_assets.core.data.columns import Column
from ml_assets.core.declaration import closest, declaration, listed, vocabularies
from ml_assets.core.errors import DeclarationError
from ml_assets.core.feedback import FeedbackPolicy
from ml_assets.core.model import Minibatch, Text
from ml_assets.core.policies import Gate
from tests.toy import TOY

Colour = Literal["red", "green"]


@declaration
class Paint:
    colour: Colour
    trim: Colour | None = None
    others: tuple[Colour, ...] = ()
    coats: Literal[1, 2] = 1
    finish: Literal["matt"] | Literal["gloss"] = "matt"

    def __post_init__(self) -> None:
        assert self.colour in ("red", "green"), "its own checks come after the words"


DECLARED: list[Any] = [
    *TOY.columns, *TOY.model.of(Text), *TOY.gates, TOY.feedback, TOY.rollout,
    TOY.model, Minibatch(),
    Paint(colour="red", trim="red", others=("green",)),
]
WORDS = [(each, name) for each in DECLARED for name in vocabularies(type(each))]


def test_every_declaration_of_the_core_with_listed_words_checks_them() -> None:
    """A class that is a plain dataclass would accept anything."""
    unchecked, seen = [], set()
    for module in pkgutil.iter_modules(ml_assets.core.__path__, "ml_assets.core."):
        if module.name.endswith((".settings", ".assets", ".bench", ".installation")):
            continue  # these hold no part of a system's declaration
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and is_dataclass(kind) and vocabularies(kind):
                seen.add(kind)
                post_init = getattr(kind, "__post_init__", None)
                if post_init is None or not post_init.__qualname__.startswith("declaration."):
                    unchecked.append(kind)
    assert unchecked == []
    assert seen >= {Column, Text, FeedbackPolicy}
    assert seen <= {type(each) for each in DECLARED}, "give the tests below an example of it"


@pytest.mark.parametrize(("declared", "field"), WORDS, ids=lambda part: str(part)[:40])
@given(word=st.text() | st.none() | st.integers() | st.booleans() | st.lists(st.text()))
def test_a_word_that_is_not_listed_is_refused_with_the_field(
    word: object, declared: Any, field: str
) -> None:
    hint = vocabularies(type(declared))[field]
    assume(not (word is None and type(None) in typing.get_args(hint)))
    assume(not (field == "coats" and type(word) is int and word in (1, 2)))
    # Hypothesis draws words that it finds in the code, listed ones too.
    assume(not (isinstance(word, str) and repr(word) in repr(hint)))
    value = (word,) if field == "others" else word
    with pytest.raises(DeclarationError) as caught:
        replace(declared, **{field: value})
    assert f"{type(declared).__name__}.{field} is {word!r}; expected " in str(caught.value)


@pytest.mark.parametrize(("declared", "field"), WORDS, ids=lambda part: str(part)[:40])
def test_a_listed_word_is_accepted(declared: Any, field: str) -> None:
    assert replace(declared, **{field: getattr(declared, field)}) == declared


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Column(name="x", dtype="txt", description=""),  # type: ignore[arg-type]
         "Column.dtype is 'txt'; expected 'text', .* Closest: 'text'"),
        (lambda: Text("x", unit="word"),  # type: ignore[arg-type]
         "Text.unit is 'word'; .* Closest: 'words'"),
        (lambda: FeedbackPolicy(conflict="majority"),  # type: ignore[arg-type]
         "FeedbackPolicy.conflict is 'majority'; .* Closest: 'majority_vote'"),
    ],
)
def test_a_typing_mistake_is_answered_with_the_closest_words(make: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        make()


def test_a_declaration_is_a_frozen_value_that_can_be_copied_and_pickled() -> None:
    gate = Gate(metric="recall", at_least=0.5)
    assert pickle.loads(pickle.dumps(gate)) == gate == replace(gate) and len({gate, gate}) == 1
    with pytest.raises(FrozenInstanceError):
        gate.metric = "brier"  # type: ignore[misc]
    assert [field.kw_only for field in fields(gate)] == [True] * len(fields(gate))


def test_closest_words_are_offered_only_for_a_word_that_is_like_one() -> None:
    assert closest("reed", ["red", "green"]) == " Closest: 'red', 'green'."
    assert closest("xyz", ["red"]) == closest(3, ["red"]) == closest(None, [None]) == ""
    assert listed(["a"]) == "'a'" and listed(["a", 2]) == "'a' or 2"
