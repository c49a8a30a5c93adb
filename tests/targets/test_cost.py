"""Decisions by what they cost: each row has a threshold of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import Numbers
from ml_assets.targets import Binary, Cost
from tests.market import MARKET
from tests.toy import TOY

RETURNED = Binary(name="returned", cost=Cost(miss="amount", alarm=5.0, unit="EUR"))
SWEET = Binary(name="sweet", cost=Cost(miss=8.0, alarm="price", unit="min"))

shares = st.integers(0, 1000).map(lambda step: step / 1000)
amounts = st.integers(0, 10_000).map(lambda cents: cents / 100)
rows = st.lists(st.tuples(shares, amounts, st.booleans()), min_size=1, max_size=40)


def test_dear_rows_are_looked_into_at_a_lower_score_than_cheap_ones() -> None:
    outputs = np.array([[0.06, 100.0], [0.04, 100.0], [0.06, 20.0], [0.99, 5.0], [1.0, 0.0]])
    assert RETURNED.decide(outputs).tolist() == [1, 0, 0, 0, 0]
    assert RETURNED.answer(outputs[0].tolist()) == {"threshold": 0.05}
    assert RETURNED.answer(outputs[4].tolist()) == {"threshold": None}
    alarms = np.array([[0.6, 4.0], [0.4, 4.0]])
    assert SWEET.decide(alarms).tolist() == [1, 0]


@given(rows)
@settings(deadline=None)
def test_no_other_decision_is_expected_to_cost_less(sample: list[tuple[float, float, bool]]
                                                    ) -> None:
    """By the model's own probabilities."""
    shares, amounts, _ = map(np.array, zip(*sample, strict=True))
    outputs = np.stack([shares, amounts], axis=1).astype(float)
    true, false = np.ones(len(shares)), np.zeros(len(shares))

    def expected(decisions: Any) -> Any:
        return sum(share * RETURNED.costs(codes, decisions, outputs)["cost"]
                   for codes, share in ((true, outputs[:, 0]), (false, 1 - outputs[:, 0])))

    chosen = RETURNED.decide(outputs)
    assert (expected(chosen) <= expected(1 - chosen) + 1e-9).all()


@given(rows)
@settings(deadline=None)
def test_what_decisions_came_to_is_a_metric_beside_the_others(
    sample: list[tuple[float, float, bool]]
) -> None:
    shares, amounts, labels = map(np.array, zip(*sample, strict=True))
    outputs, codes = np.stack([shares, amounts], axis=1), labels.astype(float)
    decided = shares * amounts > 5.0
    measured = RETURNED.measured(codes, outputs, Subjects.unknown(len(codes)))
    found = {name: float(each[0]) for name, each in measured.measure(
        np.ones((1, len(codes)))).items()}
    misses, alarms = amounts[labels & ~decided].sum(), 5.0 * decided.sum()
    assert found["cost_of_misses"] == pytest.approx(misses / len(codes))
    assert found["cost_of_alarms"] == pytest.approx(alarms / len(codes))
    assert found["cost"] == pytest.approx((misses + alarms) / len(codes))
    assert measured.shares["recall"] == (int((labels & decided).sum()), int(labels.sum()))
    doubled = measured.measure(np.full((1, len(codes)), 2.0))
    assert doubled["cost"][0] == pytest.approx(2 * found["cost"])


def test_a_threshold_may_move_and_a_column_may_not() -> None:
    """The amount is among a model's outputs; what an alarm costs is not."""
    assert RETURNED.answers_like(replace(
        RETURNED, cost=Cost(miss="amount", alarm=7.5, unit="EUR")))
    assert not RETURNED.answers_like(replace(
        RETURNED, cost=Cost(miss="weight", alarm=5.0, unit="EUR")))
    assert not RETURNED.answers_like(Binary(name="returned"))


@pytest.mark.parametrize(("changes", "says"), [
    ({"miss": 0}, r"Cost.miss is 0; expected a number above 0, or the name of a column"),
    ({"alarm": float("inf")}, r"Cost.alarm is inf"),
    ({"alarm": "a price"}, r"Cost.alarm is 'a price'"),
    ({"unit": ""}, r"Cost.unit is ''; expected what costs are counted in"),
])
def test_a_wrong_cost_is_refused(changes: dict[str, Any], says: str) -> None:
    good: dict[str, Any] = {"miss": "amount", "alarm": 5.0, "unit": "EUR"}
    with pytest.raises(DeclarationError, match=says):
        Cost(**good | changes)


def test_a_column_that_says_what_a_row_costs_must_be_there_and_read() -> None:
    with pytest.raises(DeclarationError, match=r"target names 'amuont'.*Closest: 'amount'"):
        replace(TOY, target=Binary(name="returned", cost=Cost(
            miss="amuont", alarm=5.0, unit="EUR")), gates=())
    unread = replace(MARKET.model, inputs=())
    with pytest.raises(DeclarationError, match="target names 'price', which is not a declared "
                       "number that the model reads"):
        replace(MARKET, model=unread)
    assert isinstance(MARKET.model.inputs[0], Numbers)
