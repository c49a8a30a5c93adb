"""What two versions did on the same events, judged as it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ml_assets.core.policies import Guardrails
from ml_assets.serving.guardrails.side_by_side import Breach, SideBySide

POLICY = Guardrails()
Draw = np.random.Generator
Models = Callable[[Draw, int], tuple[np.ndarray, np.ndarray]]
"""Outputs (N, W) of both for the same N events."""


def side(policy: Guardrails | None = POLICY) -> SideBySide:
    return SideBySide(2, 1, policy)


def breached(
    both: SideBySide, own_NW: np.ndarray, other_NW: np.ndarray, *, at_once: int = 10
) -> tuple[str, int] | None:
    """The guardrail that is breached first and after how many events; looked at now and then."""
    for start in range(0, len(own_NW), at_once):
        for own, other in zip(own_NW[start:start + at_once], other_NW[start:start + at_once],
                              strict=True):
            both.paired(tuple(own), tuple(other), None)
        if (found := both.breach()) is not None:
            return found.guardrail, start + at_once
    return None


def probabilities(draw: Draw, rows: int, *, alike: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Two models of a rare label that learnt from different rows."""
    shared, *alone = draw.normal(size=(3, rows))
    own, other = (1 / (1 + np.exp(-3 * (np.sqrt(alike) * shared + np.sqrt(1 - alike) * each) + 3))
                  for each in alone)
    return own[:, None], other[:, None]


