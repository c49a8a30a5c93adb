"""Laws of numbers and categories as inputs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml_assets.training.encoding.columns import FEWEST, Pieces, Standardiser, Vocabularies

Floats = np.ndarray[tuple[int, int], np.dtype[np.float32]]

numbers = hnp.arrays(
    np.float32, (6, 3), elements=st.floats(width=32) | st.sampled_from([0.0, 1.0, 3.4e38, -3.4e38]))


@given(hnp.arrays(np.float32, (6, 3), elements=st.floats(-1e6, 1e6, width=32)
                  | st.just(float("nan"))))
def test_standardised_inputs_are_finite_bounded_and_say_what_was_missing(
    dense: Floats,
) -> None:
    """(B, D) becomes (B, 2D): values within 5 deviations, then 1 where there was none."""
    inputs = Standardiser.fit(dense)(dense)
    assert inputs.shape == (6, 6)
    assert np.abs(inputs[:, :3]).max() <= 5
    np.testing.assert_array_equal(inputs[:, 3:], np.isnan(dense))


@given(numbers, st.integers(0, 5))
def test_pieces_lie_between_0_and_1_and_are_passed_in_order(dense: Floats, count: int) -> None:
    """(B, D) becomes (B, D * P); a missing number has passed none; nothing overflows."""
    pieces = Pieces.fit(dense, count)
    passed = pieces(dense).reshape(6, 3, count)
    assert pieces.count == 3 * count
    assert ((passed >= 0) & (passed <= 1)).all()
    assert (passed[~np.isfinite(dense)] == 0).all()
    for number in passed.reshape(18, count):
        begun = np.flatnonzero(number)
        before = number[: begun.max(initial=0)]
        assert (before[before > 0] > 0.999).all()


@given(numbers)
def test_a_row_gets_the_same_pieces_alone_as_among_others(dense: Floats) -> None:
    pieces = Pieces.fit(dense, 4)
    alone = np.concatenate([pieces(dense[row, None]) for row in range(len(dense))])
    assert pieces(dense).tolist() == alone.tolist()


def test_pieces_are_equally_filled() -> None:
    """And the largest number has passed them all."""
    dense = np.arange(1, 101, dtype=np.float32)[:, None] ** 2
    passed = Pieces.fit(dense, 4)(dense)
    assert [int((column > 0).sum()) for column in passed.T] == [99, 75, 50, 25]
    assert passed[-1].tolist() == [1, 1, 1, 1]


def test_a_category_that_is_rare_new_or_missing_has_the_first_row() -> None:
    """Rare ones teach what an unknown one means."""
    seen = ["a"] * FEWEST + ["b"] * (FEWEST + 1) + ["rare"] + [""] * FEWEST
    categories = Vocabularies.fit(["city"], {"city": seen})
    assert categories.known == {"city": ("b", "", "a")}
    assert categories.sizes == (4,)
    codes = categories({"city": ["a", "rare", "new", "", "b"]}, rows=5)
    assert codes.tolist() == [[3], [0], [0], [2], [1]]
    assert Vocabularies.fit([], {})({}, rows=2).shape == (2, 0)
