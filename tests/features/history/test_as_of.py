"""Laws of the point-in-time join's kernel: sorting and searching against looking at each row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.history.relations.as_of import Rows, last_not_after, latest, pack

FEW = st.integers(-3, 12)
FAR = st.sampled_from((-(2**61), -5, 0, 1, 2**50, 2**61))


@dataclass(frozen=True)
class Row:
    entity: int
    at: int
    created: int


def rows_of(table: list[Row], *, created: bool) -> Rows:
    return Rows(
        entity=np.array([row.entity for row in table], dtype=np.int64),
        at=np.array([row.at for row in table], dtype=np.int64),
        created=np.array([row.created for row in table], dtype=np.int64) if created else None,
        place=np.arange(len(table)),
    )


def looked_up(
    table: list[Row], entity: int, as_of: int, *, ttl: int, created: bool, known: bool
) -> int:
    """The last place of the row with the largest (at, created) that counts, else -1."""
    best, where = None, -1
    for place, row in enumerate(table):
        if row.entity != entity or row.at > as_of or (known and row.created > as_of):
            continue
        if ttl and row.at + ttl < as_of:
            continue
        order = (row.at, row.created if created else 0)
        if best is None or order >= best:
            best, where = order, place
    return where


@given(
    table=st.lists(st.builds(Row, st.integers(0, 2), FEW, FEW), max_size=30),
    asked=st.lists(st.tuples(st.integers(-1, 4), FEW), max_size=10),
    ttl=st.integers(0, 4), created=st.booleans(), known=st.booleans(),
)
@settings(max_examples=300)
def test_the_answer_is_the_latest_row_that_counts(
    table: list[Row], asked: list[tuple[int, int]], ttl: int, created: bool, known: bool
) -> None:
    known = known and created
    found = latest(
        rows_of(table, created=created), np.array([who for who, _ in asked], dtype=np.int64),
        np.array([when for _, when in asked], dtype=np.int64), ttl=ttl, known=known,
    )
    assert found.tolist() == [
        looked_up(table, who, when, ttl=ttl, created=created, known=known) for who, when in asked
    ]


@given(
    table=st.lists(st.builds(Row, st.sampled_from((0, 3, 2**20)), FAR, FAR), max_size=20),
    asked=st.lists(st.tuples(st.sampled_from((-1, 0, 3, 7, 2**20)), FAR), max_size=10),
    known=st.booleans(),
)
def test_instants_that_leave_no_room_for_an_entity_beside_them_are_counted(
    table: list[Row], asked: list[tuple[int, int]], known: bool
) -> None:
    found = latest(
        rows_of(table, created=True), np.array([who for who, _ in asked], dtype=np.int64),
        np.array([when for _, when in asked], dtype=np.int64), known=known,
    )
    assert found.tolist() == [
        looked_up(table, who, when, ttl=0, created=True, known=known) for who, when in asked
    ]


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(FEW, FAR)), min_size=1, max_size=20))
def test_packed_pairs_order_like_the_pairs(pairs: list[tuple[int, int]]) -> None:
    packing, packed = pack(*np.array(pairs, dtype=np.int64).T)
    assert [pairs[place] for place in np.argsort(packed, kind="stable")] == sorted(pairs)
    np.testing.assert_array_equal(packing.of(*np.array(pairs, dtype=np.int64).T), packed)


def test_a_search_before_all_finds_nothing() -> None:
    found = last_not_after(np.array([1, 3, 3, 7]), np.array([9, 0, 3, 1]))
    assert found.tolist() == [3, -1, 2, 0]
