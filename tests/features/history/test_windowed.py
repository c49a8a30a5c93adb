"""Windowed views through Feast: types, instants, arrivals, and what is refused."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, Field, FileSource, PushSource, StreamFeatureView, ValueType
from feast.aggregation import Aggregation
from feast.types import Array, FeastType, Float32, Float64, Int32, Int64, String

from ml_assets.core.errors import DeclarationError, UnknownName
from tests.features.history.events import happened, table_of
from tests.features.history.kit import ask, feast_store, hours, values

pytestmark = [
    pytest.mark.slow,
    # Feast says so of stream views; what we rely on of them is tested.
    pytest.mark.filterwarnings("ignore:.* experimental feature"),
]

DAY = timedelta(days=1)
customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.STRING)


def shopping(
    *aggregations: Aggregation, fields: dict[str, FeastType], name: str = "shopping",
    created: str = "", tags: dict[str, str] | None = None, path: str = "events",
    mapping: dict[str, str] | None = None,
) -> StreamFeatureView:
    batch = FileSource(
        name=f"{name} batch", path=path, timestamp_field="known_at",
        created_timestamp_column=created, field_mapping=mapping,
    )
    return StreamFeatureView(
        name=name, entities=[customer], ttl=timedelta(0),
        schema=[Field(name="customer", dtype=String),
                *(Field(name=each, dtype=kind) for each, kind in fields.items())],
        source=PushSource(name=f"{name} push", batch_source=batch),
        aggregations=list(aggregations), timestamp_field="known_at", tags=tags or {},
    )


def over_a_day(function: str, column: str = "", name: str = "it") -> Aggregation:
    return Aggregation(function=function, column=column, time_window=DAY,
                       slide_interval=timedelta(hours=1), name=name)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    every = [
        over_a_day("count", name="visits"), over_a_day("sum", "amount", name="spent"),
        over_a_day("mean", "amount", name="average"), over_a_day("last_n(3)", "pages", name="read"),
        over_a_day("approx_count_distinct", "shop", name="shops"),
        over_a_day("max", "pages", name="most"),
    ]
    kinds: dict[str, FeastType] = {
        "visits": Int64, "spent": Float64, "average": Float32, "read": Array(Int32),
        "shops": Int32, "most": Int64,
    }
    views = [
        shopping(*every, fields=kinds),
        shopping(*every, fields=kinds, name="arriving", created="arrived_at"),
        shopping(*every, fields=kinds, name="empty", path="nothing"),
        shopping(over_a_day("count", name="visits"), fields={"visits": Int64}, name="daily",
                 tags={"refresh": "slide"}),
        shopping(over_a_day("sum", "spent", name="total"), fields={"total": Float64},
                 name="mapped", mapping={"amount": "spent"}),
        shopping(over_a_day("mean", "amount"), fields={"it": Int64}, name="whole"),
        shopping(over_a_day("count"), fields={"it": Array(Int64)}, name="listed"),
        shopping(over_a_day("sum", "shop"), fields={"it": Float64}, name="texts"),
        shopping(over_a_day("approx_count_distinct", "amount"), fields={"it": Int64},
                 name="fractions"),
        shopping(over_a_day("sum", "nonesuch"), fields={"it": Float64}, name="lacking"),
        shopping(over_a_day("count", name="visits"), fields={"visit": Int64}, name="misnamed"),
        shopping(over_a_day("median", "amount"), fields={"it": Float64}, name="unheard"),
    ]
    folder = tmp_path_factory.mktemp("windowed")
    made = feast_store(folder, [customer, *views])
    (folder / "events").mkdir()
    pq.write_table(table_of(SHOPPING, ARRIVED), folder / "events" / "2024-03-01.parquet")
    return made


SHOPPING = [
    happened(0, 0, 1, 2.0, pages=1, shop="a"), happened(1, 0, 2, 0.5, pages=2, shop="b"),
    happened(2, 0, 2.5, None, pages=3, shop="a"), happened(3, 0, 3, 1e15),
    happened(4, 1, 2, -1.0, pages=9), happened(1, 0, 4, 7.0, pages=8), happened(5, -1, 1, 5.0),
]
ARRIVED = [record.at for record in SHOPPING]
ARRIVED[2] += 10 * 3_600_000_000


def asking(*rows: tuple[str | None, float]) -> pd.DataFrame:
    return pd.DataFrame({
        "customer": pd.Series([who for who, _ in rows], dtype=object),
        "event_timestamp": pd.to_datetime([hours(at) for _, at in rows]),
    })


def of(view: str, *names: str) -> list[str]:
    return [f"{view}:{name}" for name in names]


def test_aggregates_come_in_their_declared_types(store: FeatureStore) -> None:
    rows = asking(("c0", 3.5), ("c0", 1), ("c9", 3), (None, 3), ("", 3), ("c1", 3), ("c0", 40))
    names = ("visits", "spent", "average", "read", "shops", "most")
    found = ask(store, rows, of("shopping", *names)).to_arrow()
    assert [found.schema.field(name).type for name in names] == [
        pa.int64(), pa.float64(), pa.float32(), pa.list_(pa.int32()), pa.int32(), pa.int64()
    ]
    assert values(found, "visits") == [4, 0, 0, None, None, 1, 0]
    assert values(found, "spent") == [1e15 + 2.5, 0, 0, None, None, -1, 0]
    assert values(found, "average")[1:] == [None, None, None, None, -1, None]
    assert values(found, "read") == [[3, 2, 1], [], [], None, None, [9], []]
    assert values(found, "shops") == [2, 0, 0, None, None, 0, 0]
    assert values(found, "most") == [3, None, None, None, None, 9, None]
    empty = ask(store, rows, of("empty", *names)).to_arrow()
    assert empty.schema == found.schema
    assert values(empty, "visits") == [0, 0, 0, None, None, 0, 0]
    nobody = ask(store, rows.head(0), of("shopping", *names)).to_arrow()
    assert list(nobody.schema)[2:] == list(found.schema)[2:]


def test_an_event_does_not_count_for_its_own_instant(store: FeatureStore) -> None:
    rows = asking(("c0", 1), ("c0", 1.0001), ("c0", 25.5), ("c0", 26.5))
    found = ask(store, rows, [*of("shopping", "visits"), "daily:visits"], full_feature_names=True)
    assert values(found.to_arrow(), "shopping__visits") == [0, 1, 3, 1]
    assert values(found.to_arrow(), "daily__visits") == [0, 0, 4, 3], "as of the whole hour"


def test_what_had_not_arrived_may_be_left_out(store: FeatureStore) -> None:
    rows = asking(("c0", 3.5), ("c0", 12), ("c0", 13), ("c1", 3))
    visits = of("arriving", "visits", "read")
    found = ask(store, rows, visits).to_arrow()
    assert values(found, "visits") == [4, 4, 4, 1]
    known = ask(store, rows, visits, filter_by_created_timestamp=True).to_arrow()
    assert values(known, "visits") == [3, 3, 4, 1]
    assert values(known, "read") == [[2, 1], [2, 1], [3, 2, 1], [9]]
    without = ask(
        store, rows, of("shopping", "visits"), filter_by_created_timestamp=True
    ).to_arrow()
    assert values(without, "visits") == [4, 4, 4, 1], "no column tells, so all counts"


def test_columns_of_events_may_be_called_otherwise(store: FeatureStore) -> None:
    found = ask(store, asking(("c0", 3), ("c1", 3)), of("mapped", "total")).to_arrow()
    assert values(found, "total") == [2.5, -1.0]


def test_plain_and_windowed_views_stand_beside_each_other(store: FeatureStore) -> None:
    rows = asking(("c1", 3), ("c0", 3.5))
    found = ask(
        store, rows, [*of("shopping", "visits"), *of("arriving", "visits")],
        full_feature_names=True,
    ).to_df()
    assert list(found.columns) == [
        "customer", "event_timestamp", "shopping__visits", "arriving__visits"
    ]
    assert found["shopping__visits"].tolist() == [1, 4]


@pytest.mark.parametrize(("view", "feature", "message"), [
    ("whole", "it", "field 'it' is declared as int64, but Float value 1.25"),
    ("listed", "it", "field 'it' is declared as Array.Int64.; count gives one of"),
    ("texts", "it", "'texts': column 'shop' is VARCHAR; sum needs numbers"),
    ("fractions", "it", "'fractions': column 'amount' is DOUBLE; counting distinct values needs"),
    ("unheard", "it", "there is no aggregate function 'median'"),
])
def test_what_cannot_be_aggregated_is_said(
    store: FeatureStore, view: str, feature: str, message: str
) -> None:
    with pytest.raises((DeclarationError, UnknownName), match=message):
        ask(store, asking(("c0", 2.9)), of(view, feature)).to_df()


@pytest.mark.parametrize(("view", "feature", "message"), [
    ("lacking", "it", "there is no column 'nonesuch'"),
    ("misnamed", "visit", "there is no aggregation 'visit'. Closest: visits"),
])
def test_what_there_is_not_is_said(
    store: FeatureStore, view: str, feature: str, message: str
) -> None:
    with pytest.raises(UnknownName, match=message):
        ask(store, asking(("c0", 2.9)), of(view, feature)).to_df()
