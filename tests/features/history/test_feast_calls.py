"""What else Feast asks of an offline store: on-demand views, saved sets, logs, pushes, pulls."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore, Field, FileSource, PushSource, RequestSource
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.labeling import LabelView
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Float64, Int64, String

from ml_assets.core.errors import ContractViolation, DeclarationError
from ml_assets.features.feast_stores.offline import LakeOfflineStore, limits_of
from ml_assets.features.feast_stores.retrieval import LakeRetrievalJob
from ml_assets.features.history.relations.duck import bytes_of
from tests.features.history.kit import (
    KEYS,
    RATINGS,
    ask,
    city,
    driver,
    feast_store,
    feasts_own_engine,
    hours,
    rating,
    ratings_view,
    spine,
    stars_view,
    values,
    write,
)

pytestmark = [
    pytest.mark.slow,
    # Feast says so of on-demand views, saved sets and logs; what we rely on of them is tested.
    pytest.mark.filterwarnings("ignore:.* experimental feature"),
    # ibis calls a name that DuckDB 2.0 deprecates.
    pytest.mark.filterwarnings("ignore:fetch_arrow_table"),
]

ROWS = [
    rating("ann", 0, 1.0, trips=1), rating("ann", 2, 2.0, trips=2), rating("ann", 4, 4.0, trips=4),
    rating("bob", 2, 5.0, created=3, trips=5), rating("bob", 2, 6.0, created=2, trips=6),
    rating(None, 1, 7.0, trips=7), rating(None, 2, 8.0, trips=8), rating("cem", 9, 9.0, trips=9),
]


def fare(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"fare": [km * 2.0 for km in inputs["km"]]}


TWO_A_KILOMETRE: Any = fare


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    write(tmp_path / "ratings.parquet", ROWS)
    write(tmp_path / "days" / "2024-03-01.parquet", ROWS[:3])
    ratings = ratings_view("ratings.parquet")
    trip = RequestSource(name="trip", schema=[Field(name="km", dtype=Int64)])
    fares = OnDemandFeatureView(
        name="fares", sources=[trip], schema=[Field(name="fare", dtype=Float64)], mode="python",
        feature_transformation=PythonTransformation(
            udf=TWO_A_KILOMETRE, udf_string="two a kilometre"
        ),
    )
    logged = FeatureService(
        name="logged", features=[ratings[["rating"]]],
        logging_config=LoggingConfig(destination=FileLoggingDestination(path="logs")),
    )
    by_day = FeatureService(
        name="by_day", features=[ratings[["rating"]]],
        logging_config=LoggingConfig(
            destination=FileLoggingDestination(path="daily_logs", partition_by=["__log_date"])
        ),
    )
    return feast_store(tmp_path, [
        driver, city, ratings, ratings_view("days", "days"), stars_view(ratings), fares, logged,
        by_day,
    ])


@pytest.mark.parametrize("full_feature_names", [False, True])
def test_on_demand_views_add_to_what_was_found(
    store: FeatureStore, full_feature_names: bool
) -> None:
    found = ask(
        store, spine(("ann", 3), ("bob", 3), km=[10, 20]),
        ["ratings:rating", "stars:stars", "fares:fare"], full_feature_names=full_feature_names,
    ).to_df()
    prefixes = ("ratings__", "stars__", "fares__") if full_feature_names else ("", "", "")
    names = [prefix + name for prefix, name in zip(prefixes, ("rating", "stars", "fare"),
                                                   strict=True)]
    assert list(found.columns) == ["driver", "event_timestamp", "km", *names]
    assert found[names].to_numpy().tolist() == [[2.0, 10.0, 20.0], [5.0, 25.0, 40.0]]


def test_a_label_is_what_was_said_last(store: FeatureStore, tmp_path: Path) -> None:
    labels = LabelView(
        name="verdicts", entities=[driver], labeler_field="labeler",
        schema=[KEYS["driver"], Field(name="good", dtype=Int64),
                Field(name="labeler", dtype=String)],
        source=PushSource(name="verdict", batch_source=FileSource(
            name="verdicts source", path="verdicts", timestamp_field="at",
        )),
    )
    said = pa.schema([("driver", pa.string()), ("at", RATINGS.field("at").type),
                      ("good", pa.int64()), ("labeler", pa.string())])
    write(tmp_path / "verdicts" / "1.parquet", [
        {"driver": "ann", "at": hours(at), "good": good, "labeler": "eve"}
        for at, good in ((1, 0), (2, 1))
    ], said)
    store.apply([labels])
    found = ask(store, spine(("ann", 1), ("ann", 3)), ["verdicts:good"]).to_arrow()
    assert values(found, "good") == [0, 1]


@pytest.mark.parametrize("path", ["sets/one.parquet", "sets/two"])
def test_a_saved_set_comes_back_as_it_was(
    store: FeatureStore, tmp_path: Path, path: str
) -> None:
    features = ["ratings:rating", "stars:stars"]
    rows = spine(("bob", 3), ("ann", 3), ("bob", 3))
    job = ask(store, rows, features)
    saved = store.create_saved_dataset(
        from_=job, name="training", storage=SavedDatasetFileStorage(path=path)
    )
    assert saved.to_df()[["driver", "rating"]].values.tolist() == [
        ["bob", 5.0], ["ann", 2.0], ["bob", 5.0]
    ]
    again = store.get_saved_dataset("training").to_df()
    pd.testing.assert_frame_equal(again[list(job.to_df().columns)], job.to_df())
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        store.create_saved_dataset(
            from_=job, name="training", storage=SavedDatasetFileStorage(path=path)
        )
    other = store.create_saved_dataset(
        from_=ask(store, rows.head(1), features), name="training", allow_overwrite=True,
        storage=SavedDatasetFileStorage(path=path),
    )
    assert len(other.to_df()) == 1


@pytest.mark.parametrize("service", ["logged", "by_day"])
def test_logged_features_can_be_read_back(
    store: FeatureStore, tmp_path: Path, service: str
) -> None:
    said = store.get_feature_service(service)
    logs = pa.table({
        "driver": ["ann", "bob"], "ratings__rating": pa.array([1.0, 2.0], pa.float32()),
        "ratings__rating__timestamp": pa.array([hours(0), hours(0)], RATINGS.field("at").type),
        "ratings__rating__status": pa.array([2, 2], pa.int32()),
        "__log_timestamp": pa.array([hours(1), hours(30)], RATINGS.field("at").type),
        "__log_date": [hours(1).date(), hours(30).date()], "__request_id": ["a", "b"],
    })
    store.write_logged_features(logs.slice(0, 1), said)
    other = tmp_path / "driver=eve"  # a folder is no column
    other.mkdir()
    pq.write_table(logs.slice(1), other / "more.parquet")
    store.write_logged_features(other / "more.parquet", said)
    found = store._get_provider().retrieve_feature_service_logs(
        feature_service=said, start_date=hours(0), end_date=hours(40), config=store.config,
        registry=store.registry,
    ).to_arrow()
    assert set(values(found, "driver")) == {"ann", "bob"}
    assert set(values(found, "__log_date")) == {date(2024, 3, 1), date(2024, 3, 2)}


def test_pushed_rows_are_added_to_a_file_and_beside_the_files_of_a_folder(
    store: FeatureStore, tmp_path: Path
) -> None:
    pushed = pd.DataFrame([rating("ann", 4, 40.0, created=8)])
    rows = spine(("ann", 5), ("ann", 3))
    for name in ("ratings", "days"):
        store.write_to_offline_store(name, pushed)
        assert values(ask(store, rows, [f"{name}:rating"]).to_arrow(), "rating") == [40.0, 2.0]
    assert pq.read_schema(tmp_path / "ratings.parquet").equals(RATINGS)
    files = sorted(path.name for path in (tmp_path / "days").iterdir())
    assert [name[:7] for name in files] == ["2024-03", "pushed-"]
    view = store.get_feature_view("days")
    wrong = pa.table({"driver": ["ann"]})
    with pytest.raises(ContractViolation, match=r"has the columns driver, city, at.*have driver$"):
        LakeOfflineStore.offline_write_batch(store.config, view, wrong, None)
    typed = pa.Table.from_pylist([rating("ann", 4, 1.0)], RATINGS)
    typed = typed.set_column(5, "trips", pa.array(["many"]))
    with pytest.raises(ContractViolation, match="do not fit the types of source 'days source'"):
        LakeOfflineStore.offline_write_batch(store.config, view, typed, None)


def test_the_first_pushed_rows_make_the_table(store: FeatureStore, tmp_path: Path) -> None:
    view = ratings_view("fresh", "fresh")
    counted: list[int] = []
    LakeOfflineStore.offline_write_batch(
        store.config, view, pa.Table.from_pylist(ROWS, RATINGS), counted.append
    )
    assert counted == [len(ROWS)]
    assert len(list((tmp_path / "fresh").glob("pushed-*.parquet"))) == 1


def sorted_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """By what they say; what is missing is None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return plain.iloc[plain.map(repr).agg(" ".join, axis=1).argsort()].reset_index(drop=True)


