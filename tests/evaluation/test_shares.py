"""Laws of evidence on shares, looked at after every trial."""

from __future__ import annotations

import doctest
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.evaluation import shares
from ml_assets.evaluation.shares import SharesApart, log_e_above

SURE = log(1 / 0.05)
LIVES = 300


def test_the_examples_of_the_module_hold() -> None:
    failed, tried = doctest.testmod(shares)
    assert (failed, tried > 3) == (0, True)


@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from([0.0005, 0.05, 0.4]))
def test_a_hit_is_evidence_and_a_miss_speaks_against_it(
    hits: int, misses: int, most: float
) -> None:
    here = log_e_above(hits, hits + misses, most)
    assert log_e_above(hits + 1, hits + misses + 1, most) > here
    assert log_e_above(hits, hits + misses + 1, most) < here


@pytest.mark.parametrize("most", [0.0005, 0.05, 0.4])
def test_a_share_at_its_bound_is_rarely_found_above_it_however_often_one_looks(
    most: float,
) -> None:
    """At most 5% of lives: here 300, of which 9% would be a chance of 1 in 300."""
    draw = np.random.default_rng(3)
    crossed = 0
    for _ in range(LIVES):
        hits = np.cumsum(draw.random(3_000) < most)
        # Between two hits the evidence falls: its peaks are at hits.
        at = np.flatnonzero(np.diff(hits, prepend=0))
        crossed += any(log_e_above(int(hits[n]), int(n) + 1, most) >= SURE for n in at)
    assert crossed / LIVES <= 0.09


@pytest.mark.parametrize(("most", "share", "trials"), [
    (0.0005, 0.05, 100), (0.05, 0.5, 20), (0.4, 0.8, 80)])
def test_a_share_well_above_its_bound_is_found_soon(
    most: float, share: float, trials: int
) -> None:
    draw = np.random.default_rng(4)
    found = [log_e_above(int((draw.random(trials) < share).sum()), trials, most) >= log(1 / 0.0025)
             for _ in range(100)]
    assert np.mean(found) >= 0.9


def life(draw: np.random.Generator, worse: float, *, outages: bool) -> bool:
    """Whether the first of two groups is ever found to have more hits, in 200 blocks. outages: in
    some blocks nearly every trial of both is a hit."""
    apart = SharesApart()
    for _ in range(200):
        chance = 0.98 if outages and draw.random() < 0.1 else 0.02
        trials, others = int(draw.integers(1, 4)), int(draw.integers(1, 40))
        apart.add(int(draw.binomial(trials, min(chance + worse, 1))), trials,
                  int(draw.binomial(others, chance)), others)
        if apart.log_e >= SURE:
            return True
    return False


@pytest.mark.parametrize("outages", [False, True])
def test_what_happens_to_both_groups_alike_is_no_evidence(outages: bool) -> None:
    draw = np.random.default_rng(5)
    assert np.mean([life(draw, 0.0, outages=outages) for _ in range(LIVES)]) <= 0.09


@pytest.mark.parametrize("outages", [False, True])
def test_a_group_with_more_hits_is_found(outages: bool) -> None:
    draw = np.random.default_rng(6)
    assert np.mean([life(draw, 0.3, outages=outages) for _ in range(100)]) >= 0.95
