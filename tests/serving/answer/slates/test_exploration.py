"""Which items a page shows, and that the stated probabilities are those of the draws."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.serving.answer.slates.exploration import drawn, page_of

ORDERS = st.integers(1, 30).map(lambda k: list(range(k))[::-1])


@given(order=ORDERS, n=st.integers(1, 40), explore=st.floats(0, 0.99), seed=st.text())
def test_a_page_shows_each_item_once_and_at_most_one_that_the_order_would_not(
    order: list[int], n: int, explore: float, seed: str
) -> None:
    page = page_of(order, n, explore=explore, seed=seed)
    shown = [each.row for each in page]
    assert len(shown) == len(set(shown)) == min(n, len(order))
    swapped = [index for index, row in enumerate(shown) if row != order[index]]
    assert len(swapped) <= (1 if explore else 0)
    assert all(0 < each.propensity <= 1 for each in page)
    assert page == page_of(order, n, explore=explore, seed=seed)


@pytest.mark.parametrize(("k", "n", "explore"), [(6, 3, 0.6), (4, 3, 0.9), (3, 1, 0.5)])
def test_items_stand_where_they_stand_as_often_as_their_propensity_says(
    k: int, n: int, explore: float
) -> None:
    """Within 4.5 standard errors for every item and position; at each position they sum to 1."""
    times, seen, said = 10_000, Counter[tuple[int, int]](), dict[tuple[int, int], float]()
    for turn in range(times):
        for position, each in enumerate(page_of(range(k), n, explore=explore, seed=f"r{turn}")):
            seen[each.row, position] += 1
            said[each.row, position] = each.propensity
    assert len(said) == n * (1 + k - n)
    for position in range(n):
        assert sum(each for (_, at), each in said.items() if at == position) == pytest.approx(1)
    for where, propensity in said.items():
        error = (propensity * (1 - propensity) / times) ** 0.5
        assert abs(seen[where] / times - propensity) < 4.5 * error


def test_a_draw_is_the_same_in_every_process_and_release() -> None:
    """A retry that another process answers must get the page that the log's propensities are of."""
    assert [round(drawn("r1", what), 6) for what in ("whether", "position", "item")] == [
        0.1068, 0.544053, 0.927527]
