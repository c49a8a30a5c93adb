"""Laws of what stretches of a column hold, against numpy on each stretch alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.exact import Floats, Ints, split, to_float
from ml_assets.features.engine.functions import distinct, extremes
from ml_assets.features.engine.functions.distinct import SKETCH, RangeDistinct
from ml_assets.features.engine.functions.extremes import RangeExtreme, powers, two_runs
from ml_assets.features.engine.functions.frequent import Commonest
from ml_assets.features.engine.functions.sums import Totals

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def stretches(chance: np.random.Generator, n: int, m: int = 40) -> tuple[Ints, Ints]:
    """Half of them short."""
    first = chance.integers(0, n + 1, m)
    length = np.where(np.arange(m) % 2, chance.integers(0, 70, m), chance.integers(0, n + 1, m))
    return first, np.minimum(first + length, n)


@given(seeds, st.sampled_from((0, 1, 31, 32, 33, 64, 700, 2500)), st.booleans())
@settings(deadline=None)
def test_the_smallest_and_the_largest_value_of_a_stretch(
    chance: np.random.Generator, n: int, short: bool
) -> None:
    """Each reduced on its own, or by runs."""
    values = chance.choice(chance.normal(size=max(n // 3, 1)), n)
    first, end = stretches(chance, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extremes, "_SHORT", 1000 if short else -1)
        patch.setattr(extremes, "_FEW", -1)
        smallest = RangeExtreme(values, np.minimum).between(first, end)
        largest = RangeExtreme(values, np.maximum).between(first, end)
    for low, high, start, stop in zip(smallest, largest, first, end, strict=True):
        np.testing.assert_equal(low, values[start:stop].min() if stop > start else np.nan)
        np.testing.assert_equal(high, values[start:stop].max() if stop > start else np.nan)


@given(seeds, st.sampled_from((0, 1, 700, 70_000)))
@settings(max_examples=20, deadline=None)
def test_the_sum_of_a_stretch_is_that_of_its_values_alone(
    chance: np.random.Generator, n: int
) -> None:
    """To the last bit, whatever lies before."""
    values = np.exp(chance.normal(0, 12, n)) * chance.choice([-1, 1], n)
    first, end = stretches(chance, n)
    found = to_float(Totals(values, split).between(first, end))
    for value, start, stop in zip(found, first, end, strict=True):
        alone = Totals(values[start:stop], split)
        assert value == to_float(alone.between(np.array([0]), np.array([stop - start])))[0]


@given(seeds, st.sampled_from((1, 2, 5, 400)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_most_frequent_value_of_a_stretch(
    chance: np.random.Generator, distinct: int, weighted: bool
) -> None:
    """Of equally frequent ones the smallest, in whatever order stretches are asked about."""
    values = chance.integers(-distinct, distinct, 700) / 4
    weight = chance.integers(1, 4, len(values)) if weighted else None
    first, end = stretches(chance, len(values))
    found = Commonest(values, weight).between(first, end)
    for value, start, stop in zip(found, first, end, strict=True):
        counts = Counter(dict.fromkeys(values[start:stop].tolist(), 0))
        for place in range(start, stop):
            counts[float(values[place])] += 1 if weight is None else int(weight[place])
        most = max(counts.values(), default=0)
        np.testing.assert_equal(
            value, min((each for each in counts if counts[each] == most), default=np.nan))


def test_the_place_of_a_mode_is_found_in_steps_that_do_not_grow_with_the_window() -> None:
    """Else a long window over many events would take hours."""
    chance = np.random.default_rng(3)
    values = chance.integers(0, 3000, 30_000).astype(np.float64)
    end = np.arange(1, len(values) + 1)
    counted = Counting(values, None)
    counted.between(np.maximum(end - 20_000, 0), end)
    assert counted.steps <= 2 * len(values)


class Counting(Commonest):
    steps = 0

    def _count(self, first: int, end: int, sign: int) -> list[float]:
        counted = super()._count(first, end, sign)
        self.steps += len(counted)
        return counted


def test_running_totals_may_wrap_around() -> None:
    values = np.full(3000, 2.0**79)
    found = Totals(values, split).between(np.array([0, 2990]), np.array([3000, 3000]))
    assert to_float(found).tolist() == [3000 * 2.0**79, 10 * 2.0**79]


@pytest.mark.parametrize("most", [40, 500, 2**62])
@pytest.mark.parametrize("table_bytes", [distinct._TABLE_BYTES, 1])
def test_the_smallest_distinct_hashes_of_a_stretch(
    most: int, table_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few and many distinct ones, in short and long stretches; also where memory is short."""
    monkeypatch.setattr(distinct, "_TABLE_BYTES", max(table_bytes, 10 * SKETCH * 8))
    chance = np.random.default_rng(1)
    known = chance.integers(1, 2**63, most if most < 1000 else 9000).astype(np.uint64) * 2
    known[:2] = 1, 2**64 - 1
    hashes = chance.choice(known, 9000)
    first, end = stretches(chance, len(hashes), 200)
    kept, largest = RangeDistinct(hashes).between(first, end)
    for place, (start, stop) in enumerate(zip(first, end, strict=True)):
        alone = np.unique(hashes[start:stop])[:SKETCH]
        assert kept[place] == len(alone)
        assert largest[place] == alone.max(initial=0)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_two_runs_cover_a_stretch_and_no_more(first: int, length: int) -> None:
    level, second = two_runs(np.array([first]), np.array([first + length]))
    run = 2 ** int(level[0])
    assert first <= second[0] <= first + run
    assert second[0] + run == first + length
    assert run in powers(length)


def test_nothing_is_in_no_column() -> None:
    nowhere = np.zeros(3, dtype=np.int64)
    empty: Floats = np.empty(0)
    assert np.isnan(RangeExtreme(empty, np.minimum).between(nowhere, nowhere)).all()
    assert to_float(Totals(empty, split).between(nowhere, nowhere)).tolist() == [0, 0, 0]
    kept, _ = RangeDistinct(np.empty(0, dtype=np.uint64)).between(nowhere, nowhere)
    assert kept.tolist() == [0, 0, 0]
