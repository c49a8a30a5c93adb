"""What an event counts is packed once for all views, and comes out as for each view alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import ContractViolation
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import View
from ml_assets.features.online_store.counting import event_row
from ml_assets.features.online_store.following.counts import (
    LIST_ID,
    Stream,
    ViewList,
    pack_rows,
    unpack_rows,
)
from ml_assets.features.online_store.versions import Column, PlainView
from tests.features.engine.strategies import histories
from tests.features.online_store.kit import EVERYTHING, rows_of, windowed

Event = dict[str, object]

KEYS = ("customer", "shop", "card")
VIEWS = tuple(
    replace(windowed(("count", "", 12, 3), ("sum", "amount", 12, 3), lateness=6, name=key),
            keys=(key,))
    for key in KEYS
)
SCORES = PlainView(name="scores", keys=("shop",), columns=(Column("score", "Float64"),))
LISTED: list[View] = [EVERYTHING, *VIEWS[:2], SCORES,
          replace(VIEWS[0], name="pair", keys=("customer", "shop"))]

events = st.fixed_dictionaries({
    "customer": st.one_of(st.none(), st.text(max_size=3)), "shop": st.sampled_from(["a", None]),
    "event_id": st.text(max_size=3), "known_at": st.integers(-2**40, 2**40),
    "amount": st.one_of(st.none(), st.floats(-1e6, 1e6)), "pages": st.integers(0, 9),
    "paid": st.booleans(),
})


@given(event=events)
def test_an_event_comes_out_for_each_view_as_for_the_view_alone(event: Event) -> None:
    """Views with the same columns, with others, with two keys; and whoever reads the list."""
    stream = Stream(LISTED)
    blob = stream.list.pack(stream.counted(event))
    assert blob[:LIST_ID] == stream.list.id
    said = ViewList.parse(stream.list.text)
    assert said == stream.list
    counted = said.unpack(blob)
    for view in LISTED:
        place = said.index(view)
        assert place is not None
        if isinstance(view, WindowedView):
            assert counted.row(*place) == event_row(view, event)
        else:
            assert counted.entities[place[0]] == (b"a" if event["shop"] else None)


def test_a_view_that_is_defined_otherwise_is_not_in_the_list() -> None:
    said = Stream(LISTED).list
    assert said.index(replace(VIEWS[0], keys=("card",))) is None
    assert said.index(replace(VIEWS[0], lateness=9)) == said.index(VIEWS[0])


def test_views_that_pack_alike_share_a_row() -> None:
    assert len(Stream(VIEWS).list.sizes) == 1
    assert len(Stream([*VIEWS, EVERYTHING]).list.sizes) == 2


@given(st.data())
def test_the_rows_of_a_load_come_out_again(data: st.DataObject) -> None:
    rows = rows_of(EVERYTHING, data.draw(histories(EVERYTHING, conflicting=True)))
    assert unpack_rows(EVERYTHING, pack_rows(rows)) == rows


def test_an_event_without_an_id_is_refused() -> None:
    event = {**dict.fromkeys(KEYS, "x"), "event_id": None, "known_at": 1, "amount": 1.0}
    with pytest.raises(ContractViolation, match="'event_id' is null; every event needs an id"):
        Stream(VIEWS).counted(event)
