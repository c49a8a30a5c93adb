"""Laws of the drift statistics."""

from __future__ import annotations

from datetime import date, timedelta
from time import process_time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from scipy import stats

from ml_assets.core.policies import DriftPolicy
from ml_assets.monitoring.drift import (
    ColumnSamples,
    Vector,
    compare,
    discoveries,
    ks_p_value,
    ks_statistic,
    stability_index,
)
from ml_assets.monitoring.drift_report import DriftReport, judge_day

POLICY = DriftPolicy(effect=0.25, false_discovery_rate=0.01)

columns = nps.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.one_of(
        st.floats(-1e6, 1e6, width=32), st.just(float("nan")), st.sampled_from([0.0, 1.0, 2.0])
    ),
)


@given(columns)
def test_identical_samples_show_no_drift(sample: Vector) -> None:
    """Neither do samples that repeat the reference."""
    assert stability_index(sample, sample) == 0
    assert ks_statistic(sample, sample) == 0
    repeated = np.tile(sample, 3)
    assert ks_statistic(sample, repeated) == pytest.approx(0, abs=1e-12)
    judged = compare({"x": ColumnSamples(reference=sample, current=repeated)}, POLICY)[0]
    assert judged.p_value == 1
    assert not judged.drifted


@given(columns, columns)
def test_the_order_of_rows_does_not_matter(reference: Vector, current: Vector) -> None:
    once = compare({"x": ColumnSamples(reference=reference, current=current)}, POLICY)
    turned = ColumnSamples(reference=reference[::-1], current=np.roll(current, 7))
    assert compare({"x": turned}, POLICY) == once


@given(columns, columns)
def test_the_statistics_are_finite_and_in_their_range(reference: Vector, current: Vector) -> None:
    assert 0 <= stability_index(reference, current) < np.inf
    assert 0 <= ks_statistic(reference, current) <= 1
    assert ks_statistic(reference, current) == pytest.approx(ks_statistic(current, reference))
    assert 0 <= ks_p_value(ks_statistic(reference, current), len(reference), len(current)) <= 1


@given(columns, columns)
def test_the_largest_distance_is_that_of_any_value_of_either_sample(
    reference: Vector, current: Vector
) -> None:
    """To the bit, although only the current sample's values are looked at."""
    before, now = (np.sort(np.nan_to_num(np.asarray(each, np.float64), nan=-np.inf))
                   for each in (reference, current))
    both = np.concatenate([before, now])
    apart = (np.searchsorted(before, both, side="right") / len(before)
             - np.searchsorted(now, both, side="right") / len(now))
    assert ks_statistic(reference, current) == np.abs(apart).max()


def test_a_change_of_units_that_keeps_the_order_changes_nothing() -> None:
    random = np.random.default_rng(1)
    reference, current = random.lognormal(size=500), random.lognormal(0.3, size=200)
    for change in (np.log, np.sqrt, lambda x: 1000 * x):
        assert ks_statistic(change(reference), change(current)) == pytest.approx(
            ks_statistic(reference, current))
        assert stability_index(change(reference), change(current)) == pytest.approx(
            stability_index(reference, current))


@pytest.mark.parametrize(("n", "m"), [(2000, 500), (2000, 100), (300, 100), (100, 100), (30, 30)])
def test_the_statistic_and_its_p_value_agree_with_scipy(n: int, m: int) -> None:
    random = np.random.default_rng(n + m)
    for shift in (0.0, 0.1, 0.3, 0.5):
        reference, current = random.normal(size=n), random.normal(shift, size=m)
        peer = stats.ks_2samp(reference, current, method="exact")
        ours = ks_statistic(reference, current)
        assert ours == pytest.approx(peer.statistic)
        p_value = ks_p_value(ours, n, m)
        assert p_value == pytest.approx(peer.pvalue, rel=0.15, abs=0.03)
        if 0.001 < peer.pvalue < 0.1:
            assert p_value == pytest.approx(peer.pvalue, rel=0.1)


def days(per_day: int, count: int, seed: int, *, shift: float = 0.0) -> date | None:
    """The day on which drift of one of 30 columns is first confirmed, under the default policy; the
    first column shifts by so many standard deviations from day 10 on."""
    random, policy = np.random.default_rng(seed), DriftPolicy()
    reference = random.normal(size=(30, 2_000)).astype(np.float32)
    live = random.normal(size=(30, per_day * count)).astype(np.float32)
    live[0, 10 * per_day:] += np.float32(shift)
    report: DriftReport | None = None
    for day in range(7, count + 1):
        current = live[:, (day - 7) * per_day:day * per_day]
        report = judge_day(
            date(2024, 1, 1) + timedelta(days=day),
            {str(n): ColumnSamples(reference=reference[n], current=current[n]) for n in range(30)},
            report, policy, model_version=1, reference="r", reference_rows=2_000,
            rows=current.shape[1])
        if report.confirmed:
            return report.day
    return None


