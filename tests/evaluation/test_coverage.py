"""Nominal 95% intervals hold the truth in about 95% of samples: simulated, metric by metric."""

from __future__ import annotations

import doctest
from collections import Counter
from collections.abc import Callable, Mapping
from statistics import NormalDist

import numpy as np
import pytest

from ml_assets.core.target import Floats, Target
from ml_assets.evaluation import intervals
from ml_assets.evaluation.comparison import Comparison, compare
from ml_assets.targets import Binary, Classes, Number

REPEATS = 300
MOST_MISSED = 0.1
"""Of all samples. By 300 samples a share of 5% is measured to within 2.5 points, and 7% is what may
be. Coarse metrics (few errors, perfect separation) miss less often; an interval that is not given
misses nothing."""
LARGE = 200_000
BINARY = Binary(name="answer")
KINDS = Classes(name="kind", classes=("a", "b", "c"))
SIZE = Number(name="size", unit="m", tolerance=1.0)
Draw = Callable[[int, np.random.Generator], tuple[Floats, Floats]]


def test_the_examples_of_the_module_hold() -> None:
    failed, tried = doctest.testmod(intervals)
    assert (failed, tried > 2) == (0, True)


def binary(auc: float) -> Draw:
    """Calibrated probabilities, three of ten rows True."""
    edge = NormalDist().inv_cdf(auc) / np.sqrt(2)

    def draw(rows: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        codes_N = (generator.random(rows) < 0.3).astype(float)
        seen_N = edge * (2 * codes_N - 1) + generator.normal(size=rows)
        logit_N = 2 * edge * seen_N + np.log(0.3 / 0.7)
        return codes_N, (1 / (1 + np.exp(-logit_N)))[:, None]

    return draw


def classes(rows: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    codes_N = generator.choice(3, rows, p=[0.5, 0.3, 0.2])
    logits_NK = 2.5 * np.eye(3)[codes_N] + generator.normal(size=(rows, 3))
    shares_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
    return codes_N.astype(float), shares_NK


def number(rows: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Errors with a heavy tail (Student's t with 8 degrees)."""
    truth_N = generator.normal(0, 3, rows)
    return truth_N, (truth_N + generator.standard_t(8, rows))[:, None]


def covered(target: Target, draw: Draw, rows: int, truth: Mapping[str, float]) -> tuple[
        Counter[str], Counter[str]]:
    """How often each metric had an interval, and how often it held the truth."""
    generator, given, held = np.random.default_rng(rows), Counter[str](), Counter[str]()
    for _ in range(REPEATS):
        codes_N, outputs_NW = draw(rows, generator)
        found = compare(target, codes_N, outputs_NW, None, resamples=200).candidate
        for name, each in found.items():
            if each.low is not None and each.high is not None:
                given[name] += 1
                held[name] += each.low <= truth[name] <= each.high
    return given, held


def truth_of(target: Target, draw: Draw) -> dict[str, float]:
    compared = compare(target, *draw(LARGE, np.random.default_rng(0)), None, resamples=0)
    return {name: each.value for name, each in compared.candidate.items() if each.value is not None}


CELLS: list[tuple[str, Target, Draw, int]] = [
    *((f"auc {auc:g}, {rows} rows", BINARY, binary(auc), rows)
      for auc in (0.78, 0.9, 0.9964, 0.9999) for rows in (60, 160, 1_000)),
    *((f"classes, {rows} rows", KINDS, classes, rows) for rows in (60, 400)),
    *((f"number, {rows} rows", SIZE, number, rows) for rows in (60, 400)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "draw", "rows"), [each[1:] for each in CELLS],
                         ids=[each[0] for each in CELLS])
def test_intervals_hold_the_truth_as_often_as_they_say(
    target: Target, draw: Draw, rows: int
) -> None:
    truth = truth_of(target, draw)
    given, held = covered(target, draw, rows, truth)
    assert len(given) >= 4
    missed = {name: (given[name] - held[name]) / REPEATS for name in given}
    assert {name: share for name, share in missed.items() if share > MOST_MISSED} == {}


def lead(first: Floats, second: Floats, codes_N: Floats) -> Comparison:
    return compare(BINARY, codes_N, first, second, resamples=200)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [80, 400])
def test_a_lead_of_nothing_is_held_as_often_as_it_says(rows: int) -> None:
    """Two equal models with noise of their own: the interval of the lead holds 0."""
    generator, held, given = np.random.default_rng(rows), Counter[str](), Counter[str]()
    for _ in range(REPEATS):
        codes_N = (generator.random(rows) < 0.3).astype(float)
        same_N = generator.normal(size=rows)
        outputs = []
        for _ in range(2):
            seen_N = 1.8 * (2 * codes_N - 1) + 0.9 * same_N + 0.436 * generator.normal(size=rows)
            outputs.append((1 / (1 + np.exp(-3.6 * seen_N)))[:, None])
        better_by = lead(outputs[0], outputs[1], codes_N).better_by
        assert better_by is not None
        for name in ("log_loss", "roc_auc", "average_precision"):
            low, high = better_by[name].low, better_by[name].high
            if low is not None and high is not None:
                given[name] += 1
                held[name] += low <= 0 <= high
    assert all(given[name] - held[name] <= MOST_MISSED * REPEATS for name in given), (held, given)


def test_perfect_separation_of_sixty_rows_is_not_certain() -> None:
    """J6: an interval of [1, 1] would say that no pair of rows could ever be in disorder."""
    codes_N = (np.arange(60) % 3 == 0).astype(float)
    found = compare(BINARY, codes_N, (0.1 + 0.8 * codes_N)[:, None], None).candidate["roc_auc"]
    assert found.value == found.high == 1.0
    assert found.low is not None and 0.8 < found.low < 0.9


def test_two_perfect_models_do_not_lead_for_certain() -> None:
    codes_N = (np.arange(60) % 3 == 0).astype(float)
    # Both perfect, by different placements: no pair of rows tells them apart.
    one, other = ((0.1 + width * codes_N)[:, None] for width in (0.8, 0.5))
    better_by = lead(one, other, codes_N).better_by
    assert better_by is not None
    found = better_by["roc_auc"]
    assert found.value == 0.0
    assert found.low is not None and found.high is not None
    assert found.low < -0.1 < 0.1 < found.high


def test_what_few_rows_cannot_say_has_no_interval() -> None:
    codes_N, outputs_N1 = binary(0.9)(200, np.random.default_rng(1))
    found = compare(BINARY, codes_N, outputs_N1, None).candidate
    for name in ("recall_at_fpr_1%", "calibration_error"):
        assert found[name].value is not None and found[name].low is None
    codes_N, outputs_N1 = binary(0.9)(2_000, np.random.default_rng(1))
    assert compare(BINARY, codes_N, outputs_N1, None).candidate["recall_at_fpr_1%"].low is not None
