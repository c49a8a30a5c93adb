"""The lake in SQL: what Python reads of a table, SQL reads, and only the files that it must."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from dagster_duckdb import DuckDBResource

from ml_assets.core.data.columns import Column
from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.lake_in_sql import open_lake, select
from ml_assets.ingest.resources import lake_resource
from ml_assets.ingest.tables import (
    known_schema,
    labels_schema,
    outcomes_schema,
    predictions_schema,
    tables_of,
)
from ml_assets.systems import SYSTEMS
from tests.toy import TOY

LABELS = known_schema(TOY)
OUTCOMES = outcomes_schema(TOY)
PREDICTIONS = predictions_schema(TOY)

DAY = date(2024, 1, 9)
ODD = ["env=prod", "day=2020-01-01", "it's", "a [1] *?{b}",
       "Zürich 日本", 'a"b', "$HOME", "~", "%20"]
SCHEMA = labels_schema(TOY)


def labels(day: date, *ids: str) -> pd.DataFrame:
    at = datetime(day.year, day.month, day.day, 23, 59, 59, 999999, tzinfo=UTC)
    rows = [(one, at, at, True, "feedback", f"label {one}", "corner", None) for one in ids]
    return pd.DataFrame(rows, columns=SCHEMA.names)


def write(root: Path, day: date, *ids: str) -> Path:
    return Lake(root).write("toy", "labels", day, labels(day, *ids), SCHEMA)


def ids(connection: duckdb.DuckDBPyConnection, where: str = "true") -> list[str]:
    rows = connection.execute(f"select event_id from lake.toy.labels where {where} order by all")
    return [row[0] for row in rows.fetchall()]


@pytest.mark.parametrize("name", ODD)
def test_sql_reads_what_python_reads_whatever_the_folder_is_called(
    tmp_path: Path, name: str
) -> None:
    root = tmp_path / name / "lake"
    for number in range(3):
        write(root, DAY + timedelta(days=number), f"a{number}", f"b{number}")
    with open_lake(root, [TOY]) as lake:
        told = lake.sql("select * exclude (day) from toy.labels").to_arrow_table()
        days = lake.sql("select distinct day from toy.labels order by day").fetchall()
    read = pa.Table.from_pandas(Lake(root).read("toy", "labels", SCHEMA), SCHEMA)
    assert told.cast(SCHEMA).equals(read.replace_schema_metadata(None))
    assert days == [(DAY + timedelta(days=number),) for number in range(3)]


def test_a_folder_that_duckdb_cannot_name_is_said_to_be_so(tmp_path: Path) -> None:
    write(tmp_path / "a\\b", DAY, "a")
    with pytest.raises(DeclarationError, match="backslash"), open_lake(tmp_path / "a\\b", [TOY]):
        pass


@pytest.mark.parametrize(("where", "opened"), [
    (f"day = '{DAY}'", 1),
    (f"day = date '{DAY}' + 1", 1),
    (f"day >= '{DAY}' and day < date '{DAY}' + 3", 3),
    (f"day in ('{DAY}', date '{DAY}' + 5)", 2),
    (f"day > date '{DAY}' + 9", 0),
    (f"day < '{DAY}' and label", 0),
    ("true", 10),
])
def test_a_condition_on_the_day_picks_the_files(tmp_path: Path, where: str, opened: int) -> None:
    """DuckDB's plan says how many files it will open."""
    for number in range(10):
        write(tmp_path, DAY + timedelta(days=number), f"{number}")
    with open_lake(tmp_path, [TOY]) as lake:
        plan = lake.sql(f"explain select event_id from lake.toy.labels where {where}").fetchall()
        assert len(ids(lake, where)) == opened
    found = re.search(r"Scanning Files: (\d+)/10", plan[0][1])
    assert (int(found[1]) if found else 10) == opened, plan[0][1]


