"""Our online stores behind Feast's own doors: apply, materialize, push, get_online_features."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import FeatureService, FeatureStore

from ml_assets.core.codes import code_of
from ml_assets.core.errors import DeclarationError, InvalidRequest, NotReady, UnknownName
from ml_assets.core.time import EventClock
from ml_assets.features.feast_stores.clocks import clock_of
from ml_assets.features.feast_stores.declared import view_of
from ml_assets.features.feast_stores.loading import push
from ml_assets.features.feast_stores.online import PackedOnlineStore
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from ml_assets.features.online_store.versions import PlainView
from tests.features.online_store.shop import (
    DAY,
    HOUR,
    NOW,
    Shop,
    aggregation,
    orders_frame,
    profile,
)

MEMORY = ["orders_7d", "spent_7d", "last_amounts", "shops_7d", "dearest_30d"]

pytestmark = [
    # Feast says so of stream feature views, of its ibis and of its typeguard.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def read(store: FeatureStore, features: Any, *customers: str) -> dict[str, list[Any]]:
    rows = [{"customer": each} for each in customers]
    found: dict[str, list[Any]] = store.get_online_features(
        features=features, entity_rows=rows
    ).to_dict()
    return found


def windows(store: FeatureStore, *customers: str) -> list[list[Any]]:
    """For each feature of the windowed view its values."""
    found = read(store, [f"memory:{name}" for name in MEMORY], *customers)
    return [found[name] for name in MEMORY]


def backend_of(store: FeatureStore) -> Any:
    online = store._get_provider().online_store
    assert isinstance(online, PackedOnlineStore)
    return online.backend(store.config)


def test_materialized_events_are_aggregated_as_of_now(shop: Shop) -> None:
    """A count decays with time, with nothing written; rows without a customer are nobody's."""
    shop.write_orders(
        ("ann", NOW - 20 * DAY, "a", 9.5, "x"), ("ann", NOW - 3 * DAY, "b", 2.5, "x"),
        ("ann", NOW - DAY, "c", 4.25, "y"), ("bob", NOW - DAY, "d", None, "y"),
        (None, NOW - DAY, "e", 7.0, "y"),
    )
    store = shop.apply()
    store.materialize(NOW - 60 * DAY, NOW, ["memory"])
    assert windows(store, "ann", "bob", "cy") == [
        [2, 1, 0], [6.75, 0.0, 0.0], [[4.25, 2.5], [], []], [2, 1, 0], [9.5, None, None],
    ]
    shop.clock.set(NOW + 5 * DAY)
    assert windows(shop.open(), "ann")[:3] == [[1], [4.25], [[4.25]]]


def test_texts_come_back_as_codes_online_and_from_history(shop: Shop) -> None:
    """Feast shows the numbers that a model's vector has."""
    shop.memory = shop.memory_of(
        aggregation("last_shops", "last_n(2)", "shop"),
        aggregation("usual", "most_frequent", "shop"),
        aggregation("usual_amount", "most_frequent", "amount"),
    )
    shop.service = FeatureService(name="shopping", features=[shop.memory])
    shop.write_orders(
        ("ann", NOW - 20 * DAY, "a", 1.0, "old"), ("ann", NOW - 4 * DAY, "b", 2.5, "x"),
        ("ann", NOW - 3 * DAY, "c", 2.5, "y"), ("ann", NOW - 2 * DAY, "d", 9.0, "x"),
    )
    store = shop.apply()
    store.materialize(NOW - 60 * DAY, NOW, ["memory"])
    names = ["memory:last_shops", "memory:usual", "memory:usual_amount"]
    online = read(store, names, "ann", "bob")
    x, y = float(code_of("x")), float(code_of("y"))
    assert [online[name] for name in ("last_shops", "usual", "usual_amount")] == [
        [[x, y], []], [x, None], [2.5, None]]
    history = store.get_historical_features(features=names, entity_df=pd.DataFrame({
        "customer": ["ann", "bob"], "event_timestamp": pd.to_datetime([NOW, NOW])})).to_arrow()
    for name in ("last_shops", "usual", "usual_amount"):
        assert history[name].to_pylist() == online[name]