@pytest.mark.slow
def test_sixty_identical_days_of_thirty_columns_rarely_alarm() -> None:
    """At most 5% of runs: of 40, five or more come of 5% in one of 20 cases."""
    assert sum(days(50, 60, seed) is not None for seed in range(40)) <= 4


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "within"), [(0.3, 20), (0.4, 15), (0.5, 10)])
def test_a_shift_is_confirmed_within_the_documented_days(shift: float, within: int) -> None:
    """Of 50 events a day, in at least 95% of runs."""
    found = [days(50, 10 + within, 100 + seed, shift=shift) for seed in range(20)]
    assert sum(day is not None for day in found) >= 19


def test_thirty_columns_of_a_hundred_thousand_rows_take_little() -> None:
    """CPU, so that a busy machine does not decide; .35 s where it was written."""
    random = np.random.default_rng(3)
    then, now = random.normal(size=(2, 30, 100_000)).astype(np.float32)
    began = process_time()
    compare({str(n): ColumnSamples(reference=then[n], current=now[n]) for n in range(30)}, POLICY)
    assert process_time() - began < 1.5


@given(nps.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)),
       st.sampled_from([0.01, 0.05, 0.2]))
def test_discoveries_agree_with_scipys_benjamini_hochberg(p_values: Vector, rate: float) -> None:
    adjusted = stats.false_discovery_control(p_values)
    sure = np.abs(adjusted - rate) > 1e-12  # leave out ties that rounding decides
    assert np.array_equal(discoveries(p_values, rate)[sure], (adjusted <= rate)[sure])


def test_no_column_means_no_drift() -> None:
    assert compare({}, POLICY) == ()


@pytest.mark.parametrize("size", [100, 500])
def test_days_without_drift_alarm_no_more_often_than_declared(size: int) -> None:
    """A/A: 20 columns, half of them counters, compared on 250 days.

    Any effect size would count here, so significance alone must keep the level.
    """
    random = np.random.default_rng(20)
    policy = DriftPolicy(effect=1e-9, false_discovery_rate=0.05)

    def draw(rows: int) -> list[Vector]:
        return [*random.normal(size=(10, rows)), *random.poisson(0.7, size=(10, rows)) / 1.0]

    days, alarms, effects = 250, 0, 0
    for _ in range(days):
        pairs = zip(draw(1500), draw(size), strict=True)
        judged = compare(
            {f"c{number}": ColumnSamples(reference=reference, current=current)
             for number, (reference, current) in enumerate(pairs)},
            policy)
        alarms += any(column.drifted for column in judged)
        effects += any(column.drifted and column.psi >= 0.25 for column in judged)
    three_sigma = 3 * np.sqrt(0.05 * 0.95 * days)
    assert alarms <= 0.05 * days + three_sigma
    assert effects <= alarms / 4 + 3  # asking for an effect as well alarms far less


@pytest.mark.parametrize(
    ("what", "reference", "current"),
    [
        ("shift", np.linspace(0, 1, 500), np.linspace(0.4, 1.4, 150)),
        ("spread", np.linspace(-1, 1, 500), np.linspace(-4, 4, 150)),
        ("constant left", np.zeros(500), np.full(150, -1.0)),
        ("constant left upwards", np.zeros(500), np.full(150, 1e-30)),
        ("goes missing", np.linspace(0, 1, 500), np.full(150, np.nan)),
        ("half goes missing", np.linspace(0, 1, 500),
         np.r_[np.linspace(0, 1, 75), np.full(75, np.nan)]),
        ("comes to exist", np.full(500, np.nan), np.linspace(0, 1, 150)),
        ("a rare value grows common", np.r_[np.zeros(495), np.ones(5)],
         np.r_[np.zeros(75), np.ones(75)]),
    ],
)
def test_a_planted_change_is_drift(what: str, reference: Vector, current: Vector) -> None:
    judged = compare({what: ColumnSamples(reference=reference, current=current)}, POLICY)[0]
    assert judged.drifted


def test_a_large_change_of_few_rows_is_not_significant_and_is_no_drift() -> None:
    judged = compare(
        {"x": ColumnSamples(reference=np.linspace(0, 1, 500), current=np.array([0.9, 0.95]))},
        POLICY,
    )[0]
    assert judged.psi > POLICY.effect
    assert not judged.drifted


def test_a_tiny_change_of_many_rows_is_significant_and_yet_no_drift() -> None:
    reference = np.linspace(0, 1, 20_000)
    judged = compare({"x": ColumnSamples(reference=reference, current=reference + 0.03)}, POLICY)[0]
    assert judged.p_value < 1e-6
    assert not judged.drifted


def test_shares_of_missing_values_are_told() -> None:
    judged = compare(
        {"x": ColumnSamples(reference=np.array([1.0, np.nan]), current=np.array([np.nan, np.nan]))},
        POLICY,
    )[0]
    assert (judged.reference_missing, judged.missing) == (0.5, 1.0)
