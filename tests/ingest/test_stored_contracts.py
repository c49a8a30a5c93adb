"""Column by column a stored table is judged as its rows are one by one."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.core.data.columns import Column
from ml_assets.ingest.contracts.rows import Contract
from ml_assets.ingest.contracts.stored import keeps
from ml_assets.ingest.tables import LOG_SEQ, stream_schema
from tests.toy import TOY

AT = datetime(2024, 1, 9, 12, tzinfo=UTC)
COLUMNS = (
    Column(name="who", dtype="text", description=""),
    Column(name="note", dtype="text", description="", max_length=3, optional=True),
    Column(name="size", dtype="number", description="", minimum=0, maximum=10),
    Column(name="rate", dtype="number", description="", optional=True),
    Column(name="count", dtype="integer", description="", minimum=-5),
    Column(name="kind", dtype="category", description="", values=("a", "b")),
    Column(name="seen", dtype="category", description="", many=True, values=("a", "b")),
    Column(name="told", dtype="instant", description="", optional=True),
    Column(name="sure", dtype="boolean", description=""),
)
STREAM = replace(TOY.asked, columns=COLUMNS)
SCHEMA = stream_schema(STREAM)
CONTRACT = Contract(columns=COLUMNS, keys=frozenset({"who"}))
GOOD: dict[str, Any] = {
    "event_timestamp": AT, "accepted_at": AT, "who": "me", "note": "abc", "size": 10.0, "rate": 1.5,
    "count": -5, "kind": "a", "seen": ["a", "b", "a"], "told": AT, "sure": True, LOG_SEQ: None,
}
OTHER: list[tuple[str, Any]] = [
    ("who", ""), ("note", None), ("note", "l\n"), ("size", 0.0), ("rate", None),
    ("rate", math.nan), ("rate", -3.4e38), ("seen", []), ("told", None), ("sure", False),
    (LOG_SEQ, 7),
]
"""Values that a row may have instead."""
BAD: list[tuple[str, Any]] = [
    ("event_timestamp", None), ("event_timestamp", AT - timedelta(days=100_000)),
    ("accepted_at", AT + timedelta(days=100_000)), ("event_id", None), ("event_id", ""),
    ("event_id", "twice"), ("who", None), ("who", "a\nb"), ("who", "x" * 1001), ("note", "abcd"),
    ("size", None), ("size", math.nan), ("size", -0.1), ("size", math.inf), ("rate", 1e39),
    ("rate", -math.inf), ("count", None), ("count", -6), ("kind", "c"), ("kind", None),
    ("seen", None), ("seen", ["a", None]), ("seen", ["c"]), ("seen", ["a"] * 10_001),
    ("told", AT - timedelta(days=100_000)), ("sure", None),
]


def rows_of(kinds: list[tuple[str, Any] | None]) -> list[dict[str, Any]]:
    return [{**GOOD, "event_id": f"e{place}"} | ({} if kind is None else dict([kind]))
            for place, kind in enumerate([None, ("event_id", "twice"), *kinds])]


def judged(rows: list[dict[str, Any]]) -> bool:
    """As a table in two parts; and it must be what its rows are."""
    half = len(rows) // 2
    found = keeps(CONTRACT, [pa.Table.from_pylist(some, SCHEMA)
                             for some in (rows[:half], rows[half:])])
    assert found == (not CONTRACT.breaches(rows))
    return found


@pytest.mark.parametrize("bad", BAD, ids=lambda each: str(ascii(each))[:50])
def test_a_value_that_breaks_the_contract_is_found(bad: tuple[str, Any]) -> None:
    assert not judged(rows_of([None, bad, None]))


@budget(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([None, *OTHER]), max_size=8),
       st.lists(st.sampled_from(BAD), max_size=1))
def test_a_table_keeps_the_contract_if_all_of_its_rows_do(
    others: list[tuple[str, Any] | None], bad: list[tuple[str, Any]]
) -> None:
    assert judged(rows_of([*others, *bad, *others])) == (not bad)


def test_a_table_without_rows_keeps_it_and_one_without_a_column_does_not() -> None:
    empty = SCHEMA.empty_table()
    assert keeps(CONTRACT, []) and keeps(CONTRACT, [empty])
    assert not keeps(CONTRACT, [empty.drop_columns(["sure"])])
    assert not keeps(CONTRACT, [empty.append_column("more", pa.array([], pa.int64()))])