def test_materializing_again_and_incrementally_counts_nothing_twice(shop: Shop) -> None:
    first = ("ann", NOW - 3 * DAY, "a", 1.0, "x")
    shop.write_orders(first)
    store = shop.apply()
    store.materialize(NOW - 5 * DAY, NOW - 2 * DAY, ["memory"])
    shop.write_orders(first, ("ann", NOW - HOUR, "b", 2.0, "x"))
    store.materialize(NOW - 5 * DAY, NOW - 2 * DAY, ["memory"])
    assert windows(store, "ann")[0] == [1]
    store.materialize_incremental(NOW, ["memory"])
    assert windows(store, "ann")[:2] == [[2], [3.0]]


def test_the_end_of_what_is_materialized_is_exclusive(shop: Shop) -> None:
    shop.write_orders(("ann", NOW - DAY, "a", 1.0, "x"), ("ann", NOW - HOUR, "b", 1.0, "x"))
    store = shop.apply()
    store.materialize(NOW - 5 * DAY, NOW - HOUR, ["memory"])
    assert windows(store, "ann")[0] == [1]


def test_every_type_of_a_plain_view_comes_back(shop: Shop) -> None:
    shop.write_orders()
    written = profile("ann", NOW - DAY)
    shop.write_profiles(written, {"customer": "bob", "since": NOW - DAY}, profile(None, NOW - DAY))
    store = shop.apply()
    store.materialize(NOW - 5 * DAY, NOW, ["profile"])
    names = [field.name for field in shop.profile.features]
    found = read(store, [f"profile:{name}" for name in names], "ann", "bob", "cy")
    assert {name: found[name][0] for name in names} == {name: written[name] for name in names}
    assert {name: found[name][1:] for name in names} == {
        name: [None, None] for name in names
    }


def test_a_plain_row_is_seen_for_its_time_to_live(shop: Shop) -> None:
    """And not before: until then the version before it counts."""
    shop.write_orders()
    shop.write_profiles(
        profile("ann", NOW - 30 * DAY, age=1), profile("ann", NOW - 5 * DAY, age=2),
        profile("ann", NOW + DAY, age=3), profile("bob", NOW - 11 * DAY),
        profile("cy", NOW - 10 * DAY),
    )
    store = shop.apply()
    store.materialize(NOW - 60 * DAY, NOW + 60 * DAY, ["profile"])
    assert read(store, ["profile:age"], "ann", "bob", "cy")["age"] == [2, None, 30]
    shop.clock.set(NOW + 2 * DAY)
    assert read(store, ["profile:age"], "ann", "bob", "cy")["age"] == [3, None, None]


def test_a_late_row_never_replaces_a_newer_one(shop: Shop) -> None:
    store = shop.apply()
    for age, since in ((1, NOW - 2 * DAY), (2, NOW - DAY), (3, NOW - 3 * DAY)):
        frame = pd.DataFrame([profile("ann", since, age)])
        store.write_to_online_store("profile", df=frame)
    assert read(store, ["profile:age"], "ann")["age"] == [2]
    corrected = pd.DataFrame([profile("ann", NOW - DAY, 4)])
    store.write_to_online_store("profile", df=corrected)
    assert read(store, ["profile:age"], "ann")["age"] == [4]


def test_raw_events_are_pushed_to_all_windowed_views_of_the_stream(shop: Shop) -> None:
    store = shop.apply()
    frame = orders_frame(("ann", NOW - DAY, "a", 1.5, "x"), ("bob", NOW - DAY, "b", 2.5, "x"))
    assert push(store, "order_stream", frame) == {"memory": 2}
    assert push(store, "order_stream", frame) == {"memory": 0}
    assert windows(store, "ann", "bob")[1] == [1.5, 2.5]
    with pytest.raises(UnknownName, match="Closest: order_stream"):
        push(store, "order_streams", frame)


def test_a_feature_service_joins_both_kinds(shop: Shop) -> None:
    shop.write_orders(("ann", NOW - DAY, "a", 1.5, "x"))
    shop.write_profiles(profile("ann", NOW - DAY, age=41))
    store = shop.apply()
    store.materialize(NOW - 5 * DAY, NOW)
    found = read(store, store.get_feature_service("shopping"), "ann")
    assert (found["spent_7d"], found["age"], found["name"]) == ([1.5], [41], ["Zoë"])


