"""Laws of what is measured of each kind of target, and agreement with scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as peer

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.target import Floats, Label, Target
from ml_assets.evaluation.comparison import compare
from ml_assets.targets import Classes, Number
from tests.targets.test_laws import TARGETS, about, drawn, each_target

MEANS = ("log_loss", "brier", "squared_error", "mae", "bias", "squared_log_error", "cost",
         "cost_of_misses", "cost_of_alarms", "accuracy", "within_tolerance", "r2")
"""Sums over rows, divided by how many rows there are, whatever these weigh."""


def some(target: Target, labels: list[Label], rows: int, seed: int) -> tuple[Floats, Floats]:
    """Codes and outputs of rows in which each of `labels` occurs, some outputs equal."""
    draw = np.random.default_rng(seed)
    codes = target.codes(
        [labels[place % len(labels)] if place < len(labels) else labels[draw.integers(len(labels))]
         for place in range(rows)])
    outputs = drawn(target, rows, seed)
    return codes, outputs[draw.integers(rows, size=rows)]


def measured(
    target: Target, codes: Floats, outputs: Floats, subjects: Subjects | None = None
) -> dict[str, float]:
    subjects = Subjects.unknown(len(codes)) if subjects is None else subjects
    values = target.measured(codes, outputs, subjects).measure(np.ones((1, len(codes))))
    return {name: float(value[0]) for name, value in values.items()}


def copies(subjects: Subjects, times: NDArray[np.int64]) -> Subjects:
    """Of rows that are repeated: each copy is of a slate of its own."""
    taken = np.repeat(np.arange(len(times)), times)
    copy = np.concatenate([np.arange(each) for each in times])
    of = subjects.of_rows(taken)
    ids = [f"{number}-{event_id}" for number, event_id in zip(copy, of.event_ids, strict=True)]
    return replace(of, event_ids=np.array(ids, dtype=object))


@each_target
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(5, 40))
@settings(max_examples=25, deadline=None)
def test_every_metric_is_measured_and_within_its_bounds(
    target: Target, labels: list[Label], seed: int, rows: int
) -> None:
    """The first is the mean loss of a case."""
    codes, outputs = some(target, labels, rows, seed)
    subjects = about(rows, seed)
    values = measured(target, codes, outputs, subjects)
    assert set(values) == set(target.metrics) >= set(target.shown)
    for name, metric in target.metrics.items():
        if not np.isnan(values[name]):
            assert metric.lowest - 1e-9 <= values[name] <= metric.highest + 1e-9, name
    cases = target.cases(codes, outputs, subjects)
    assert cases.losses.shape == cases.rows.shape and len(cases.rows)
    assert values[target.currency] == pytest.approx(cases.losses.mean())
    for name, (hits, trials) in target.measured(codes, outputs, subjects).shares.items():
        assert values[name] == pytest.approx(hits / trials)


@each_target
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(5, 40))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_does_not_matter(
    target: Target, labels: list[Label], seed: int, rows: int
) -> None:
    codes, outputs = some(target, labels, rows, seed)
    order, subjects = np.random.default_rng(seed).permutation(rows), about(rows, seed)
    assert measured(target, codes[order], outputs[order], subjects.of_rows(order)) == pytest.approx(
        measured(target, codes, outputs, subjects), nan_ok=True)


@each_target
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(5, 40))
@settings(max_examples=25, deadline=None)
def test_a_weighting_measures_what_repeated_rows_measure(
    target: Target, labels: list[Label], seed: int, rows: int
) -> None:
    """Some units more than once, others never; bins stay those of the sample."""
    codes, outputs = some(target, labels, rows, seed)
    subjects = about(rows, seed)
    unit_N = target.units(subjects)
    unit_N = np.arange(rows) if unit_N is None else unit_N
    units = int(unit_N.max()) + 1
    times = np.bincount(
        np.random.default_rng(seed).integers(units, size=units), minlength=units)[unit_N]
    resampled = times[None].astype(float)
    taken = np.repeat(np.arange(rows), times)
    weighted = target.measured(codes, outputs, subjects).measure(resampled)
    repeated = measured(target, codes[taken], outputs[taken], copies(subjects, times))
    for name in target.metrics:
        if name != "calibration_error":
            assert weighted[name][0] == pytest.approx(repeated[name], nan_ok=True), name


@each_target
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(20, 60))
@settings(max_examples=15, deadline=None)
def test_what_rows_add_is_how_the_metric_moves_with_their_weights(
    target: Target, labels: list[Label], seed: int, rows: int
) -> None:
    """Its mean is the value; of units, what all their rows add together."""
    codes, outputs = some(target, labels, rows, seed)
    subjects, step = about(rows, seed), 1e-6
    unit_N = target.units(subjects)
    unit_N = np.arange(rows) if unit_N is None else unit_N
    units = int(unit_N.max()) + 1
    moved = step * (unit_N == np.arange(units)[:, None])
    sample = target.measured(codes, outputs, subjects)
    value = {name: each[0] for name, each in sample.measure(np.ones((1, rows))).items()}
    heavier = sample.measure(1 + moved)
    for name, groups in sample.contributions.items():
        if len(groups) > 1 or not len(groups[0]) or np.isnan(value[name]):
            continue
        if name != "r2":  # around a mean that moves too
            assert groups[0].mean() == pytest.approx(value[name], abs=1e-9), name
        if len(groups[0]) == units and name not in MEANS:
            slope = (heavier[name] - value[name]) / step
            assert (groups[0] - value[name]) / units == pytest.approx(slope, abs=1e-4), name


@each_target
def test_equal_models_have_no_lead_and_a_better_one_has(
    target: Target, labels: list[Label]
) -> None:
    """Their intervals say so."""
    codes, outputs = some(target, labels, 300, 3)
    subjects = about(300, 3, users=20)
    equal = compare(target, codes, outputs, outputs.copy(), subjects=subjects)
    assert equal.better_by is not None
    for lead in equal.better_by.values():
        assert (lead.value, lead.low, lead.high) == (0, 0, 0)
    best = np.stack([target.constant(codes[[row]]) for row in range(300)])
    better = compare(target, codes, best, outputs, subjects=subjects).better_by
    assert better is not None
    lead = better[target.currency]
    assert lead.low is not None and lead.low > 0


@each_target
def test_what_may_be_refused_by_a_default_gate_is_a_metric(
    target: Target, labels: list[Label]
) -> None:
    """The last one is the champion's loss."""
    assert all(gate.metric in target.metrics for gate in target.gates)
    assert target.gates[-1].better_than_champion_by == 0


