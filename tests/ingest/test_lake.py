"""Laws of the lake: a partition is there whole or not at all."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from ml_assets.core.errors import ContractViolation
from ml_assets.ingest.lake import INSTANT, Lake, later
from ml_assets.ingest.tables import LABELS

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