def test_the_direct_reader_reads_what_feast_reads(shop: Shop) -> None:
    shop.write_orders(("ann", NOW - DAY, "a", 1.5, "x"), ("ann", NOW - HOUR, "b", 2.0, "x"))
    shop.write_profiles(profile("ann", NOW - DAY, age=41))
    store = shop.apply()
    store.materialize(NOW - 5 * DAY, NOW)
    memory = view_of(store.get_stream_feature_view("memory"))
    row = view_of(store.get_feature_view("profile"))
    assert isinstance(row, PlainView)
    reader = FeatureReader(
        backend_of(store), [Wanted(memory, ("orders_7d", "spent_7d")), Wanted(row, ("age",))]
    )
    values, *_ = reader.read([{"customer": "ann"}, {"customer": ""}], [NOW, NOW])
    np.testing.assert_array_equal(values, [[2, 3.5, 41], [np.nan] * 3])


def test_apply_fails_where_an_aggregate_cannot_be_computed(shop: Shop) -> None:
    shop.memory = shop.memory_of(aggregation("odd", "median", "amount"))
    with pytest.raises(UnknownName, match="no aggregate function 'median'"):
        shop.open().apply(shop.objects)
    shop.memory = shop.memory_of(aggregation("odd", "count"))
    shop.memory.features[0].dtype = shop.profile.features[5].dtype
    with pytest.raises(DeclarationError, match="'odd' is declared as String; count gives one of"):
        shop.open().apply(shop.objects)


def test_a_changed_view_starts_anew_and_a_deleted_one_is_gone(shop: Shop) -> None:
    shop.write_orders(("ann", NOW - DAY, "a", 1.5, "x"))
    store = shop.open()
    store.apply(shop.objects)
    store.materialize(NOW - 5 * DAY, NOW, ["memory"])
    assert windows(store, "ann")[0] == [1]
    backend = backend_of(store)
    before = backend.views()["memory"].id
    shop.memory = shop.memory_of(
        aggregation("orders_7d", "count"), tags={"event_id": "order_id"}
    )
    store.apply(shop.objects)
    after = backend.views()["memory"].id
    assert after != before
    assert backend.count(after) == 0
    store.apply([], objects_to_delete=[shop.memory], partial=False)
    assert list(backend.views()) == ["profile"]
    with pytest.raises(NotReady, match="no feature view 'memory'"):
        store._get_provider().online_read(store.config, shop.memory, [])
    store.teardown()  # type: ignore[no-untyped-call]
    assert backend.views() == {}


def test_computed_features_of_a_windowed_view_are_refused(shop: Shop) -> None:
    store = shop.apply()
    with pytest.raises(InvalidRequest, match="computed from raw events, not written"):
        store._get_provider().online_write_batch(store.config, shop.memory, [], None)


def test_each_view_goes_by_the_clock_that_its_tags_name(tmp_path: Path) -> None:
    """Views of two systems lie in one store, and only one of the systems was replayed."""
    config: Any = SimpleNamespace(
        repo_path=tmp_path, online_store=SimpleNamespace(clock_file="{system}/clock.json"))
    EventClock(tmp_path / "shop" / "clock.json").set(NOW)

    def at(**tags: str) -> datetime:
        view: Any = SimpleNamespace(tags=tags)
        return clock_of(config, view).now()

    started = datetime.now(UTC)
    assert at(system="shop", refresh="slide") == NOW
    assert at(system="meter") >= started and at() >= started


def test_without_a_clock_file_it_is_now(shop: Shop) -> None:
    Path(shop.folder / "clock.json").unlink()
    store = shop.apply()
    now = datetime.now(UTC)
    push(store, "order_stream", orders_frame(
        ("ann", now - timedelta(seconds=5), "a", 1.5, "x"), ("ann", now - 60 * DAY, "b", 1.0, "x")
    ))
    assert windows(store, "ann")[0] == [1]