@pytest.mark.parametrize("keys", [["driver"], ["driver", "city"], []])
@pytest.mark.parametrize("created", ["created", None])
def test_the_latest_rows_are_those_that_feast_pulls(
    store: FeatureStore, keys: list[str], created: str | None
) -> None:
    source = store.get_feature_view("ratings").batch_source
    assert source is not None
    absolute = ratings_view(Path(str(store.config.repo_path)) / "ratings.parquet").batch_source
    assert absolute is not None
    # Without `created`, Feast leaves open which row of a tie it takes.
    end = hours(4) if created else hours(1.5)
    with feasts_own_engine():
        ours, theirs = (
            one.pull_latest_from_table_or_query(
                store.config, source_, keys, ["rating", "trips"], "at", created, hours(0), end
            ).to_df()
            for one, source_ in ((LakeOfflineStore, source), (DuckDBOfflineStore, absolute))
        )
    assert list(ours.columns) == list(theirs.columns)
    pd.testing.assert_frame_equal(sorted_rows(ours), sorted_rows(theirs))


def test_the_last_of_a_tie_in_the_files_is_the_latest_where_nothing_else_tells(
    store: FeatureStore,
) -> None:
    source = store.get_feature_view("ratings").batch_source
    assert source is not None
    found = LakeOfflineStore.pull_latest_from_table_or_query(
        store.config, source, ["driver"], ["trips"], "at", None, hours(2), hours(2)
    ).to_arrow()
    assert dict(zip(values(found, "driver"), values(found, "trips"), strict=True)) == {
        "ann": 2, "bob": 6, None: 8
    }


