"""Laws of evidence that may be looked at after every row."""

from __future__ import annotations

import doctest
from math import inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.target import Floats, Whole
from ml_assets.evaluation import sequential
from ml_assets.evaluation.sequential import BoundedLeads, ClusteredLeads

LEADS = st.lists(st.floats(-1, 1), min_size=1, max_size=60)
SURE = log(1 / 0.05)


def test_the_examples_of_the_module_hold() -> None:
    failed, tried = doctest.testmod(sequential)
    assert (failed, tried > 2) == (0, True)


@given(LEADS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_rows_does_not_matter(values: list[float], draw: object) -> None:
    leads_N = np.array(values)
    straight, back = (BoundedLeads.of(each, 1.0) for each in (leads_N, leads_N[::-1]))
    assert back.against(0.1) == pytest.approx(straight.against(0.1), abs=1e-9)
    assert straight.path(0.1)[-1] == pytest.approx(straight.against(0.1), abs=1e-9)
    assert back.interval() == pytest.approx(straight.interval(), abs=1e-6)


@given(LEADS)
@settings(deadline=None)
def test_evidence_falls_with_what_is_claimed_and_the_interval_holds_the_mean(
    values: list[float],
) -> None:
    leads = BoundedLeads.of(np.array(values), 1.0)
    falling = [leads.against(mean) for mean in (-0.9, -0.5, 0.0, 0.5, 0.9)]
    assert falling == sorted(falling, reverse=True)
    low, high = leads.interval()
    assert -1 <= low <= leads.mean <= high <= 1


def test_the_longest_run_of_one_side_is_what_a_bet_on_it_yields() -> None:
    """All stakes grow by as much as they are: no row says more than log(1 + stake)."""
    won = BoundedLeads.of(np.ones(5), 1.0)
    expected = np.mean([(1 + stake) ** 5 for stake in sequential.STAKES])
    assert won.against(0.0) == pytest.approx(log(expected))
    assert won.against(-1.0) == inf  # a mean of -1 allows no other lead than -1


@pytest.mark.parametrize("kind", ["coins", "rare", "drifting"])
def test_equal_models_are_rarely_taken_for_different_ones_however_often_one_looks(
    kind: str,
) -> None:
    """The law: at most 5% of lives, whatever the leads look like. Here 400 lives of 1,500 rows;
    more than 8% would come of 5% in one of 600 cases."""
    draw = np.random.default_rng(7)
    crossed = 0
    for _ in range(400):
        crossed += bool((BoundedLeads.of(_equal(kind, draw, 1_500), 1.0).path(0.0) >= SURE).any())
    assert crossed / 400 <= 0.08


def _equal(kind: str, draw: np.random.Generator, rows: int) -> Floats:
    if kind == "coins":
        return draw.choice([-1.0, 1.0], rows)
    if kind == "rare":  # one loss of 1 makes up for 99 gains of 0.01
        return np.where(draw.random(rows) < 0.0099, -1.0, 0.01)
    # What comes next depends on what was, its mean never exceeds 0.
    swing = np.sin(np.arange(rows) / 100)
    return draw.choice([-1.0, 1.0], rows) * np.abs(swing) - 0.01 * np.abs(swing)


def test_a_better_model_is_found_and_a_worse_one_too() -> None:
    draw = np.random.default_rng(8)
    leads_N = np.clip(draw.normal(0.03, 0.25, 2_000), -1, 1)
    leads = BoundedLeads.of(leads_N, 1.0)
    assert leads.against(0.0) > SURE and leads.mirrored.against(0.0) < 0
    low, high = leads.interval()
    assert 0 < low < leads.mean < high


def test_a_smaller_reach_known_before_makes_bets_bolder() -> None:
    leads_N = np.full(200, 0.05)
    assert BoundedLeads.of(leads_N, 0.5).against(0.0) > BoundedLeads.of(leads_N, 1.0).against(0.0)


def users(draw: np.random.Generator, count: int, rows: int) -> tuple[Floats, Whole]:
    """Rows of users who each like one of two equal models better, in the order in which they
    come back."""
    taste = draw.normal(0, 0.3, count)
    unit_N = np.tile(np.arange(count), rows)
    return np.clip(taste[unit_N] + draw.normal(0, 0.1, count * rows), -1, 1), unit_N


def test_rows_of_one_user_are_no_evidence_of_their_own() -> None:
    """Of 200 lives with 60 users, looked at on each of 30 days: clustered at most 8%, while the
    same rows taken for independent ones cry in more than a fifth."""
    draw, clustered, alone = np.random.default_rng(9), 0, 0
    for _ in range(200):
        leads_N, unit_N = users(draw, 60, 30)
        looks = [60 * day for day in range(1, 31)]
        clustered += any(ClusteredLeads.of(leads_N[:look], unit_N[:look], 1.0).against(0.0) >= SURE
                         for look in looks)
        alone += bool((BoundedLeads.of(leads_N, 1.0).path(0.0) >= SURE).any())
    assert clustered / 200 <= 0.08
    assert alone / 200 > 1 / 5


def test_clustered_evidence_finds_what_most_users_gain() -> None:
    draw = np.random.default_rng(10)
    leads_N, unit_N = users(draw, 400, 5)
    leads = ClusteredLeads.of(leads_N + 0.1, unit_N, 1.5)
    assert leads.against(0.0) > SURE > leads.mirrored.against(0.0)
    low, high = leads.interval()
    assert 0 < low < leads.mean < high


def test_few_users_say_nothing() -> None:
    leads = ClusteredLeads.of(np.full(400, 0.5), np.arange(400) % 40, 1.0)
    assert leads.against(0.0) == 0.0
    assert leads.interval() == (-1.0, 1.0)


def test_no_rows_say_nothing() -> None:
    nothing = BoundedLeads.of(np.empty(0), 1.0)
    assert nothing.rows == 0 and nothing.against(0.0) == pytest.approx(0)
