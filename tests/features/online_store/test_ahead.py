"""Rows of a plain view that are dated ahead of now: the latest at or before now is the value."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import FeatureStore, Field, FileSource
from feast.batch_feature_view import BatchFeatureView
from feast.types import Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.features.online_store.shop import DAY, HOUR, NOW, Shop, customer, profile

pytestmark = [
    # Feast says so of stream feature views, of its ibis and of its typeguard.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

ONLINE = {
    "type": "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore",
    "path": "var/online.lmdb",
}


def ages(store: FeatureStore, view: str = "profile") -> list[Any]:
    """As online has them now."""
    found: list[Any] = store.get_online_features(
        [f"{view}:age"], [{"customer": who} for who in ("ann", "bob")]
    ).to_dict()["age"]
    return found


def ages_offline(store: FeatureStore, at: Any, view: str = "profile") -> list[Any]:
    spine = pd.DataFrame({"customer": ["ann", "bob"], "event_timestamp": at})
    found = store.get_historical_features(spine, [f"{view}:age"]).to_arrow()
    listed: list[Any] = found["age"].to_pylist()
    return listed


HOURS = st.lists(st.tuples(st.sampled_from(("ann", "bob")), st.integers(-300, 300)), max_size=12)


@given(rows=HOURS, step=st.integers(0, 200), loads=st.sampled_from((1, 2)))
@settings(max_examples=15, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_online_is_offline_however_many_rows_are_ahead_of_now(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], step: int, loads: int
) -> None:
    """Now, and when the clock has moved on; loaded at once or up to now and then beyond."""
    shop = Shop(tmp_path_factory.mktemp("ahead"), ONLINE)
    shop.write_profiles(*(
        profile(who, NOW + hours * HOUR, age=place) for place, (who, hours) in enumerate(rows)
    ))
    store = shop.apply()
    if loads == 2:
        store.materialize(NOW - 60 * DAY, NOW, ["profile"])
    store.materialize(NOW - 60 * DAY, NOW + 60 * DAY, ["profile"])
    assert ages(store) == ages_offline(store, NOW)
    shop.clock.set(NOW + step * HOUR)
    assert ages(store) == ages_offline(store, NOW + step * HOUR)


def older(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(age=rows["age"] + 1)


def test_a_view_that_feast_transforms_keeps_its_present_value_too(tmp_path: Path) -> None:
    shop = Shop(tmp_path, ONLINE)
    shop.write_profiles(profile("ann", NOW - DAY, 1), profile("ann", NOW + DAY, 2),
                        profile("ann", NOW + 2 * DAY, 3), profile("bob", NOW + DAY, 4))
    view = BatchFeatureView(
        name="older", entities=[customer], ttl=timedelta(0), mode="pandas", udf=older,
        udf_string="a year older", online=True,
        schema=[Field(name="customer", dtype=String), Field(name="age", dtype=Int64)],
        source=FileSource(name="ages", path="profiles.parquet", timestamp_field="since"),
    )
    store = shop.open()
    store.apply([customer, view])
    store.materialize(NOW - 60 * DAY, NOW + 60 * DAY, ["older"])
    assert ages(store, "older") == [2, None]
    shop.clock.set(NOW + 3 * DAY)
    assert ages(store, "older") == [4, 5]
