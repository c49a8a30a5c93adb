"""What identifies an entity offline is what does online: keys in any order and of any type."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Int64, String

from ml_assets.core.errors import ContractViolation, InvalidRequest
from tests.features.history.kit import LAKE, feast_store
from tests.features.online_store.keyed import DAY, HOUR, INSTANT, NOW, ORDERS, Keyed, name_of

pytestmark = [
    pytest.mark.slow,
    # Feast says so of stream feature views, of its ibis and of its typeguard.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

VALUES: dict[str, tuple[Any, ...]] = {
    # The keys share their texts, so that a swapped one is somebody else's.
    "shop": ("1", "2", "", None), "card": (1, 2, None), "user": ("1", "2", ""), "area": (1, 2),
}


def payments(count: int) -> list[dict[str, Any]]:
    """Ties, corrections, doubled events, edges of the windows and of the time to live."""
    drawn = random.Random(7)
    rows = []
    for _ in range(count):
        at = NOW - drawn.choice((
            DAY * drawn.randint(0, 9), HOUR * drawn.randint(0, 200), timedelta(microseconds=1),
            5 * DAY, 7 * DAY,
        ))
        rows.append({
            **{key if key != "card" else "card_number": drawn.choice(some)
               for key, some in VALUES.items()},
            "paid_at": at, "written": at + drawn.choice((0, 1, 3)) * HOUR,
            "event_id": f"e{drawn.randint(0, count)}", "euros": float(drawn.randint(1, 9999)),
        })
    return rows


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("keyed")
    repository = Keyed(folder, {
        "type": "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore",
        "path": "online.lmdb",
    })
    repository.write(payments(400))
    store = repository.apply()
    store.materialize(NOW - 60 * DAY, NOW + timedelta(microseconds=1))
    return store


def asked(keys: Sequence[str]) -> pd.DataFrame:
    """Everybody, also who is missing a key or unknown; some more than once."""
    drawn = random.Random(3)
    rows = [{key: drawn.choice(VALUES[key]) for key in keys} for _ in range(40)]
    rows += [{key: 99 if key in ("card", "area") else "zoe" for key in keys}, *rows[:5]]
    frame = pd.DataFrame(rows, columns=list(keys))
    for key in set(keys) & {"card", "area"}:
        frame[key] = frame[key].astype("Int64")
    return frame.assign(event_timestamp=NOW)


def listed(found: dict[str, list[Any]], names: Sequence[str]) -> list[list[Any]]:
    return [[None if value is None or value != value else value for value in found[name]]
            for name in names]


@pytest.mark.parametrize("keys", ORDERS, ids=name_of)
def test_offline_is_online_for_every_order_of_keys(
    store: FeatureStore, keys: tuple[str, ...]
) -> None:
    """Whatever the order of the view's entities and of the spine's columns."""
    features = [f"{name_of(keys)}_windows:{name}" for name in ("payments", "spent", "latest")]
    features.append(f"{name_of(keys)}_row:amount")
    names = ["payments", "spent", "latest", "amount"]
    spine = asked(keys)
    there: list[Any] = [row for row in spine[list(keys)].to_dict("records")
                        if not any(value is pd.NA or value is None for value in row.values())]
    online = listed(
        store.get_online_features(features=features, entity_rows=there).to_dict(), names
    )
    assert any(online[1]), "somebody has paid"
    missing = ~spine[list(keys)].isna().any(axis=1)
    orders = list(permutations(spine.columns))
    for order in (orders[0], orders[-1], orders[len(orders) // 3]):
        found = store.get_historical_features(
            entity_df=spine[list(order)], features=features
        ).to_arrow()
        assert found.schema.names == [*order, *names]
        offline = found.to_pydict()
        assert listed({
            name: [value for value, known in zip(offline[name], missing, strict=True) if known]
            for name in names
        }, names) == online
        assert {value for name in names for value, known in
                zip(offline[name], missing, strict=True) if not known} <= {None}


INT = pa.int64()
TYPED = {
    # In the source, in the spine, and which of the rows of the spine find themselves.
    "whole numbers": (pa.array([1, 2, 2**53 + 1]), pd.array([1, None, 2**53 + 1], "Int64"),
                      [0, None, 2]),
    "narrow and wide": (pa.array([1, 2, 3], pa.int8()), [1, 300, 3], [0, None, 2]),
    "unsigned": (pa.array([1, 2**64 - 1], pa.uint64()), [1, -1], [0, None]),
    "floats with gaps": (pa.array([1, 2, 2**53 + 1]), [1.0, float("nan"), 2.0], [0, None, 1]),
    "floats in the source": (pa.array([1.0, None, 3.0, math.nan]), [1, 3, 4], [0, 2, None]),
    "texts of numbers": (pa.array([1, 2, 3]), ["1", None, "3"], [0, None, 2]),
    "numbers of texts": (pa.array(["1", "02", "x", ""]), [1, 2, 3], [0, None, None]),
    "an empty text": (pa.array(["a", "", None]), ["a", "", None], [0, None, None]),
    "empty bytes": (pa.array([b"a", b"", b"\xff"]), [b"a", b"", b"\xff"], [0, None, 2]),
    "truths": (pa.array([True, False]), [False, None, True], [1, None, 0]),
    "nothing": (pa.array(["a", "b"]), [None, None], [None, None]),
    "nothing of numbers": (pa.array([1, 2]), [float("nan"), None], [None, None]),
    "a category": (pa.array(["a", "b"]), pd.Categorical(["b", "z", ""]), [1, None, None]),
    "a dictionary": (pa.array(["a", "b"]).dictionary_encode(), ["b", ""], [1, None]),
    "decimals": (pa.array([1, 2], pa.decimal128(38, 0)), [2, 1], [1, 0]),
    "spaces are no emptiness": (pa.array([" ", "a"]), [" ", "a "], [0, None]),
}


@pytest.mark.parametrize("kinds", TYPED)
def test_a_key_finds_itself_in_every_type(tmp_path: Path, kinds: str) -> None:
    there, given, wanted = TYPED[kinds]
    store = riders(tmp_path, there)
    spine = pd.DataFrame({"rider": given, "event_timestamp": NOW})
    found = store.get_historical_features(entity_df=spine, features=["rides:place"]).to_arrow()
    assert found["place"].to_pylist() == wanted


REFUSED: dict[str, tuple[pa.Array, list[Any], str]] = {
    "a float above 2**53": (
        pa.array([2**53, 2**53 + 1]), [float(2**53 + 2)],
        "the spine's key 'rider' has the value 9007199254740994.0; expected a whole number of at "
        "most 2**53 in size, as several ids share a DOUBLE beyond it",
    ),
    "a fraction": (pa.array([1]), [1.5], "the spine's key 'rider' has the value 1.5; expected a"),
    "an infinity": (pa.array([1]), [math.inf], "the spine's key 'rider' has the value inf"),
    "a float for a text": (pa.array(["1"]), [2.0**60], "the spine's key 'rider' has the value 1."),
    "a text that is no number": (
        pa.array([1]), ["Rome"], "the spine's key 'rider' has the value Rome, and key 'rider' of",
    ),
    "a text that is a number otherwise": (
        pa.array([1]), ["01"], "the spine's key 'rider' has the value 01, and key 'rider' of",
    ),
    "bytes for a text": (
        pa.array(["a"]), [b"a"], "the spine's key 'rider' is of another type than key 'rider' of "
        "source 'rides source': binary, expected text",
    ),
    "a truth for a number": (pa.array([1]), [True], "boolean, expected whole"),
    "texts and bytes": (pa.array(["a"]), ["a", b"a"], "mixed types: 'rider' has texts and bytes"),
    "texts and numbers": (pa.array(["a"]), ["a", 1], "a column of mixed types"),
    "a number beyond 64 bits": (pa.array([1]), [2**70], "a column of mixed types"),
    "a float beyond 2**53 among ids": (pa.array([1]), [1.5, 2**60 + 1], "a column of mixed types"),
}


@pytest.mark.parametrize("kinds", REFUSED)
def test_a_key_that_may_be_somebody_elses_is_refused_by_name(tmp_path: Path, kinds: str) -> None:
    there, given, message = REFUSED[kinds]
    store = riders(tmp_path, there)
    spine = pd.DataFrame({"rider": pd.Series(given, dtype=None if len(
        {type(each) for each in given}) == 1 else object), "event_timestamp": NOW})
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        store.get_historical_features(entity_df=spine, features=["rides:place"]).to_arrow()


def test_floats_of_a_source_that_may_be_several_ids_are_refused(tmp_path: Path) -> None:
    store = riders(tmp_path, pa.array([1.0, 2.0**60]))
    spine = pd.DataFrame({"rider": [1], "event_timestamp": NOW})
    with pytest.raises(ContractViolation, match="key 'rider' of source 'rides source' has the"):
        store.get_historical_features(entity_df=spine, features=["rides:place"]).to_arrow()


def riders(folder: Path, keys: pa.Array) -> FeatureStore:
    """A view of rows with these keys, each of which says its place."""
    rows = pa.table({
        "rider": keys, "place": pa.array(range(len(keys)), INT),
        "at": pa.array([NOW - DAY] * len(keys), INSTANT),
    })
    pq.write_table(rows, folder / "rides.parquet")
    rider = Entity(name="rider", join_keys=["rider"], value_type=ValueType.STRING)
    return feast_store(folder, [rider, FeatureView(
        name="rides", entities=[rider], ttl=timedelta(0),
        schema=[Field(name="rider", dtype=String), Field(name="place", dtype=Int64)],
        source=FileSource(name="rides source", path="rides.parquet", timestamp_field="at"),
    )], type=LAKE)
