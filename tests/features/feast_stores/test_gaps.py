"""A load that leaves out what the windows reach says so, and says what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from hypothesis import given
from hypothesis import strategies as st

from dagster_feast.loading import load_view
from ml_assets.features.feast_stores.gaps import gaps_before
from tests.features.online_store.kit import windowed
from tests.features.online_store.shop import DAY, HOUR, NOW, Shop

pytestmark = [
    # Feast says so of stream feature views, of its ibis and of its typeguard.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A window of 7 days and one of 30; orders of 20 days, 3 days and an hour ago."""
    shop = Shop(tmp_path, {
        "type": "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore",
        "path": "var/online.lmdb",
    })
    shop.write_orders(*(
        ("ann", NOW - ago, name, 1.0, "x")
        for ago, name in ((40 * DAY, "z"), (20 * DAY, "a"), (3 * DAY, "b"), (HOUR, "c"))
    ))
    return shop


def warnings_of(store: FeatureStore) -> dict[str, str]:
    provider: Any = store._get_provider()
    said: dict[str, str] = provider.batch_engine.warnings
    return said


def test_a_load_with_a_gap_before_its_start_is_warned_of(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr and in the engine's `warnings`; what it says to do mends it."""
    store = shop.apply()
    store.materialize(NOW - 2 * DAY, NOW, ["memory"])
    said = warnings_of(store)["memory"]
    assert "feature view 'memory' counts too little" in said
    assert "from 2025-06-01T00:00:00 to 2025-06-28T12:00:00, UTC" in said
    assert f"warning: {said}" in capsys.readouterr().err
    start, end = (datetime.fromisoformat(each) for each in said.split()[-4:-2])
    assert said.endswith("--views memory")
    store.materialize(start, end, ["memory"])
    assert warnings_of(store) == {}
    assert "warning" not in capsys.readouterr().err
    found = store.get_online_features(["memory:orders_7d"], [{"customer": "ann"}]).to_dict()
    assert found["orders_7d"] == [2]


def test_a_gap_in_the_middle_is_warned_of(shop: Shop) -> None:
    store = shop.apply()
    store.materialize(NOW - 60 * DAY, NOW - 10 * DAY, ["memory"])
    assert warnings_of(store) == {}
    store.materialize(NOW - DAY, NOW, ["memory"])
    assert "from 2025-06-20T12:00:00 to 2025-06-29T12:00:00" in warnings_of(store)["memory"]
    store.materialize_incremental(NOW, ["memory"])
    assert "memory" in warnings_of(store), "it stays a gap"


def test_where_nothing_is_missing_nothing_is_said(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A load that reaches back far enough, one that goes on, one whose gap holds no rows."""
    store = shop.apply()
    store.materialize(NOW - 29 * DAY - 12 * HOUR, NOW - DAY, ["memory"])
    store.materialize_incremental(NOW, ["memory"])
    store.materialize(NOW - 2 * DAY, NOW - DAY, ["memory"])
    store.materialize(NOW - 60 * DAY, NOW + 60 * DAY, ["memory"])
    assert warnings_of(store) == {}
    fresh = Shop(shop.folder / "fresh", {
        "type": "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore",
        "path": "o.lmdb",
    })
    fresh.write_orders(("ann", NOW - DAY, "a", 1.0, "x"), ("bob", NOW - 40 * DAY, "b", 1.0, "x"),
                       ("ann", NOW - 2 * DAY, "c", 1.0, "x"), (None, NOW - 9 * DAY, "d", 1.0, "x"))
    empty = fresh.apply()
    empty.materialize(NOW - 2 * DAY, NOW, ["memory"])
    assert warnings_of(empty) == {}
    assert "warning" not in capsys.readouterr().err


START, MINUTE = datetime(2025, 1, 1, tzinfo=UTC), timedelta(minutes=1)
STRETCHES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20)).map(
        lambda said: (said[0], said[0] + said[1])
    ), min_size=1, max_size=5,
)


@given(loaded=STRETCHES, as_of=st.integers(1, 90), window=st.integers(1, 30))
def test_a_gap_is_every_instant_of_the_windows_that_no_load_holds(
    loaded: list[tuple[int, int]], as_of: int, window: int
) -> None:
    """Instant by instant, up to the end of what is loaded."""
    minute_us = 60 * 10**6
    view = windowed(("count", "", window * minute_us, minute_us))
    found = gaps_before(view, START + as_of * MINUTE, [
        (START + start * MINUTE, START + end * MINUTE) for start, end in loaded
    ])
    last = min(as_of, max(end for _, end in loaded))
    wanted = [
        minute for minute in range(last - window, last)
        if not any(first <= minute < end for first, end in loaded)
        and any(first > minute for first, _ in loaded)
    ]
    assert [
        minute for start, end in found
        for minute in range((start - START) // MINUTE, (end - START) // MINUTE)
    ] == wanted


def test_the_bridge_to_dagster_is_told_of_the_warning(shop: Shop) -> None:
    store = shop.apply()
    assert "counts too little" in load_view(store, "memory", NOW - 2 * DAY, NOW).warning
    assert load_view(store, "memory", NOW - 60 * DAY, NOW).warning == ""
