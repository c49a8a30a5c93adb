"""Laws of the lake: a partition is there whole or not at all."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from ml_assets.core.errors import ContractViolation
from ml_assets.ingest.lake import INSTANT, Lake, later
from ml_assets.ingest.tables import known_schema
from tests.toy import TOY

LABELS = known_schema(TOY)

DAY = date(2024, 1, 2)


def labels(*ids: str) -> pd.DataFrame:
    at = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    return pd.DataFrame([(one, at, at, True, "feedback") for one in ids], columns=LABELS.names)


def test_what_is_written_is_read_back_with_microseconds(tmp_path: Path) -> None:
    """Instants keep their microseconds and their zone."""
    lake = Lake(tmp_path)
    lake.write("toy", "labels", DAY, labels("a"), LABELS)
    read = lake.read("toy", "labels", LABELS)
    assert read["known_at"][0].isoformat() == "2024-01-02T03:04:05.678901+00:00"
    assert LABELS.field("known_at").type == INSTANT


def test_writing_a_day_again_replaces_it(tmp_path: Path) -> None:
    """A retried run leaves the table as if it had run once."""
    lake = Lake(tmp_path)
    for _ in range(2):
        lake.write("toy", "labels", DAY, labels("a", "b"), LABELS)
    assert lake.read("toy", "labels", LABELS)["event_id"].tolist() == ["a", "b"]


def test_rows_that_do_not_fit_are_refused_and_the_old_day_stays(tmp_path: Path) -> None:
    """The error names table and day; nothing is lost and nothing half-written is left."""
    lake = Lake(tmp_path)
    lake.write("toy", "labels", DAY, labels("a"), LABELS)
    broken = labels("b").assign(label="perhaps")
    with pytest.raises(ContractViolation, match="toy/labels of 2024-01-02"):
        lake.write("toy", "labels", DAY, broken, LABELS)
    assert lake.read("toy", "labels", LABELS)["event_id"].tolist() == ["a"]
    assert len(list(lake.table("toy", "labels").iterdir())) == 1


def test_an_empty_day_differs_from_a_day_that_is_not_there(tmp_path: Path) -> None:
    """So that "nothing happened" is not taken for "not yet ingested"."""
    lake = Lake(tmp_path)
    lake.write("toy", "labels", DAY, labels(), LABELS)
    assert lake.days("toy", "labels") == [DAY]
    assert lake.read("toy", "labels", LABELS).empty


def test_days_are_read_half_open(tmp_path: Path) -> None:
    """`[start, end)`, as all intervals."""
    lake = Lake(tmp_path)
    for number in (1, 2, 3):
        lake.write("toy", "labels", date(2024, 1, number), labels(str(number)), LABELS)
    read = lake.read("toy", "labels", LABELS, start=date(2024, 1, 1), end=date(2024, 1, 3))
    assert read["event_id"].tolist() == ["1", "2"]


def test_a_column_that_came_later_reads_in_earlier_days_as_declared(tmp_path: Path) -> None:
    """A table may grow; what was written before stays as it is and stays readable."""
    lake = Lake(tmp_path)
    old = pa.schema([("event_id", pa.string()), ("score", pa.float64())])
    new = pa.schema([("event_id", pa.string()), later("role", pa.string(), "champion"),
                     ("score", pa.float64())])
    lake.write("toy", "served", DAY, pd.DataFrame({"event_id": ["a"], "score": [0.5]}), old)
    rows = pd.DataFrame({"event_id": ["b"], "role": ["challenger"], "score": [0.25]})
    lake.write("toy", "served", date(2024, 1, 3), rows, new)
    read = lake.read("toy", "served", new)
    assert list(read.columns) == ["event_id", "role", "score"]
    assert read["role"].tolist() == ["champion", "challenger"]
    chosen = lake.read("toy", "served", new, columns=["role"])
    assert chosen["role"].tolist() == ["champion", "challenger"]
    newer = pa.schema([*new, ("unheard_of", pa.string())])
    with pytest.raises(pa.ArrowInvalid):
        lake.read("toy", "served", newer)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_portions_are_the_day_in_order_and_as_large_as_asked(tmp_path: Path, size: int) -> None:
    """All but the last have exactly `size` rows, however the file is divided."""
    lake, ids = Lake(tmp_path), [f"e{n}" for n in range(7)]
    with lake.replacing("toy", "labels", DAY, LABELS) as write:
        for start in range(0, 7, 2):
            write(labels(*ids[start : start + 2]))
    parts = [part["event_id"].to_pylist() for part in lake.portions(
        "toy", "labels", LABELS, DAY, size=size, columns=["event_id"])]
    assert [each for part in parts for each in part] == ids
    assert {len(part) for part in parts[:-1]} <= {size}
    assert lake.read("toy", "labels", LABELS)["event_id"].tolist() == ids
    assert not list(lake.portions("toy", "labels", LABELS, date(2024, 1, 3), size=size))


def test_a_day_replaced_in_portions_stays_as_it_was_until_the_last(tmp_path: Path) -> None:
    """A crash midway, or rows that do not fit, leave the old partition and nothing else."""
    lake = Lake(tmp_path)
    lake.write("toy", "labels", DAY, labels("old"), LABELS)
    for wrong in (ContractViolation, KeyboardInterrupt):
        with pytest.raises(wrong), lake.replacing("toy", "labels", DAY, LABELS) as write:
            write(labels("new"))
            if wrong is KeyboardInterrupt:
                raise KeyboardInterrupt
            write(labels("new").drop(columns="label"))
        assert lake.read("toy", "labels", LABELS)["event_id"].tolist() == ["old"]
    assert [path.name for path in lake.table("toy", "labels").iterdir()] == ["2024-01-02.parquet"]


def test_a_day_without_rows_may_be_replaced_in_portions(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with lake.replacing("toy", "labels", DAY, LABELS):
        pass
    assert lake.days("toy", "labels") == [DAY]
    assert lake.read("toy", "labels", LABELS).empty
