"""A view that is applied anew after it was loaded: no value is lost, and none is made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore, Field
from feast.types import Float64, Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import NotReady
from ml_assets.features.engine import state
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.feast_stores.declared import view_of
from ml_assets.features.feast_stores.loading import push
from ml_assets.features.online_store import redefining
from ml_assets.features.online_store.backend import Backend
from ml_assets.features.online_store.counting import apply_rows
from ml_assets.features.online_store.notes import Note, note_of, packed
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from ml_assets.features.online_store.versions import Column, PlainView
from tests.features.online_store.kit import EVERYTHING, OpenBackend, event, happened, key, windowed
from tests.features.online_store.shop import (
    DAY,
    HOUR,
    NOW,
    Shop,
    aggregation,
    customer,
    orders_frame,
    profile,
)

pytestmark = [
    # Feast says so of stream feature views, of its ibis and of its typeguard.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

ORDERS = (
    ("ann", NOW - 40 * DAY, "z", 9.0, "x"), ("ann", NOW - 3 * DAY, "a", 1.5, "x"),
    ("ann", NOW - 2 * DAY, "b", 2.5, "y"), ("bob", NOW - 2 * DAY, "c", 4.0, "y"),
)
COUNT = aggregation("orders_7d", "count")
SUM = aggregation("spent_7d", "sum", "amount")


def loaded(shop: Shop) -> FeatureStore:
    """A window and rows, loaded of the last 20 days."""
    shop.memory = shop.memory_of(COUNT, SUM)
    shop.write_orders(*ORDERS)
    shop.write_profiles(
        profile("ann", NOW - 3 * DAY, age=41), profile("ann", NOW - 9 * DAY, age=40),
        profile("bob", NOW - 2 * DAY, age=50),
    )
    store = shop.open()
    store.apply(shop.objects)
    store.materialize(NOW - 20 * DAY, NOW - DAY)
    return store


def reapplied(shop: Shop) -> FeatureStore:
    store = shop.open()
    store.apply([customer, shop.order_stream, shop.memory, shop.profile])
    return shop.open()


def read(store: FeatureStore, view: str, *features: str) -> list[list[Any]]:
    """Of each feature its values of ann, bob and nobody."""
    found = store.get_online_features(
        features=[f"{view}:{each}" for each in features],
        entity_rows=[{"customer": each} for each in ("ann", "bob", "nobody")],
    ).to_dict()
    return [found[each] for each in features]


def test_an_added_aggregation_says_from_when_it_must_be_loaded_and_the_others_answer(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    loaded(shop)
    shop.memory = shop.memory_of(COUNT, SUM, aggregation("dearest_30d", "max", "amount", days=30))
    store = reapplied(shop)
    said = f"'memory': dearest_30d must be loaded from {NOW - 31 * DAY:%Y-%m-%dT%H:%M:%S}"
    assert said in caplog.text
    assert read(store, "memory", "orders_7d", "spent_7d") == [[2, 1, 0], [4.0, 4.0, 0.0]]
    for features in (["dearest_30d"], ["orders_7d", "dearest_30d"]):
        with pytest.raises(NotReady, match=said):
            read(store, "memory", *features)
    assert push(store, "order_stream", orders_frame(("bob", NOW - HOUR, "d", 8.0, "y"))) == {
        "memory": 1,
    }
    assert read(store, "memory", "orders_7d") == [[2, 2, 0]]
    shop.clock.set(NOW + HOUR)
    assert read(store, "memory", "spent_7d") == [[4.0, 12.0, 0.0]]
    store.materialize_incremental(NOW, ["memory"])
    assert read(store, "memory", "orders_7d", "spent_7d", "dearest_30d") == [
        [2, 2, 0], [4.0, 12.0, 0.0], [2.5, 8.0, None],
    ]
    online: Any = store._get_provider().online_store
    assert len(list(online.backend(store.config).views())) == 2


@pytest.mark.parametrize("change", [
    lambda shop: shop.memory_of(SUM, COUNT),
    lambda shop: shop.memory_of(COUNT, aggregation("spent_7d", "sum", "amount", days=14)),
    lambda shop: shop.memory_of(COUNT),
    lambda shop: shop.memory_of(COUNT, aggregation("shops_7d", "approx_count_distinct", "shop")),
], ids=["order", "window", "removal", "another column"])
def test_whatever_changes_the_unchanged_count_stays_before_and_after_the_load(
    shop: Shop, change: Callable[[Shop], Any]
) -> None:
    loaded(shop)
    for turn in range(2):
        shop.memory = change(shop) if turn == 0 else shop.memory_of(
            COUNT, SUM, aggregation("dearest_30d", "max", "amount", days=30)
        )
        store = reapplied(shop)
        assert read(store, "memory", "orders_7d") == [[2, 1, 0]]
    store.materialize_incremental(NOW, ["memory"])
    assert read(store, "memory", "orders_7d", "spent_7d", "dearest_30d") == [
        [2, 1, 0], [4.0, 4.0, 0.0], [2.5, 4.0, None],
    ]


def test_a_change_that_is_taken_back_leaves_everything_as_it_was(shop: Shop) -> None:
    loaded(shop)
    before = shop.memory
    shop.memory = shop.memory_of(COUNT, SUM, aggregation("dearest_30d", "max", "amount", days=30))
    reapplied(shop)
    shop.memory = before
    store = reapplied(shop)
    assert read(store, "memory", "orders_7d", "spent_7d") == [[2, 1, 0], [4.0, 4.0, 0.0]]
    store.materialize_incremental(NOW, ["memory"])
    assert read(store, "memory", "orders_7d", "spent_7d") == [[2, 1, 0], [4.0, 4.0, 0.0]]


def test_what_counts_otherwise_must_be_loaded_as_a_whole(shop: Shop) -> None:
    loaded(shop)
    shop.memory = shop.memory_of(COUNT, SUM, tags={"event_id": "shop"})
    store = reapplied(shop)
    with pytest.raises(NotReady, match="orders_7d must be loaded from"):
        read(store, "memory", "orders_7d")
    store.materialize_incremental(NOW, ["memory"])
    assert read(store, "memory", "orders_7d") == [[2, 1, 0]]


def test_a_feature_added_to_a_plain_view_says_that_it_must_be_loaded(shop: Shop) -> None:
    """The others keep their values, also those that were only pushed."""
    removed = shop.profile.features.pop(2)
    store = loaded(shop)
    store.write_to_online_store("profile", df=pd.DataFrame([profile("bob", NOW - HOUR, age=51)]))
    shop.profile.features.insert(2, removed)
    assert removed.name == "wealth"
    store = reapplied(shop)
    assert read(store, "profile", "age", "name", "tags") == [
        [41, 51, None], ["Zoë", "Zoë", None], [["a", ""], ["a", ""], None],
    ]
    said = f"'profile': wealth must be loaded from {NOW - 20 * DAY:%Y-%m-%d}"
    with pytest.raises(NotReady, match=said):
        read(store, "profile", "age", "wealth")
    store.materialize_incremental(NOW, ["profile"])
    assert read(store, "profile", "age", "wealth") == [[41, 51, None], [2.0**60, None, None]]
    shop.clock.set(NOW - 4 * DAY)
    assert read(store, "profile", "age", "wealth") == [[40, None, None], [2.0**60, None, None]]


def test_a_feature_of_another_type_is_new_and_a_removed_one_is_gone(shop: Shop) -> None:
    loaded(shop)
    shop.profile.features = [
        Field(name="age", dtype=Float64), *shop.profile.features[2:],
    ]
    store = reapplied(shop)
    assert read(store, "profile", "wealth") == [[2.0**60, 2.0**60, None]]
    with pytest.raises(NotReady, match="age must be loaded"):
        read(store, "profile", "age")
    shop.profile.features[0] = Field(name="age", dtype=Int64)
    store = reapplied(shop)
    with pytest.raises(NotReady, match="age must be loaded"):
        read(store, "profile", "age")
    store.materialize_incremental(NOW, ["profile"])
    assert read(store, "profile", "age", "wealth") == [[41, 50, None], [2.0**60, 2.0**60, None]]


def test_a_view_that_was_never_loaded_is_just_redefined(shop: Shop) -> None:
    shop.memory = shop.memory_of(COUNT)
    reapplied(shop)
    shop.memory = shop.memory_of(COUNT, SUM)
    store = reapplied(shop)
    assert read(store, "memory", "orders_7d", "spent_7d") == [[0, 0, 0], [0.0, 0.0, 0.0]]


def test_the_direct_reader_waits_for_the_load(shop: Shop) -> None:
    loaded(shop)
    shop.memory = shop.memory_of(COUNT, SUM, aggregation("dearest_30d", "max", "amount", days=30))
    store = reapplied(shop)
    online: Any = store._get_provider().online_store
    view = view_of(store.get_stream_feature_view("memory"))
    reader = FeatureReader(online.backend(store.config), [Wanted(view, ("orders_7d",))])
    with pytest.raises(NotReady, match="'memory': dearest_30d must be loaded from"):
        reader.read([{"customer": "ann"}], [NOW])
    store.materialize_incremental(NOW, ["memory"])
    assert reader.read([{"customer": "ann"}], [NOW])[0].tolist() == [[2.0]]


# What is noted


def test_a_note_comes_back_as_it_was() -> None:
    plain = PlainView(name="p", keys=("a", "b"), columns=(Column("n", "Array(Int64)"),), ttl=7)
    for view in (EVERYTHING, plain, None):
        note = Note(view=view, new=frozenset("ab"), since=-5, until=7, before=3)
        assert note_of(b"12345678" + packed(note)) == note
    assert note_of(b"12345678") == Note(view=None)


_projects = count()
_AGGREGATES = EVERYTHING.aggregates


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    old=st.sets(st.sampled_from(range(len(_AGGREGATES))), min_size=1, max_size=4),
    new=st.sets(st.sampled_from(range(len(_AGGREGATES))), min_size=1, max_size=4),
    instants=st.lists(st.integers(0, 30), min_size=1, max_size=12),
)
def test_common_features_answer_alike_before_and_after_and_all_do_once_loaded(
    open_backend: OpenBackend, old: set[int], new: set[int], instants: list[int]
) -> None:
    backend = open_backend(f"redefined {next(_projects)}")
    first, second = (
        replace(windowed(("count", "", 12, 3), lateness=5),
                aggregates=tuple(_AGGREGATES[place] for place in sorted(some)))
        for some in (old, new)
    )
    rows = pa.Table.from_pylist([
        event(happened(at, id=f"{place}", amount=float(place), entity=place % 2))
        for place, at in enumerate(instants)
    ])
    rows = rows.set_column(
        rows.column_names.index("known_at"), "known_at", rows["known_at"].cast(pa.timestamp("us"))
    )
    redefining.define(backend, first, loaded=None, now=31)
    apply_rows(first, backend, rows)
    note = redefining.define(backend, second, loaded=(0, 31), now=31)
    common = {each.name for each in first.aggregates} & {each.name for each in second.aggregates}
    if first != second:
        assert note.new == frozenset(each.name for each in second.aggregates) - common
        expected = _values(backend, first, note.before) if note.before else {}
        apply_rows(second, backend, rows)
        redefining.settle(backend, second)
        found = _values(backend, second, backend.views()[second.name].id)
        for aggregate in second.aggregates:
            if aggregate.name in common:
                np.testing.assert_array_equal(found[aggregate.name], expected[aggregate.name])
        assert backend.views().keys() == {second.name}
    fresh = open_backend(f"redefined {next(_projects)}")
    redefining.define(fresh, second, loaded=None, now=31)
    apply_rows(second, fresh, rows)
    found = _values(backend, second, backend.views()[second.name].id)
    for name, values in _values(fresh, second, fresh.views()[second.name].id).items():
        np.testing.assert_array_equal(found[name], values)


def _values(backend: Backend, view: WindowedView, view_id: int) -> dict[str, Any]:
    """By aggregate, of two entities as of the end."""
    blobs = backend.get(view_id, [key(0), key(1)])
    found = state.read(view, blobs, np.full(2, 31))
    return {each.name: _columns(view, each, found) for each in view.aggregates}


def _columns(view: WindowedView, aggregate: Aggregate, found: Any) -> Any:
    return found[:, [view.columns.index(name) for name in aggregate.columns]]
