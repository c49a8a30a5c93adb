"""A fit in mini-batches is refused as it is declared, by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.model.minibatch import Minibatch


@pytest.mark.parametrize(("field", "value"), [
    ("batch", 0), ("batch", 2.0), ("epochs", 0), ("patience", 0), ("validation", 1.0),
    ("validation", -0.1), ("warmup", 1.5), ("momentum", 1.0), ("rate", 0.0),
    ("rate", float("nan")), ("decay", 0.0), ("weight_decay", -1.0), ("clip", 0.0),
    ("buffer", 10), ("devices", 0), ("devices", 65), ("checkpoint_s", 0.0), ("optimiser", "adam"),
    ("schedule", "linear"), ("device", "tpu"), ("class_weights", "balance"),
    ("class_weights", ()), ("class_weights", (True, 2.0)), ("class_weights", ((True, -1.0),)),
    ("class_weights", ((True, 1.0), (True, 2.0))), ("class_weights", {True: 2.0}),
    ("half_life", timedelta(0)), ("half_life", 20),
])
def test_what_cannot_be_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(DeclarationError, match=rf"Minibatch\.{field}\b"):
        Minibatch(**{field: value})


def test_a_word_is_refused_with_the_closest_one() -> None:
    with pytest.raises(DeclarationError, match="Closest: 'balanced'"):
        Minibatch(class_weights="balance")  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [
    {}, {"validation": 0}, {"patience": None}, {"clip": None}, {"devices": 4},
    {"class_weights": ((True, 5.0), (False, 0))}, {"class_weights": (("late", 0.5),)},
])
def test_what_can_be_is_a_value_that_may_be_a_key(fields: dict[str, Any]) -> None:
    assert hash(Minibatch(**fields)) == hash(Minibatch(**fields))


def test_a_batch_follows_from_the_rows_unless_it_is_declared() -> None:
    """Few rows give eight steps an epoch, many no larger batches than are worth their while."""
    sizes = {rows: Minibatch().batch_of(rows) for rows in (1, 150, 630, 2700, 8192, 10**7)}
    assert sizes == {1: 16, 150: 16, 630: 64, 2700: 256, 8192: 1024, 10**7: 1024}
    assert Minibatch(batch=300).batch_of(10) == 300 and Minibatch(buffer=50).batch_of(10**6) == 50
