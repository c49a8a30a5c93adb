"""Laws of the evidence that a column has changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from ml_assets.monitoring.drift.bins import CategoryBins, Counts, NumberBins, by_day, counts_of
from ml_assets.monitoring.drift.discoveries import discovered
from ml_assets.monitoring.drift.evidence import (
    Yardstick,
    log_e,
    log_e_of_starts,
    telling,
)

columns = nps.arrays(
    np.float32, st.integers(1, 60),
    elements=st.one_of(st.floats(-1e6, 1e6, width=32), st.just(float("nan")),
                       st.sampled_from([0.0, 1.0, 2.0])))


def numbers(
    reference: np.ndarray, days: list[np.ndarray], reference_days: int = 1
) -> tuple[Yardstick, Counts]:
    """A number's reference, of so many days, and its live days."""
    bins = NumberBins.of(reference)
    day_N = np.arange(len(reference)) * reference_days // len(reference)
    yardstick = Yardstick(days_DB=by_day(bins.places(reference), len(bins.names), day_N),
                          ordered=True)
    return yardstick, np.array([bins.counted(day) for day in days])


@given(columns, st.lists(columns, min_size=1, max_size=5))
@settings(deadline=None)
def test_evidence_is_finite_whatever_the_samples(
    reference: np.ndarray, days: list[np.ndarray]
) -> None:
    yardstick, live_TB = numbers(reference, days)
    found_T = log_e_of_starts(yardstick, live_TB)
    assert found_T.shape == (len(days),) and np.isfinite(found_T).all()
    assert np.isfinite(log_e(found_T))


@given(columns)
@settings(deadline=None)
def test_the_reference_itself_is_no_evidence(sample: np.ndarray) -> None:
    yardstick, live_TB = numbers(sample, [sample])
    assert log_e_of_starts(yardstick, live_TB)[0] <= 0.3


@given(columns, columns)
@settings(deadline=None)
def test_the_order_of_rows_does_not_matter(reference: np.ndarray, day: np.ndarray) -> None:
    once = log_e_of_starts(*numbers(reference, [day]))
    assert log_e_of_starts(*numbers(reference[::-1], [np.roll(day, 3)])) == pytest.approx(once)


def test_a_change_of_units_that_keeps_the_order_changes_nothing() -> None:
    random = np.random.default_rng(1)
    reference, day = random.lognormal(size=500), random.lognormal(0.3, size=200)
    once = log_e_of_starts(*numbers(reference, [day]))
    for one, other in ((np.log(reference), np.log(day)), (np.sqrt(reference), np.sqrt(day)),
                       (1000 * reference, 1000 * day)):
        assert log_e_of_starts(*numbers(one, [other])) == pytest.approx(once)


def draws(kind: str, random: np.random.Generator, rows: int) -> np.ndarray:
    drawn = {
        "normal": random.normal(size=rows),
        "heavy": random.standard_t(2, size=rows),
        "count": random.poisson(0.7, size=rows) / 1.0,
        "rare": (random.random(rows) < 0.002) / 1.0,
        "gappy": np.where(random.random(rows) < 0.02, np.nan, random.normal(size=rows)),
        "constant": np.zeros(rows),
    }
    return drawn[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "heavy", "count", "rare", "gappy", "constant"])
@pytest.mark.parametrize(("rows", "learnt"), [(15, 300), (100, 1_000), (100, 10_000)])
def test_evidence_reaches_twenty_in_a_twentieth_of_lives_at_most(
    kind: str, rows: int, learnt: int
) -> None:
    """Ville's inequality, over 60 days; of 200 lives 10 are allowed, 18 come of 5% in 1 of 100.

    Looked at on eleven of the days: each look takes all days before it.
    """
    random, alarms = np.random.default_rng(5), 0
    for _ in range(200):
        reference = draws(kind, random, learnt)
        yardstick, live_TB = numbers(
            reference, list(draws(kind, random, 60 * rows).reshape(60, rows)), 30)
        alarms += any(log_e(log_e_of_starts(yardstick, live_TB[:day])) >= np.log(20)
                      for day in (1, 2, 3, 5, 8, 12, 18, 27, 36, 48, 60))
    assert alarms <= 18


