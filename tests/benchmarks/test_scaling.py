"""Laws of the simulation of the log's turn."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scaling_load.turns import simulated

seconds = st.floats(0.001, 1)


@settings(max_examples=20, deadline=None)
@given(seconds, seconds, st.integers(1, 6))
def test_writers_fill_the_turn_and_no_more(held: float, between: float, writers: int) -> None:
    """With times that never vary: each at its own pace, until the turn is always held."""
    rate = simulated([held], [between], writers, turns=2_000)
    assert rate == pytest.approx(min(writers / (held + between), 1 / held), rel=0.02)


@settings(max_examples=20, deadline=None)
@given(st.lists(seconds, min_size=2, max_size=5), st.lists(seconds, min_size=2, max_size=5))
def test_more_writers_never_do_less_and_never_more_than_the_turn_allows(
    held: list[float], between: list[float]
) -> None:
    rates = [simulated(held, between, writers, turns=2_000) for writers in (1, 2, 4, 8)]
    assert all(later > 0.9 * earlier for earlier, later in pairwise(rates))
    assert max(rates) < 1.1 * len(held) / sum(held)
