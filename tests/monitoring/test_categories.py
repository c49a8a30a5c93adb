"""Laws of drift in the shares of a category's values."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ml_assets.core.policies import DriftPolicy
from ml_assets.monitoring.categories import (
    OTHERS,
    CategorySamples,
    chi_square_p_value,
    counts_of,
)
from ml_assets.monitoring.drift import compare

POLICY = DriftPolicy(effect=0.25, false_discovery_rate=0.01)
counts = st.dictionaries(st.sampled_from(["", "red", "blue", "green", "new"]),
                         st.integers(1, 500), min_size=1)


def drawn(rows: int, shares: list[float], seed: int, names: str = "abcdefghij") -> dict[str, int]:
    draw = np.random.default_rng(seed)
    return dict(Counter(draw.choice(list(names[:len(shares)]), rows, p=shares).tolist()))


@given(counts, st.integers(1, 4))
@settings(deadline=None)
def test_samples_of_equal_shares_show_no_drift(sample: dict[str, int], times: int) -> None:
    change = CategorySamples(reference=sample, current={
        value: times * count for value, count in sample.items()}).change()
    assert change.distance == pytest.approx(0, abs=1e-12)
    assert change.p_value == pytest.approx(1)


@given(counts, counts)
@settings(deadline=None)
def test_the_order_of_values_does_not_matter(then: dict[str, int], now: dict[str, int]) -> None:
    """And what is measured is finite and in its range."""
    change = CategorySamples(reference=then, current=now).change()
    assert 0 <= change.psi < np.inf and 0 <= change.distance <= 1 and 0 <= change.p_value <= 1
    turned = CategorySamples(reference=dict(reversed(then.items())),
                             current=dict(sorted(now.items())))
    assert turned.change() == change
    assert change.missing == now.get("", 0) / sum(now.values())


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 99, 1000])
def test_the_chance_agrees_with_scipy(freedom: int) -> None:
    for statistic in (0.1, 1, freedom / 2, freedom, 1.2 * freedom, 3 * freedom + 20):
        ours, peer = chi_square_p_value(statistic, freedom), stats.chi2.sf(statistic, freedom)
        assert ours == pytest.approx(peer, rel=1e-9)


def test_the_test_agrees_with_scipys_of_the_same_table() -> None:
    then, now = {"a": 300, "b": 150, "c": 50}, {"a": 90, "b": 80, "c": 30}
    peer = stats.chi2_contingency([list(then.values()), list(now.values())], correction=False)
    assert CategorySamples(reference=then, current=now).change().p_value == pytest.approx(peer[1])


@pytest.mark.parametrize(
    ("what", "reference", "current"),
    [
        ("shares change", {"a": 800, "b": 200}, {"a": 60, "b": 90}),
        ("a new value", {"a": 800, "b": 200}, {"a": 90, "b": 30, "c": 30}),
        ("a value is gone", {"a": 500, "b": 500}, {"a": 150}),
        ("values go missing", {"a": 500, "b": 500}, {"a": 50, "b": 50, "": 50}),
        ("a constant becomes another", {"a": 500}, {"b": 150}),
        ("rare values become common", {"a": 900, **{f"r{n}": 1 for n in range(100)}},
         {"a": 75, **{f"r{n}": 1 for n in range(75)}}),
    ],
)
def test_a_planted_change_is_drift(
    what: str, reference: dict[str, int], current: dict[str, int]
) -> None:
    samples = CategorySamples(reference=reference, current=current)
    assert compare({what: samples}, POLICY)[0].drifted


def test_many_rare_values_that_nobody_saw_before_are_no_drift() -> None:
    """Of values that come once, most of any sample are new."""
    then = {**{f"t{n}": 1 for n in range(1500)}, "often": 500}
    now = {**{f"n{n}": 1 for n in range(150)}, "often": 50}
    samples = CategorySamples(reference=then, current=now)
    assert list(samples.counted()) == ["often", OTHERS]
    assert not compare({"x": samples}, POLICY)[0].drifted
    alone = CategorySamples(reference={"x": 1}, current={"y": 1}).change()
    assert (alone.psi, alone.p_value) == (0, 1)


@pytest.mark.parametrize("size", [100, 500])
def test_days_without_drift_alarm_no_more_often_than_declared(size: int) -> None:
    """A/A: 8 columns of few and of many values, compared on 250 days."""
    policy, shares = DriftPolicy(effect=1e-9, false_discovery_rate=0.05), [
        [0.5, 0.5], [0.9, 0.1], [0.97, 0.02, 0.01], [0.1] * 10]
    days, alarms = 250, 0
    for day in range(days):
        columns = {
            f"{copy} {len(each)}": CategorySamples(
                reference=drawn(1500, each, 100 * day + 10 * place + copy),
                current=drawn(size, each, 100 * day + 10 * place + copy + 5 + 10**6))
            for place, each in enumerate(shares) for copy in range(2)}
        alarms += any(column.drifted for column in compare(columns, policy))
    assert alarms <= 0.05 * days + 3 * np.sqrt(0.05 * 0.95 * days)


def test_codes_are_counted_as_values() -> None:
    assert counts_of(np.array([3.0, np.nan, 16777215.0, 3.0])) == {"3": 2, "16777215": 1, "": 1}