@pytest.mark.parametrize(("what", "then", "now", "words"), [
    ("shift", np.linspace(0, 1, 500), np.linspace(0.4, 1.4, 150), {"location", "outside"}),
    ("spread", np.linspace(-1, 1, 500), np.linspace(-4, 4, 150), {"spread", "outside"}),
    ("constant left", np.zeros(500), np.full(150, -1.0), {"outside"}),
    ("constant left upwards", np.zeros(500), np.full(150, 1e-30), {"outside"}),
    ("goes missing", np.linspace(0, 1, 500), np.full(150, np.nan), {"share"}),
    ("half goes missing", np.linspace(0, 1, 500),
     np.r_[np.linspace(0, 1, 75), np.full(75, np.nan)], {"share"}),
    ("a rare value grows common", np.r_[np.zeros(495), np.ones(5)],
     np.r_[np.zeros(75), np.ones(75)], {"share"}),
])
def test_a_planted_change_is_sure_and_named(
    what: str, then: np.ndarray, now: np.ndarray, words: set[str]
) -> None:
    yardstick, live_TB = numbers(then, [now])
    assert log_e_of_starts(yardstick, live_TB)[0] > np.log(1_000), what
    assert telling(yardstick, live_TB[0])[0] in words


def test_the_start_that_says_most_is_the_day_of_the_change() -> None:
    random = np.random.default_rng(2)
    days = [random.normal(1.0 * (day >= 12), size=100) for day in range(20)]
    found_T = log_e_of_starts(*numbers(random.normal(size=2_000), days))
    assert abs(int(np.argmax(found_T)) - 12) <= 1


def test_days_that_differ_in_the_reference_are_no_evidence_when_they_go_on() -> None:
    """The same rows without their days would be sure that something has changed."""
    random = np.random.default_rng(3)
    def day() -> np.ndarray:
        return random.normal(random.normal(0, 0.4), size=200)
    reference = np.concatenate([day() for _ in range(30)])
    live = [day() for _ in range(7)]
    known = [log_e(log_e_of_starts(*numbers(reference, live[:n + 1], 30))) for n in range(7)]
    blind = [log_e(log_e_of_starts(*numbers(reference, live[:n + 1]))) for n in range(7)]
    assert max(known) < np.log(20) < max(blind)


@given(st.lists(st.floats(-5, 20), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.2]))
def test_discoveries_are_those_of_e_bh(log_es: list[float], rate: float) -> None:
    found = discovered(log_es, rate)
    sizes = [k for k in range(1, len(log_es) + 1)
             if sum(np.exp(each) >= len(log_es) / (rate * k) for each in log_es) >= k]
    assert found.sum() >= max(sizes, default=0)
    if sizes:
        assert min(np.array(log_es)[found]) >= np.log(len(log_es) / (rate * max(sizes))) - 1e-9
    else:
        assert not found.any()


def test_categories_are_weighed_value_by_value() -> None:
    bins = CategoryBins.of({"a": 500, "b": 300, "c": 199, "": 1, "once": 1})
    assert bins.names == ("a", "b", "c", "others", "missing")
    yardstick = Yardstick(days_DB=bins.counted({"a": 500, "b": 300, "c": 200})[None, :],
                          ordered=False)
    new = bins.counted({"a": 45, "b": 30, "c": 15, "new": 10})
    assert log_e_of_starts(yardstick, new[None, :])[0] > np.log(1_000)
    assert telling(yardstick, new) == ("share", 3)
    same = bins.counted({"a": 50, "b": 30, "c": 20})
    assert log_e_of_starts(yardstick, same[None, :])[0] < 0.5


def test_codes_are_counted_as_values() -> None:
    assert counts_of(np.array([3.0, np.nan, 16777215.0, 3.0])) == {"3": 2, "16777215": 1, "": 1}


@given(columns, columns)
@settings(deadline=None)
def test_every_value_is_in_one_bin_and_the_outer_ones_are_new(
    reference: np.ndarray, now: np.ndarray
) -> None:
    bins = NumberBins.of(reference)
    counts = bins.counted(now)
    assert counts.sum() == len(now) and counts[-1] == np.isnan(now).sum()
    assert len(bins.names) == len(counts)
    known = reference[~np.isnan(reference)]
    if len(known):
        assert counts[0] == (now < known.min()).sum()
        assert counts[-2] == (now > known.max()).sum()
        assert bins.counted(reference)[[0, -2]].sum() == 0
