"""The online state answers what the offline engine answers, bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.codes import code_of
from ml_assets.features.engine import state
from ml_assets.features.engine.events import uid
from ml_assets.features.engine.functions import FUNCTIONS
from ml_assets.features.engine.state.fold_rows import fold
from ml_assets.features.engine.state.layout import HEADER, header_of, layout_of
from tests.features.engine.functions.laws import agree_with_the_state, blob_of, rows_of
from tests.features.engine.strategies import views
from tests.features.online_store.kit import EVERYTHING, happened, windowed


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_online_and_offline_agree_for_every_entity_and_instant(data: st.DataObject) -> None:
    agree_with_the_state(data.draw(views()), data)


def test_folding_again_changes_nothing_but_the_count_of_folds() -> None:
    once = state.fold(EVERYTHING, blob_of(EVERYTHING, [happened(at) for at in range(0, 40, 2)]))
    twice = state.fold(EVERYTHING, once)
    assert once[HEADER.size :] == twice[HEADER.size :]
    assert header_of(twice)._replace(folds=1) == header_of(once)


def test_the_order_of_arrival_leaves_no_trace_in_what_is_folded() -> None:
    records = [happened(at % 37, id=str(at), amount=at * 0.1) for at in range(60)]
    there = fold(layout_of(EVERYTHING), blob_of(EVERYTHING, records), newest=200)
    back = fold(layout_of(EVERYTHING), blob_of(EVERYTHING, records[::-1]), newest=200)
    assert there == back


def test_a_blob_answers_from_lateness_before_its_newest_event_on() -> None:
    view = windowed(("count", "", 12, 3), lateness=5)
    blob = blob_of(view, [happened(1), happened(20)])
    assert state.oldest(blob) == state.NEVER == state.oldest(None)
    assert state.oldest(state.fold(view, blob)) == 15


def test_what_no_window_can_reach_is_dropped_when_folding() -> None:
    view = windowed(("count", "", 12, 3), ("last_n(3)", "amount", 6, 3),
                    ("approx_count_distinct", "shop", 6, 3))
    layout = layout_of(view)
    folded = state.fold(view, blob_of(view, [happened(at, shop=str(at)) for at in range(100)]))
    header = header_of(folded)
    assert header.cut == 99
    assert layout.records_of(folded, header)["start"].tolist() == [87, 90, 93, 96]
    assert all(len(sketch) == 12 for sketch in layout.sketches_of(folded, header))
    assert len(layout.rows_of(folded, header)) == 1


def test_a_blob_wants_to_be_folded_only_when_that_makes_it_shorter() -> None:
    """With a long lateness most rows stay, and the next fold waits until they have doubled."""
    view = windowed(("count", "", 12, 3), lateness=10_000)
    rows = rows_of(view, [happened(at) for at in range(3 * state.FOLD_ROWS)])

    def grown(blob: bytes) -> bool:
        return state.grown(view, len(blob), blob[: state.HEADER_SIZE])

    assert not grown(state.fresh(b"".join(rows[: state.FOLD_ROWS - 1])))
    blob = state.fresh(b"".join(rows[: state.FOLD_ROWS]))
    assert grown(blob)
    folded = state.fold(view, blob)
    assert not grown(folded + b"".join(rows[state.FOLD_ROWS : 2 * state.FOLD_ROWS - 1]))
    assert grown(folded + b"".join(rows[state.FOLD_ROWS : 2 * state.FOLD_ROWS]))


def test_many_distinct_values_are_estimated_alike_whether_folded_or_not() -> None:
    view = windowed(("approx_count_distinct", "shop", 4000, 100),
                    ("approx_count_distinct", "shop", 400, 100))
    records = [happened(at, shop=f"shop {at * 7919 % 3000}") for at in range(4000)]
    raw = blob_of(view, records)
    folded = state.fold(view, blob_of(view, records[:2000]))
    for start in range(2000, 4000, 300):
        folded = state.fold(view, folded + b"".join(rows_of(view, records[start : start + 300])))
    assert len(folded) < len(raw) / 2
    for t in (3999, 4000, 4321, 7000):
        as_of = np.array([t])
        estimate = state.read(view, [folded], as_of)
        np.testing.assert_array_equal(estimate, state.read(view, [raw], as_of))


def test_the_counts_of_a_long_past_are_kept_by_the_slides_of_long_windows() -> None:
    """The tiles of a window that no longer reaches back are put together, and nothing is lost."""
    view = windowed(("most_frequent", "pages", 4000, 500), ("most_frequent", "pages", 40, 10))
    records = [happened(at, pages=at * 7919 % 5) for at in range(4000)]
    raw = blob_of(view, records)
    folded = state.fold(view, blob_of(view, records[:2000]))
    for start in range(2000, 4000, 300):
        folded = state.fold(view, folded + b"".join(rows_of(view, records[start : start + 300])))
    [tallies] = layout_of(view).sketches_of(folded, header_of(folded))
    assert tallies["count"].sum() == 3990
    tiles = set(tallies["tile"].tolist())
    assert tiles == {*range(0, 4000, 500), *range(3950, 3990, 10)}
    for t in (3999, 4000, 4001, 4321, 7000):
        as_of = np.array([t])
        np.testing.assert_array_equal(
            state.read(view, [folded], as_of), state.read(view, [raw], as_of))


@pytest.mark.parametrize("copies", [1, 100])
def test_an_entity_never_seen_has_the_values_of_an_empty_window(copies: int) -> None:
    blob = blob_of(EVERYTHING, [happened(3)])
    found = state.read(EVERYTHING, [None, blob] * copies, np.full(2 * copies, 500))
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0][EVERYTHING.columns.index(f"f{list(FUNCTIONS).index('count')}")] == 0


def test_views_that_are_alike_but_for_names_read_the_same_from_one_blob() -> None:
    """And those of which an aggregate or a slot differs are not alike."""
    view = windowed(("count", "", 12, 3), ("sum", "amount", 6, 3), ("max", "pages", 6, 3))
    other = windowed(("count", "", 12, 3), ("sum", "paid", 6, 3), ("max", "amount", 6, 3),
                     name="other", lateness=7, created="arrived")
    assert view.nameless == other.nameless
    blob = state.fold(view, blob_of(view, [happened(at, pages=at) for at in range(20)]))
    as_of = np.array([21])
    np.testing.assert_array_equal(
        state.read(other, [blob], as_of), state.read(view, [blob], as_of)
    )
    for different in (
        windowed(("count", "", 12, 3), ("sum", "amount", 6, 3), ("max", "amount", 6, 3)),
        windowed(("count", "", 12, 3), ("sum", "amount", 6, 2), ("max", "pages", 6, 3)),
        windowed(("count", "amount", 12, 3), ("sum", "amount", 6, 3), ("max", "pages", 6, 3)),
        windowed(("count", "", 12, 3), ("max", "amount", 6, 3), ("sum", "pages", 6, 3)),
        windowed(("count", "", 12, 3), ("sum", "amount", 6, 3), ("max", "pages", 6, 3),
                 refresh="slide"),
    ):
        assert different.nameless != view.nameless


def test_a_row_has_one_fixed_width_and_can_be_packed_alone() -> None:
    assert state.row_dtype(EVERYTHING).itemsize == 16 + 8 * len(EVERYTHING.slots)
    (row,) = rows_of(EVERYTHING, [happened(3)])
    values = {"amount": 1.0, "pages": 2.0, "shop": uid("a"), "city": code_of("Bonn")}
    alone = [1.0 if slot.form == "rows" else values[slot.column] for slot in EVERYTHING.slots]
    assert state.pack_row(EVERYTHING, 3, uid("3"), alone) == row


def test_an_infinite_value_is_a_missing_one() -> None:
    view = windowed(("sum", "amount", 12, 3), ("count", "amount", 12, 3))
    blob = blob_of(view, [happened(3, amount=math.inf), happened(4, amount=2.0)])
    assert state.read(view, [blob], np.array([5]))[0].tolist() == [2.0, 1.0]