def test_a_file_that_is_not_asked_for_is_not_opened(tmp_path: Path) -> None:
    """Not for its columns either: here it is no Parquet file at all."""
    write(tmp_path, DAY, "a")
    Lake(tmp_path).partition("toy", "labels", DAY + timedelta(days=1)).write_bytes(b"damaged")
    with open_lake(tmp_path, [TOY]) as lake:
        assert ids(lake, f"day = '{DAY}'") == ["a"]
        with pytest.raises(duckdb.Error, match=f"{DAY + timedelta(days=1)}.parquet"):
            ids(lake)


@pytest.mark.parametrize("system", [TOY, *SYSTEMS], ids=lambda system: system.name)
def test_a_table_without_a_day_has_its_columns(tmp_path: Path, system: System) -> None:
    write(tmp_path, DAY)  # a day without rows
    with open_lake(tmp_path, [system]) as lake:
        for table, schema in tables_of(system).items():
            told = lake.sql(f"select * from lake.{system.name}.{table}").to_arrow_table()
            assert told.schema.names == [*schema.names, "day"]
            assert told.schema.remove_metadata() == schema.remove_metadata().append(
                pa.field("day", pa.date32()))
            assert told.num_rows == 0


def test_the_columns_of_a_table_do_not_depend_on_whether_it_has_files(tmp_path: Path) -> None:
    for table, schema in tables_of(TOY).items():
        Lake(tmp_path).write("toy", table, DAY, schema.empty_table().to_pandas(), schema)
    with open_lake(tmp_path / "none", [TOY]) as empty, open_lake(tmp_path, [TOY]) as written:
        for table in tables_of(TOY):
            described = f"describe lake.toy.{table}"
            assert empty.execute(described).fetchall() == written.execute(described).fetchall()


def test_a_column_that_came_later_has_its_value_in_older_days(tmp_path: Path) -> None:
    """As `Lake.read` has it."""
    came_later = ("role", "propensity", "outputs")
    older = pa.schema([field for field in OUTCOMES if field.name not in came_later])
    at = datetime(2024, 1, 9, tzinfo=UTC)
    row = ["p", "e", at, at, True, "feedback", 1, 0.9, True]
    Lake(tmp_path).write("toy", "outcomes", DAY, pd.DataFrame([row], columns=older.names), older)
    later = pd.DataFrame([[*row, "challenger", 0.1, None]], columns=OUTCOMES.names)
    Lake(tmp_path).write("toy", "outcomes", DAY + timedelta(days=1), later, OUTCOMES)
    with open_lake(tmp_path, [TOY]) as lake:
        told = lake.sql("select role, propensity from toy.outcomes order by day").fetchall()
    assert told == [("champion", 1.0), ("challenger", 0.1)]


def test_a_connection_sees_days_as_they_are_written(tmp_path: Path) -> None:
    """Also while it is open: a day is there whole, as it was or as it is."""
    write(tmp_path, DAY, "a")
    with open_lake(tmp_path, [TOY]) as lake:
        assert ids(lake) == ["a"]
        write(tmp_path, DAY + timedelta(days=1), "b")
        assert ids(lake) == ["a", "b"]
        write(tmp_path, DAY, "c")  # of the same size, within the same millisecond
        assert ids(lake) == ["b", "c"]
        with Lake(tmp_path).replacing("toy", "labels", DAY, SCHEMA) as rows:
            rows(labels(DAY, "half"))
            assert ids(lake) == ["b", "c"]
        assert ids(lake) == ["b", "half"]


def test_a_question_that_is_under_way_is_not_disturbed_by_a_new_day(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path, DAY + timedelta(days=number), *(f"{number} {n}" for n in range(5000)))
    with open_lake(tmp_path, [TOY]) as lake:
        reader = lake.sql("select event_id from toy.labels").to_arrow_reader(100)
        first = reader.read_next_batch()
        for number in range(4):
            write(tmp_path, DAY + timedelta(days=number), "new")
        seen = [*first["event_id"].to_pylist(), *reader.read_all()["event_id"].to_pylist()]
    # Of each day all rows of before, or all of after.
    for number in range(4):
        of_day = [one for one in seen if one.startswith(f"{number} ")]
        assert len(of_day) in (0, 5000)


