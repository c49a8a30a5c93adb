"""A contract blames rows for what they hold themselves, and nobody else."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.ingest.contracts import breaches
from ml_assets.ingest.tables import events_schema
from tests.toy import TOY

AT = datetime(2024, 1, 9, 12, tzinfo=UTC)
GOOD: dict[str, object] = {
    "event_timestamp": AT, "accepted_at": AT, "shop": "corner", "note": "", "amount": 1.0,
}
BAD: list[tuple[str, object]] = [
    ("event_timestamp", datetime(1, 1, 1, tzinfo=UTC)),
    ("event_timestamp", datetime(9999, 12, 31, 23, tzinfo=UTC)),
    ("event_timestamp", AT.replace(tzinfo=None)),
    ("event_timestamp", None),
    ("event_timestamp", "yesterday"),
    ("event_timestamp", date(2024, 1, 9)),
    ("accepted_at", pd.NaT),
    ("accepted_at", 3),
    ("event_id", None), ("event_id", ""), ("event_id", 3), ("event_id", "\ud800"),
    ("shop", None), ("shop", 3.5), ("shop", "a\0b"), ("shop", "x" * 1001), ("shop", ["a"]),
    ("note", "x" * 1001), ("note", "\udfff"), ("note", math.nan), ("note", b"bytes"),
    ("amount", None), ("amount", "3"), ("amount", math.nan), ("amount", math.inf),
    ("amount", -1.0), ("amount", 1e300), ("amount", 10**400), ("amount", {}),
]


def rows_of(kinds: list[tuple[str, object] | None]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for place, kind in enumerate(kinds):
        rows.append({**GOOD, "event_id": f"e{place}"} | ({} if kind is None else dict([kind])))
    return pd.DataFrame(rows, columns=events_schema(TOY).names, dtype=object)


@pytest.mark.parametrize("bad", BAD, ids=lambda each: str(ascii(each))[:50])
def test_a_value_that_breaks_a_whole_column_is_one_rows_fault(bad: tuple[str, object]) -> None:
    found = breaches(TOY, rows_of([None, None, bad, None]))
    assert list(found) == [2]
    assert bad[0] in found[2]


@budget(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([None, *BAD]), max_size=12))
def test_sound_rows_are_never_blamed_whatever_is_beside_them(
    kinds: list[tuple[str, object] | None]
) -> None:
    found = breaches(TOY, rows_of(kinds))
    assert sorted(found) == [place for place, kind in enumerate(kinds) if kind is not None]


def test_of_rows_with_one_id_the_first_counts() -> None:
    rows = rows_of([None, None, None])
    rows["event_id"] = ["a", "b", "a"]
    found = breaches(TOY, rows)
    assert list(found) == [2] and "'a' was there before" in found[2]


def test_a_missing_or_surplus_column_is_everybodys_fault() -> None:
    rows = rows_of([None, None])
    for changed in (rows.drop(columns="note"), rows.assign(more=1)):
        assert sorted(breaches(TOY, changed)) == [0, 1]
    assert breaches(TOY, rows.head(0)) == {}
