"""A search names values of a declaration, and changes nothing else of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ml_assets.core.declaration import declaration
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.model.search import Among, Between, names_in, value_of, with_values


@declaration
class Whole:
    """Stands for a model: parts that are declarations, and values of its own."""

    fit: Minibatch = Minibatch()
    seed: int = 7


def test_values_are_changed_by_their_dotted_names() -> None:
    changed = with_values(Whole(), {"fit.rate": 0.1, "fit.batch": 64, "seed": 8})
    assert changed == Whole(fit=Minibatch(rate=0.1, batch=64), seed=8)
    assert value_of(changed, "fit.rate") == 0.1 and with_values(changed, {}) == changed


@pytest.mark.parametrize("name", ["fit.rats", "fit", "seed.more", "fits.rate", "rate"])
def test_a_name_that_is_none_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(DeclarationError, match=r"which is no value of .*; there are"):
        with_values(Whole(), {name: 1})
    with pytest.raises(DeclarationError, match=r"Closest: 'rate'"):
        with_values(Whole(), {"fit.rats": 1})


def test_a_value_that_cannot_be_is_refused_by_the_declaration() -> None:
    with pytest.raises(DeclarationError, match=r"Minibatch.batch is 0"):
        with_values(Whole(), {"fit.batch": 0})


def test_every_plain_value_has_a_name() -> None:
    assert {"fit.rate", "fit.patience", "seed"} <= set(names_in(Whole()))


def test_a_time_lies_between_times_and_among_values_of_any_type() -> None:
    weights = (("equal",), ((True, 5.0),))
    between = Between(name="fit.half_life", low=timedelta(hours=6), high=timedelta(days=3))
    assert between.ends == (timedelta(hours=6), timedelta(days=3))
    assert between.holds(timedelta(days=2)) and not between.holds(timedelta(days=4))
    assert not between.holds(86_400) and not between.holds(None)
    assert not Between(name="seed", low=1, high=9).holds(timedelta(seconds=3))
    assert Among(name="fit.half_life", values=(None, timedelta(days=3))).holds(None)
    assert Among(name="fit.class_weights", values=weights).holds(((True, 5.0),))
    changed = with_values(Whole(), {"fit.half_life": timedelta(days=3)})
    assert changed.fit.half_life == timedelta(days=3)
    assert "fit.half_life" in names_in(changed) and "fit.half_life" in names_in(Whole())


@pytest.mark.parametrize("wrong", [
    lambda: Between(name="seed", low=2, high=1),
    lambda: Between(name="seed", low=0, high=1, log=True),
    lambda: Among(name="seed", values=(1,)), lambda: Among(name="seed", values=(1, 1)),
    lambda: Between(name="fit.half_life", low=timedelta(days=2), high=3),
    lambda: Between(name="fit.half_life", low=1, high=timedelta(days=3)),
    lambda: Between(name="fit.half_life", low=timedelta(days=2), high=timedelta(days=1)),
    lambda: Between(name="fit.half_life", low=timedelta(0), high=timedelta(days=1), log=True),
])
def test_a_range_without_a_choice_is_refused(wrong: type) -> None:
    with pytest.raises(DeclarationError, match="expected"):
        wrong()