def forecasts(draw: Draw, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected numbers with an interval, by two models of which one is a little higher."""
    middle_N = draw.normal(100, 30, rows)
    other = np.stack([middle_N - 10, middle_N, middle_N + 10], axis=1)
    return other * 1.05 + draw.normal(0, 5, (rows, 1)), other


def choices(draw: Draw, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes."""
    logits = draw.normal(size=(rows, 3)) * 2
    own, other = (np.exp(logits + draw.normal(0, 0.4, (rows, 3))) for _ in range(2))
    return own / own.sum(1, keepdims=True), other / other.sum(1, keepdims=True)


@pytest.mark.parametrize("models", [probabilities, forecasts, choices])
def test_two_sound_models_are_left_alone(models: Models) -> None:
    for seed in range(10):
        assert breached(side(), *models(np.random.default_rng(seed), 1_000), at_once=50) is None


@pytest.mark.parametrize(("models", "broken"), [
    (probabilities, lambda own: 1 - own), (forecasts, lambda own: own * 3),
    (choices, lambda own: np.roll(own, 1, axis=1)),
], ids=["a flipped sign", "another unit", "classes in another order"])
def test_a_model_that_says_something_else_is_found_within_few_events(
    models: Models, broken: Callable[[np.ndarray], np.ndarray]
) -> None:
    for seed in range(20):
        own, other = models(np.random.default_rng(seed), 2_000)
        found = breached(side(), broken(own), other)
        assert found is not None and found[0] == "changed" and found[1] <= 250


def test_small_probabilities_that_become_larger_ones_are_still_small() -> None:
    """A model that has learnt that frauds are ten times as frequent is not broken."""
    other_N = 10 ** np.random.default_rng(2).normal(-3.5, 0.3, 2_000)
    for share, found in ((5 * other_N, None), (1 - other_N, "changed")):
        both = SideBySide(2, 1, POLICY, bounds=(0.0, 1.0))
        breach = breached(both, share[:, None], other_N[:, None])
        assert (None if breach is None else breach[0]) == found
    unbounded = breached(side(), 5 * other_N[:, None], other_N[:, None])
    assert unbounded is not None, "of numbers without bounds nobody knows what is small"


def judged_by_order(orders: Callable[[Draw, np.ndarray], np.ndarray]) -> Breach | None:
    """After 40 slates of seven rows, of which the other's scores are given."""
    both, draw = side(), np.random.default_rng(3)
    for slate in range(40):
        other_N = np.sort(draw.normal(size=7))[::-1]
        for own, other in zip(orders(draw, other_N), other_N, strict=True):
            both.paired((float(own),), (float(other),), f"slate {slate}")
    return both.breach()


@pytest.mark.parametrize("orders", [
    lambda draw, other_N: other_N / 9 - 5,
    lambda draw, other_N: other_N + draw.normal(size=7) + 20,
    lambda draw, other_N: draw.normal(size=7),
], ids=["other scores", "and a little other order", "nothing in common"])
def test_of_slates_only_the_order_counts(
    orders: Callable[[Draw, np.ndarray], np.ndarray]
) -> None:
    """Of its best ten of all items a sound model may think in any order."""
    assert judged_by_order(orders) is None


def test_slates_the_other_way_round_are_found() -> None:
    found = judged_by_order(lambda draw, other_N: draw.normal(size=7) - 2 * other_N)
    assert found is not None and found.guardrail == "changed"
    assert found.reason.endswith("of 40 slates rather the other way round than version 1")


def test_a_row_alone_has_no_order() -> None:
    both = side()
    for slate in range(200):
        both.paired((float(slate),), (-float(slate),), f"slate {slate}")
        assert both.breach() is None


@pytest.mark.parametrize("models", [probabilities, forecasts, choices])
def test_a_model_that_says_the_same_of_everything_is_found_at_once(models: Models) -> None:
    own, other = models(np.random.default_rng(1), 200)
    assert breached(side(), np.repeat(own[:1], 200, axis=0), other) == ("constant_after", 50)
    # Events that are all the same are nobody's fault.
    assert breached(side(), np.repeat(own[:1], 200, axis=0),
                    np.repeat(other[:1], 200, axis=0)) is None


def test_two_failures_at_first_end_it_and_one_in_ten_thousand_does_not() -> None:
    first, late = side(), side()
    assert not first.failed(ValueError("no"), invalid=False)
    assert first.failed(ValueError("no"), invalid=False)
    late.scored(10_000)
    assert not late.failed(ValueError("no"), invalid=False)
    assert late.breach() is None
    found = first.breach()
    assert found is not None and "ValueError: no" in found.reason


def test_outputs_that_are_none_are_never_tolerated() -> None:
    both = side(replace(POLICY, failures=None))
    both.scored(1_000_000)
    assert both.failed(ValueError("it gave NaN"), invalid=True)
    found = both.breach()
    assert found is not None and (found.guardrail, found.reason) == ("outputs", "it gave NaN")


def test_slow_is_what_takes_longer_than_the_bound_and_than_the_other_on_the_same_event() -> None:
    busy, slow, quick = side(), side(), side()
    for _ in range(200):
        busy.timed(0.200, 0.190)  # the machine is slow, not the version
        quick.timed(0.009, 0.0001)  # much slower than the other, and quick enough
    for _ in range(4):
        slow.timed(0.030, 0.001)
    assert busy.breach() is None and quick.breach() is None
    found = slow.breach()
    assert found is not None and found.guardrail == "slow_ms" and "30 ms" in found.reason


def test_missing_features_count_against_a_version_only_while_the_other_has_its_own() -> None:
    outage, own = side(), side()
    for _ in range(100):
        for version in (1, 2):
            outage.read(version, degraded=True)
        own.read(1, degraded=False)
        own.read(2, degraded=True)
        assert outage.breach() is None
        found = own.breach()
    assert found is not None and found.guardrail == "degraded"


def test_an_answer_that_depends_on_its_neighbours_is_found() -> None:
    both = side()
    both.alone("p1", (0.25,))
    both.again("p2", (0.5,))
    both.again("p1", (0.25 + 1e-9,))
    assert both.breach() is None
    both.alone("p3", (0.25,))
    both.again("p3", (0.26,))
    found = both.breach()
    assert found is not None and found.guardrail == "parity" and "p3" in found.reason


def test_without_a_policy_the_first_failure_ends_it_and_nothing_else_is_judged() -> None:
    both = side(None)
    assert both.failed(ValueError("no"), invalid=True)
    assert both.breach() is None
