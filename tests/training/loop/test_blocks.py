"""Rows come to the network as they came from their source, in batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.training.loop.blocks import InMemory, RowBlock, batches


def numbered(rows: range, *, weighted: bool = False) -> RowBlock:
    at = np.array(rows, np.float32)
    return RowBlock(inputs={"x": at[:, None]}, wanted=at, weights=at * 2 if weighted else None)


@given(sizes=st.lists(st.integers(0, 20), max_size=8), size=st.integers(1, 17))
def test_batches_hold_each_row_once_in_order_and_are_full_but_for_the_last(
    sizes: list[int], size: int
) -> None:
    starts = np.cumsum([0, *sizes])
    blocks = [numbered(range(starts[i], starts[i + 1])) for i in range(len(sizes))]
    made = list(batches(blocks, size))
    rows = [float(row) for batch in made for row in batch.wanted]
    assert rows == list(map(float, range(sum(sizes))))
    assert all(len(batch) == size for batch in made[:-1])
    assert all((batch.inputs["x"][:, 0] == batch.wanted).all() for batch in made)


def test_rows_without_a_weight_beside_rows_with_one_count_once() -> None:
    [batch] = batches([numbered(range(2)), numbered(range(2, 4), weighted=True)], 10)
    assert batch.weights is not None and batch.weights.tolist() == [1, 1, 4, 6]
    assert batch.weight == 12


def test_inputs_of_other_lengths_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="2 rows wanted, but 3 of 'x'"):
        RowBlock(inputs={"x": np.zeros(3)}, wanted=np.zeros(2))


def test_each_epoch_has_all_rows_in_an_order_of_its_own() -> None:
    source = InMemory(block=numbered(range(20_000)))

    def order(epoch: int, seed: int) -> list[float]:
        return [float(row) for block in source(epoch, seed) for row in block.wanted]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(1, 1) != order(1, 2)
    assert sorted(order(3, 1)) == list(map(float, range(20_000)))