def test_all_rows_of_a_time_come_in_the_order_of_the_files(store: FeatureStore) -> None:
    source = store.get_feature_view("ratings").batch_source
    assert source is not None
    job = LakeOfflineStore.pull_all_from_table_or_query(
        store.config, source, ["driver"], ["trips", "trips"], "at", "created",
        hours(1).replace(tzinfo=None), hours(4),
    )
    assert isinstance(job, LakeRetrievalJob)
    assert values(job.to_arrow(), "trips") == [2, 4, 5, 6, 7, 8]
    assert job.to_arrow().schema.names == ["driver", "trips", "at", "created"]
    everything = LakeOfflineStore.pull_all_from_table_or_query(
        store.config, source, ["driver"], ["trips"], "at"
    ).to_df()
    assert len(everything) == len(ROWS)
    none = LakeOfflineStore.pull_all_from_table_or_query(
        store.config, source, ["driver"], ["trips"], "at", None, hours(90), None
    )
    assert isinstance(none, LakeRetrievalJob)
    assert [batch.num_rows for batch in none.to_record_batches()] == [0]


def test_sizes_are_read(tmp_path: Path) -> None:
    assert bytes_of("4GB") == 4 * 10**9
    assert bytes_of("1.5 KiB") == 1536
    with pytest.raises(DeclarationError, match="memory_limit is 'plenty'; expected a size such as"):
        bytes_of("plenty")
    store = feast_store(
        tmp_path, [], type="ml_assets.features.feast_stores.offline.LakeOfflineStore", lake=".",
        memory_limit="1GB", threads=1, temp_directory=str(tmp_path),
    )
    limits = limits_of(store.config)
    assert (limits.memory, limits.threads, limits.scratch) == (10**9, 1, tmp_path)