def test_nothing_is_written_through_sql(tmp_path: Path) -> None:
    write(tmp_path, DAY, "a")
    with open_lake(tmp_path, [TOY]) as lake:
        for sql in ("insert into lake.toy.labels (event_id) values ('b')",
                    "update lake.toy.labels set label = false", "delete from lake.toy.labels"):
            with pytest.raises(duckdb.Error):
                lake.execute(sql)
    assert Lake(tmp_path).read("toy", "labels", LABELS)["event_id"].tolist() == ["a"]


def test_texts_and_instants_are_told_apart_to_the_last_bit(tmp_path: Path) -> None:
    write(tmp_path, DAY, "x\0a", "x\0b", "é", "e\u0301")
    with open_lake(tmp_path, [TOY]) as lake:
        counted = lake.sql("select count(distinct event_id) from toy.labels").fetchall()
        last = lake.sql("select max(known_at) as at, max(known_at)::date as day from toy.labels")
        assert counted == [(4,)]
        row = last.df().iloc[0]
    assert row["at"].isoformat() == f"{DAY}T23:59:59.999999+00:00"
    assert row["day"].date() == DAY


def test_a_system_cannot_declare_the_column_that_the_lake_adds() -> None:
    with pytest.raises(DeclarationError, match="day"):
        Column(name="day", dtype="text", description="of the week")


def test_selected_rows_have_the_types_of_the_lake(tmp_path: Path) -> None:
    """A vector with an unknown feature is an array with a NaN, as numpy's functions need it."""
    at = datetime(2024, 1, 9, tzinfo=UTC)
    vectors = [np.array([1, np.nan], np.float32), np.array([2, 3], np.float32)]
    row = {"prediction_id": "p", "event_id": "e", "event_timestamp": at, "accepted_at": at,
           "features_as_of": at, "feature_names": ["a", "b"], "model_version": 1, "score": 0.9,
           "decision": True, "degraded": False, "role": "champion", "propensity": 1.0,
           "outputs": None}
    rows = pd.DataFrame([{**row, "features": vector} for vector in vectors]).reindex(
        columns=PREDICTIONS.names)
    Lake(tmp_path).write("toy", "predictions", DAY, rows, PREDICTIONS)
    with open_lake(tmp_path, [TOY]) as lake:
        told = select(lake, "select * exclude (day) from toy.predictions where day = ?", [DAY])
    read = Lake(tmp_path).read("toy", "predictions", PREDICTIONS)
    pd.testing.assert_frame_equal(told, read)
    assert {type(each) for each in told["features"]} == {np.ndarray}
    np.testing.assert_array_equal(np.stack(told["features"].tolist()), np.stack(vectors))


def test_systems_lie_beside_each_other(tmp_path: Path) -> None:
    write(tmp_path, DAY, "a")
    other = replace(TOY, name="order")  # a word of SQL
    with open_lake(tmp_path, [TOY, other]) as lake:
        assert lake.sql('select count(*) from lake."order".labels').fetchall() == [(0,)]
        assert ids(lake) == ["a"]


def test_an_asset_asks_the_lake_through_the_resource(settings: Settings) -> None:
    write(settings.lake, DAY, "a", "b")

    @dg.asset
    def labelled(duckdb: DuckDBResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with duckdb.get_connection() as lake:
            (count,) = lake.execute(
                "select count(*) from lake.toy.labels where day = ?", [DAY]
            ).fetchone()
        return dg.MaterializeResult(metadata={"count": count})

    result = dg.materialize([labelled], resources={"duckdb": lake_resource(settings, [TOY])})
    found = result.asset_materializations_for_node("labelled")[0].metadata["count"]
    assert found.value == 2


def test_the_resource_closes_its_connection_after_an_error_too(settings: Settings) -> None:
    kept = []
    with (
        pytest.raises(duckdb.CatalogException),
        lake_resource(settings, [TOY]).get_connection() as lake,
    ):
        kept.append(lake)
        lake.execute("select * from lake.toy.no_such_table")
    with pytest.raises(duckdb.ConnectionException):
        kept[0].execute("select 1")
