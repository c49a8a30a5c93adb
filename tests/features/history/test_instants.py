"""The event timestamps of a spine: instants in UTC, or refused by the column's name."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore

from ml_assets.core.errors import InvalidRequest
from tests.features.history.events import INSTANT, START
from tests.features.history.kit import (
    LAKE,
    ask,
    driver,
    feast_store,
    hours,
    rating,
    ratings_view,
    values,
    write,
)

pytestmark = pytest.mark.slow

NAIVE = START.replace(tzinfo=None)
SECONDS = int(START.timestamp())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("instants")
    write(folder / "ratings.parquet", [rating("ann", 0, 1.0), rating("ann", 1, 2.0)])
    return feast_store(folder, [driver, ratings_view("ratings.parquet")], type=LAKE)


def spine_at(*instants: Any, dtype: Any = None, name: str = "event_timestamp") -> pd.DataFrame:
    return pd.DataFrame({"driver": "ann", name: pd.Series(list(instants), dtype=dtype)})


SEEN = {
    "aware": spine_at(START, START + timedelta(hours=1)),
    "naive is UTC": spine_at(NAIVE, NAIVE + timedelta(hours=1)),
    "both in one column": spine_at(START, NAIVE + timedelta(hours=1), dtype=object),
    "another zone": spine_at(*pd.date_range(START, periods=2, freq="h").tz_convert("Asia/Tokyo")),
    "seconds": spine_at(NAIVE, NAIVE + timedelta(hours=1), dtype="datetime64[s]"),
    "Arrow": spine_at(START, START + timedelta(hours=1), dtype=pd.ArrowDtype(INSTANT)),
    "numpy": spine_at(np.datetime64(NAIVE), np.datetime64("2024-03-01T01"), dtype=object),
    "ISO 8601": spine_at("2024-03-01T00:00:00Z", "2024-03-01 02:00:00.5+01:00"),
    "texts without a zone": spine_at("2024-03-01", "2024-03-01 01:00"),
    "texts of Arrow": spine_at("2024-03-01", "2024-03-01 01:00", dtype="string"),
    "another name": spine_at(START, START + timedelta(hours=1), name="seen_at"),
}


@pytest.mark.parametrize("written", SEEN)
def test_an_instant_may_be_written_in_several_ways(store: FeatureStore, written: str) -> None:
    found = ask(store, SEEN[written], ["ratings:rating"]).to_arrow()
    assert values(found, "rating") == [1.0, 2.0]
    assert found.schema.field(1).type == INSTANT
    assert values(found, found.schema.names[1])[0] == START


def test_days_are_their_first_instant_and_what_is_missing_knows_nothing(
    store: FeatureStore,
) -> None:
    for instants in ((date(2024, 3, 1), None), ("2024-03-01", ""), (START, pd.NaT)):
        found = ask(store, spine_at(*instants, dtype=object), ["ratings:rating"]).to_arrow()
        assert values(found, "rating") == [1.0, None]


NO_INSTANTS: dict[str, tuple[list[Any], Any, str]] = {
    "seconds": ([SECONDS], None, f"is int64 and has the value {SECONDS}; expected instants"),
    "milliseconds": ([SECONDS * 1000], None, "is int64 and has the value 1709251200000"),
    "nanoseconds": ([SECONDS * 10**9], "int64", "expected instants: datetimes, or texts such as"),
    "floats": ([SECONDS + 0.5], None, "is float64 and has the value 1709251200.5"),
    "floats with gaps": ([None, float(SECONDS)], None, "is float64 and has the value 1709251200.0"),
    "numbers of pandas": ([SECONDS, None], "Int64", f"is Int64 and has the value {SECONDS}"),
    "numbers as objects": ([None, SECONDS], object, f"is object and has the value {SECONDS}"),
    "one number among instants": ([START, SECONDS], object, f"has the value {SECONDS}"),
    "truths": ([True], None, "is bool and has the value True"),
    "decimals": ([Decimal(SECONDS)], object, "has the value Decimal('1709251200')"),
    "texts of numbers": ([str(SECONDS)], None, f"is object and has the value '{SECONDS}'"),
    "texts of fractions": ([" -1.5 "], None, "has the value ' -1.5 '"),
    "a day or a number": (["20240301"], None, "has the value '20240301'"),
    "words": (["yesterday"], None, "is object: "),
    "a day that may be two": (["01/02/2024"], None, "is object: "),
    "no day at all": (["2024-02-31"], None, "is object: "),
    "bytes": ([b"2024-03-01"], None, "has the value b'2024-03-01'"),
    "a stretch of time": ([timedelta(hours=1)], None, "expected instants"),
    "an instant too early": ([datetime(1, 1, 1, tzinfo=UTC)], object, "is object: "),
}


@pytest.mark.parametrize("written", NO_INSTANTS)
def test_what_is_no_instant_is_refused_by_name(store: FeatureStore, written: str) -> None:
    instants, dtype, message = NO_INSTANTS[written]
    with pytest.raises(InvalidRequest) as refused:
        ask(store, spine_at(*instants, dtype=dtype), ["ratings:rating"]).to_arrow()
    assert str(refused.value).startswith("the spine's 'event_timestamp' is ")
    assert message in str(refused.value)


def test_seconds_are_refused_with_what_to_do(store: FeatureStore) -> None:
    with pytest.raises(InvalidRequest, match=r"pd.to_datetime\(df\['event_timestamp'\], unit='s'"):
        ask(store, spine_at(SECONDS), ["ratings:rating"]).to_arrow()


@pytest.mark.parametrize(("sql", "message"), [
    (f"{SECONDS}", "the spine's 'event_timestamp' is INTEGER; expected instants"),
    (f"{SECONDS}::double", "the spine's 'event_timestamp' is DOUBLE; expected"),
    (f"'{SECONDS}'", f"the spine's 'event_timestamp' is a text and has the value {SECONDS}; exp"),
    ("'yesterday'", "is a text and has the value yesterday"),
    ("'12:30'::time", "the spine's 'event_timestamp' is TIME; expected"),
])
def test_sql_that_gives_no_instants_is_refused_by_name(
    store: FeatureStore, sql: str, message: str
) -> None:
    query = f"select 'ann' as driver, {sql} as event_timestamp"
    with pytest.raises(InvalidRequest, match=message):
        ask(store, query, ["ratings:rating"]).to_arrow()


@pytest.mark.parametrize("sql", [
    "'2024-03-01'", "'2024-03-01T01:00:00+01:00'", "date '2024-03-01'",
    "timestamp '2024-03-01'", "timestamptz '2024-03-01 00:00:00Z'",
])
def test_sql_may_write_instants_in_several_ways(store: FeatureStore, sql: str) -> None:
    query = f"select 'ann' as driver, {sql} as event_timestamp"
    assert values(ask(store, query, ["ratings:rating"]).to_arrow(), "rating") == [1.0]


def test_a_file_with_seconds_is_refused_by_name(store: FeatureStore, tmp_path: Path) -> None:
    path = write(tmp_path / "asked.parquet", [{"driver": "ann", "event_timestamp": SECONDS}],
                 pa.schema([("driver", pa.string()), ("event_timestamp", pa.int64())]))
    with pytest.raises(InvalidRequest, match="the spine's 'event_timestamp' is BIGINT; expected"):
        ask(store, str(path), ["ratings:rating"]).to_arrow()
    assert hours(0) == START