@each_target
def test_rates_of_decisions_are_shares_of_rows(target: Target, labels: list[Label]) -> None:
    codes, outputs = some(target, labels, 60, 1)
    for hits, trials in target.rates(codes, target.decide(outputs)).values():
        assert 0 <= hits <= trials <= 60
    assert target.described(codes).startswith("60 rows")
    assert target.enough(codes) and not target.enough(codes[:1])


@pytest.mark.parametrize("target", [target for target, _ in TARGETS], ids=lambda each: each.name)
def test_no_rows_are_measured_as_nothing(target: Target) -> None:
    none = np.empty((0, len(target.outputs)))
    assert np.isnan(list(measured(target, np.empty(0), none).values())).all()
    assert target.described(np.empty(0)).startswith("0 rows")


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(4, 60))
@settings(max_examples=25, deadline=None)
def test_scikit_learn_agrees_on_classes(seed: int, rows: int) -> None:
    target = Classes(name="queue", classes=("a", "b", "c", "d"))
    codes, outputs = some(target, ["a", "b", "c", "d"], rows, seed)
    ours, decided = measured(target, codes, outputs), outputs.argmax(axis=1)
    assert ours["log_loss"] == pytest.approx(peer.log_loss(codes, outputs, labels=range(4)))
    assert ours["accuracy"] == pytest.approx(peer.accuracy_score(codes, decided))
    assert ours["macro_recall"] == pytest.approx(peer.balanced_accuracy_score(codes, decided))
    assert ours["macro_f1"] == pytest.approx(peer.f1_score(codes, decided, average="macro"))
    assert ours["brier"] == pytest.approx(
        peer.brier_score_loss(codes, outputs, labels=range(4), scale_by_half=False))


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(3, 60))
@settings(max_examples=25, deadline=None)
def test_scikit_learn_agrees_on_numbers(seed: int, rows: int) -> None:
    target = Number(name="delay", unit="min", tolerance=5)
    codes, outputs = some(target, [0.0, 1e6, 37.5], rows, seed)
    ours, predicted = measured(target, codes, outputs), outputs[:, 0]
    assert ours["squared_error"] == pytest.approx(peer.mean_squared_error(codes, predicted))
    assert ours["rmse"] == pytest.approx(peer.root_mean_squared_error(codes, predicted))
    assert ours["mae"] == pytest.approx(peer.mean_absolute_error(codes, predicted))
    assert ours["r2"] == pytest.approx(peer.r2_score(codes, predicted))
    assert ours["bias"] == pytest.approx((predicted - codes).mean())
    assert ours["within_tolerance"] == pytest.approx((np.abs(predicted - codes) <= 5).mean())


def test_a_lead_in_bias_compares_sizes() -> None:
    """An answer that is 2 too low on average is better than one that is 3 too high."""
    target = Number(name="delay", unit="min", tolerance=5)
    codes = np.linspace(0, 10, 50)
    low, high = (codes + shift for shift in (-2.0, 3.0))
    better = compare(target, codes, low[:, None], high[:, None]).better_by
    assert better is not None and better["bias"].value == pytest.approx(1)


def test_numbers_that_are_all_the_same_have_no_r2() -> None:
    target = Number(name="delay", unit="min", tolerance=5)
    same = np.full(20, 0.1)
    assert np.isnan(measured(target, same, same[:, None] + 1)["r2"])
