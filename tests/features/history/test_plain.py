"""Plain feature views over files of the lake: what is kept, what is found, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, KafkaSource, ValueType
from feast.data_format import DeltaFormat, JsonFormat
from feast.types import Array, Bool, Float32, Int64, String, UnixTimestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import DeclarationError, InvalidRequest, NotReady, UnknownName
from ml_assets.features.feast_stores.offline import LakeOfflineStore
from tests.features.history.events import INSTANT
from tests.features.history.kit import (
    HOUR,
    RATINGS,
    ask,
    city,
    driver,
    feast_store,
    hours,
    rating,
    ratings_view,
    spine,
    values,
    write,
)

pytestmark = pytest.mark.slow

KINDS = pa.schema([
    ("driver", pa.string()), ("at", INSTANT), ("score", pa.float32()), ("level", pa.int8()),
    ("name", pa.string()), ("active", pa.bool_()), ("tags", pa.list_(pa.string())),
    ("since", INSTANT), ("photo", pa.binary()), ("rate_y", pa.float64()),
])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """`ratings`, `windowless` and others that read tables of `lake/`, which tests write."""
    folder = tmp_path_factory.mktemp("plain")
    kinds = FeatureView(
        name="kinds", entities=[driver], ttl=timedelta(0),
        schema=[
            Field(name="driver", dtype=String), Field(name="score", dtype=Float32),
            Field(name="level", dtype=Int64), Field(name="name", dtype=String),
            Field(name="active", dtype=Bool), Field(name="tags", dtype=Array(String)),
            Field(name="since", dtype=UnixTimestamp), Field(name="rate_y", dtype=Float32),
        ],
        source=FileSource(name="kinds source", path="kinds.parquet", timestamp_field="at"),
    )
    return feast_store(folder, [
        driver, city, kinds, ratings_view("days", "days"), ratings_view("days/*.parquet", "some"),
        ratings_view("none", "none"), ratings_view("drawn", "drawn", keys=("driver", "city"),
                                                   ttl=3 * HOUR),
    ], type="ml_assets.features.feast_stores.offline.LakeOfflineStore", lake="lake")


def lake(store: FeatureStore) -> Path:
    assert store.config.repo_path is not None
    return Path(store.config.repo_path) / "lake"


def test_values_keep_the_types_of_the_files(store: FeatureStore) -> None:
    row = {
        "driver": "ann", "at": hours(0), "score": 0.1, "level": 3, "name": "Zürich", "active": True,
        "tags": ["a", None], "since": hours(-5), "photo": b"\0", "rate_y": 0.5,
    }
    write(lake(store) / "kinds.parquet", [row, {"driver": "bob", "at": hours(0)}], KINDS)
    names = ["score", "level", "name", "active", "tags", "since", "rate_y"]
    found = ask(
        store, spine(("ann", 1), ("bob", 1), ("zoe", 1)), [f"kinds:{name}" for name in names]
    ).to_arrow()
    for name in names:
        assert found.schema.field(name).type == KINDS.field(name).type
        assert values(found, name)[1:] == [None, None]
    assert values(found, "tags")[0] == ["a", None]
    assert values(found, "score")[0] == pytest.approx(0.1, rel=1e-6)
    assert values(found, "since")[0] == hours(-5)


def test_the_spine_comes_back_as_it_was_with_the_features_beside_it(store: FeatureStore) -> None:
    write(lake(store) / "days" / "2024-03-01.parquet", [rating("ann", 0, 1.0), rating("b", 0, 2.0)])
    rows = spine(
        ("b", 1), ("ann", 1), ("b", 1), ("ann", -1), ("nobody", 1), ("b", 1),
        amount=[1.5, None, 2, 3, 4, 5], nested=[[1], [], None, [2], [3], [4]],
        day=[datetime(2024, 1, 1, tzinfo=UTC).date()] * 6,
    )
    rows["category"] = pd.Categorical(list("xyxyxy"))
    rows.index = pd.Index(range(10, 16))
    before = rows.copy(deep=True)
    found = ask(store, rows, ["days:rating"]).to_df()
    pd.testing.assert_frame_equal(rows, before)
    assert list(found.columns) == [*rows.columns, "rating"]
    kept = found[list(rows.columns)]
    pd.testing.assert_frame_equal(kept, rows.reset_index(drop=True), check_dtype=False)
    assert found["rating"].fillna(-1).tolist() == [2.0, 1.0, 2.0, -1, -1, 2.0]


def test_a_folder_is_all_its_files_and_older_ones_may_lack_a_column(store: FeatureStore) -> None:
    days = lake(store) / "days"
    without = pa.schema([field for field in RATINGS if field.name != "trips"])
    write(days / "2024-03-01.parquet", [rating("ann", 0, 1.0)], without)
    write(days / "2024-03-02.parquet", [rating("ann", 24, 2.0, trips=7)])
    write(days / "2024-03-03.parquet", [rating("ann", 24, 3.0, trips=8)])
    write(days / ".2024-03-04.parquet", [rating("ann", 24, 4.0)])
    rows = spine(("ann", 1), ("ann", 30))
    for view in ("days", "some"):
        found = ask(store, rows, [f"{view}:rating", f"{view}:trips"]).to_arrow()
        assert values(found, "rating") == [1.0, 3.0], "of equals the last in the files counts"
        assert values(found, "trips") == [None, 8]


def test_where_nothing_is_written_yet_nothing_is_known(store: FeatureStore) -> None:
    found = ask(store, spine(("ann", 1)), ["none:rating", "none:trips"]).to_arrow()
    assert found.to_pylist()[0]["rating"] is None
    assert found.schema.field("rating").type == pa.float32()
    assert found.schema.field("trips").type == pa.int64()
    source = store.get_feature_view("none").batch_source
    assert source is not None
    with pytest.raises(NotReady, match=r"source 'none source' has no Parquet file at .*lake/none"):
        LakeOfflineStore.pull_all_from_table_or_query(
            store.config, source, ["driver"], ["rating"], "at"
        ).to_arrow()
    with pytest.raises(NotReady, match="write it first, or correct the path"):
        LakeOfflineStore().get_table_column_names_and_types_from_data_source(
            store.config, source
        )


def test_a_feature_with_the_name_of_a_column_of_the_spine_is_refused(store: FeatureStore) -> None:
    rows = spine(("ann", 1), rating=[5.0])
    with pytest.raises(InvalidRequest, match="feature 'rating' of view 'none' has the name"):
        ask(store, rows, ["none:rating"]).to_df()
    found = ask(store, rows, ["none:rating"], full_feature_names=True).to_df()
    assert found["rating"].tolist() == [5.0]


def test_a_spine_without_a_join_key_is_refused(store: FeatureStore) -> None:
    with pytest.raises(InvalidRequest, match="lacks 'city', a join key of feature view 'drawn'"):
        ask(store, spine(("ann", 1)), ["drawn:rating"]).to_df()
    with pytest.raises(InvalidRequest, match=r"a column of mixed types: .*driver"):
        ask(store, spine(("ann", 1), (3, 1)), ["none:rating"]).to_df()  # type: ignore[arg-type]


def test_a_source_that_lacks_a_column_is_named(store: FeatureStore) -> None:
    write(lake(store) / "kinds.parquet", [{"driver": "ann", "at": hours(0)}], KINDS.remove(2))
    with pytest.raises(UnknownName, match=r"no column 'score'.*Source 'kinds source' lacks it"):
        ask(store, spine(("ann", 1)), ["kinds:score"]).to_df()


def test_a_key_of_another_type_than_in_the_source_is_refused(store: FeatureStore) -> None:
    write(lake(store) / "drawn" / "1.parquet", [rating("ann", 0, 1.0)])
    with pytest.raises(InvalidRequest, match=(
        "the spine's key 'city' has the value Rome, and key 'city' of source 'drawn source' is a"
    )):
        ask(store, spine(("ann", 1), city=["Rome"]), ["drawn:rating"]).to_df()


@pytest.mark.parametrize(("source", "message"), [
    (FileSource(name="d", path="d", file_format=DeltaFormat(), timestamp_field="at"),
     "source 'd' is in DeltaFormat; expected Parquet"),
    (KafkaSource(name="k", timestamp_field="at", message_format=JsonFormat("a int")),
     "feature view 'v' reads a KafkaSource; expected a FileSource"),
])
def test_a_source_that_is_not_of_parquet_files_is_refused(
    store: FeatureStore, source: Any, message: str
) -> None:
    view = ratings_view("x", "v")
    view.batch_source = source
    with pytest.raises(DeclarationError, match=message):
        LakeOfflineStore.get_historical_features(
            store.config, [view], ["v:rating"], spine(("ann", 1)), store.registry, "fleet"
        )


ROW = st.builds(
    lambda *said, dated, **more: rating(*said, **more) | ({} if dated else {"created": None}),
    st.sampled_from(("a", "b", "", None)), st.integers(0, 6),
    st.one_of(st.none(), st.integers(0, 9).map(float)), created=st.integers(0, 8),
    city=st.sampled_from((1, 2, None)), trips=st.integers(0, 99),
    dated=st.sampled_from((True, True, False)),
)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def looked_up(
    table: Sequence[dict[str, Any]], who: object, where: object, at: datetime, *, known: bool
) -> Any:
    """The trips of the latest row that counts, looking at each."""
    best, trips = None, None
    for row in table:
        if not row["driver"] or row["city"] is None:
            continue
        if (row["driver"], row["city"]) != (who, where):
            continue
        if not row["at"] <= at <= row["at"] + 3 * HOUR:
            continue
        if known and (row["created"] is None or row["created"] > at):
            continue
        order = row["at"], row["created"] or NEVER
        if best is None or order >= best:
            best, trips = order, row["trips"]
    return trips


@given(
    table=st.lists(ROW, min_size=1, max_size=20), cut=st.integers(0, 20),
    asked=st.lists(st.tuples(
        st.sampled_from(("a", "b", "", None, "z")), st.sampled_from((1, 2, 3)), st.integers(0, 10)
    ), min_size=1, max_size=8),
    known=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_value_is_that_of_the_latest_row_that_counts(
    store: FeatureStore, table: list[dict[str, Any]], cut: int,
    asked: list[tuple[str | None, int, int]], known: bool,
) -> None:
    """Ties, late and undated corrections, missing keys, edges of the ttl, two files."""
    write(lake(store) / "drawn" / "1.parquet", table[:cut])
    write(lake(store) / "drawn" / "2.parquet", table[cut:])
    rows = spine(*((who, at) for who, _, at in asked), city=[where for _, where, _ in asked])
    found = ask(store, rows, ["drawn:trips"], filter_by_created_timestamp=known).to_arrow()
    assert values(found, "trips") == [
        looked_up(table, who, where, hours(at), known=known) for who, where, at in asked
    ]


def test_times_in_other_units_and_without_a_zone_are_read(tmp_path: Path) -> None:
    rider = Entity(name="rider", join_keys=["rider"], value_type=ValueType.INT64)
    names = ("s", "ms", "us", "ns", "date", "text", "ns_utc")
    kinds = {
        "date": pa.date32(), "text": pa.string(), "ns_utc": pa.timestamp("ns", "UTC"),
        **{unit: pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")},
    }
    views = []
    for name in names:
        path = tmp_path / f"{name}.parquet"
        when: Any = "2024-03-01" if name == "text" else datetime(2024, 3, 1, tzinfo=UTC)
        if name not in ("text", "ns_utc"):
            when = when.replace(tzinfo=None)
        write(path, [{"rider": 1, "at": when, "x": 7}], pa.schema(
            [("rider", pa.int32()), ("at", kinds[name]), ("x", pa.int64())]
        ))
        views.append(FeatureView(
            name=name, entities=[rider], ttl=HOUR,
            schema=[Field(name="rider", dtype=Int64), Field(name="x", dtype=Int64)],
            source=FileSource(name=f"{name} source", path=str(path), timestamp_field="at"),
        ))
    store = feast_store(tmp_path, [rider, *views])
    rows = pd.DataFrame({"rider": [1, 1, 1], "event_timestamp": [hours(0), hours(1), hours(1.1)]})
    found = ask(store, rows, [f"{name}:x" for name in names], full_feature_names=True).to_arrow()
    for name in names:
        assert values(found, f"{name}__x") == [7, 7, None]
