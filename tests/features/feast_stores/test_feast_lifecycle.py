"""Tearing down, applying again, reading in other ways: Feast's calls around our online stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pandas as pd
import pytest
from feast import FeatureStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from ml_assets.features.feast_stores.online import PackedOnlineStore
from ml_assets.ingest.log.served import to_us
from tests.features.online_store.shop import DAY, HOUR, NOW, Shop, profile

pytestmark = [
    # Feast says so of stream feature views, of its ibis and of its typeguard.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

FEATURES = ["memory:orders_7d", "memory:last_amounts", "profile:age", "profile:tags"]
ROWS = [{"customer": each} for each in ("ann", "bob", "ann", "nobody")]


def loaded(shop: Shop) -> FeatureStore:
    shop.write_orders(("ann", NOW - DAY, "a", 1.5, "x"), ("bob", NOW - DAY, "b", 2.5, "x"))
    shop.write_profiles(profile("ann", NOW - DAY, age=41), profile("bob", NOW - 11 * DAY))
    store = shop.apply()
    store.materialize(NOW - 20 * DAY, NOW)
    return store


def statuses(store: FeatureStore, feature: str) -> list[str]:
    """Of `ROWS`, by Feast's names."""
    answer = store.get_online_features(features=[feature], entity_rows=ROWS).proto
    return [FieldStatus.Name(each) for each in answer.results[-1].statuses]


def test_after_a_teardown_no_view_answers_and_the_project_is_applied_anew(shop: Shop) -> None:
    """Feast names only plain views when it tears down, and leaves the history of versions."""
    store = loaded(shop)
    for _ in range(2):
        store.teardown()  # type: ignore[no-untyped-call]
        store = shop.apply()
        found = store.get_online_features(features=FEATURES, entity_rows=ROWS).to_dict()
        assert found["orders_7d"] == [0, 0, 0, 0]
        assert found["age"] == [None] * 4
        store.materialize(NOW - 20 * DAY, NOW)
        found = store.get_online_features(features=FEATURES, entity_rows=ROWS).to_dict()
        assert found["orders_7d"] == [1, 1, 1, 0]


def test_asynchronous_reads_give_what_synchronous_ones_give(shop: Shop) -> None:
    store = loaded(shop)
    asked: dict[str, Any] = {"features": FEATURES, "entity_rows": ROWS, "full_feature_names": True}

    async def several() -> list[Any]:
        answers = [store.get_online_features_async(**asked) for _ in range(5)]
        return await asyncio.gather(*answers)

    expected = store.get_online_features(**asked).proto
    for answer in asyncio.run(several()):
        for found, each in zip(answer.proto.results, expected.results, strict=True):
            assert found.values == each.values
            assert found.statuses == each.statuses


def test_asynchronous_writes_are_read_back(shop: Shop) -> None:
    store = shop.apply()
    frame = pd.DataFrame([profile("ann", NOW - DAY, age=7)])
    asyncio.run(store.write_to_online_store_async("profile", df=frame))
    found = store.get_online_features(features=["profile:age"], entity_rows=ROWS).to_dict()
    assert found["age"] == [7, None, 7, None]


def test_a_row_past_its_time_to_live_is_outside_its_age(shop: Shop) -> None:
    """And one that nobody wrote is not found; a row that is null is present."""
    store = loaded(shop)
    assert statuses(store, "profile:age") == [
        "PRESENT", "OUTSIDE_MAX_AGE", "PRESENT", "NOT_FOUND",
    ]
    found = store.get_online_features(features=["profile:age"], entity_rows=ROWS).to_dict()
    assert found["age"] == [41, None, 41, None]


def test_a_damaged_row_is_invalid_and_harms_no_other(shop: Shop) -> None:
    store = loaded(shop)
    online = store._get_provider().online_store
    assert isinstance(online, PackedOnlineStore)
    backend, later = online.backend(store.config), to_us(NOW - HOUR)
    backend.put(backend.views()["profile"].id, [(b"ann", later, 0, b"no row")], to_us(NOW))
    assert statuses(store, "profile:age") == [
        "INVALID", "OUTSIDE_MAX_AGE", "INVALID", "NOT_FOUND",
    ]
    found = store.get_online_features(features=["profile:age"], entity_rows=ROWS).to_dict()
    assert found["age"] == [None] * 4


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
def test_rows_dated_ahead_leave_the_present_in_place(shop: Shop, at_once: bool) -> None:
    """Materialised or pushed, in one batch or in several; each holds once its time has come."""
    rows = [
        profile("ann", NOW + offset, age)
        for age, offset in enumerate([-2 * HOUR, -HOUR, HOUR / 6, 2 * HOUR, 3 * HOUR])
    ]
    shop.write_orders()
    store = shop.apply()
    if at_once:
        shop.write_profiles(*rows)
        store.materialize(NOW - DAY, NOW + DAY, ["profile"])
    else:
        for row in reversed(rows):
            store.write_to_online_store("profile", df=pd.DataFrame([row]))
    for offset, age in ((0 * HOUR, 1), (HOUR, 2), (2 * HOUR, 3), (4 * HOUR, 4)):
        shop.clock.set(NOW + offset)
        assert statuses(store, "profile:age")[:2] == ["PRESENT", "NOT_FOUND"]
        found = store.get_online_features(features=["profile:age"], entity_rows=ROWS).to_dict()
        assert found["age"][0] == age
