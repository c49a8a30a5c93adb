"""A contract blames rows for what they hold themselves, and nobody else."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.ingest.contracts.rows import Contract
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


CONTRACT = Contract.of(TOY, TOY.asked)


def rows_of(kinds: list[tuple[str, object] | None]) -> list[dict[str, object]]:
    return [{**GOOD, "event_id": f"e{place}", "log_seq": None}
            | ({} if kind is None else dict([kind])) for place, kind in enumerate(kinds)]


@pytest.mark.parametrize("bad", BAD, ids=lambda each: str(ascii(each))[:50])
def test_a_value_that_breaks_the_contract_is_one_rows_fault(bad: tuple[str, object]) -> None:
    found = CONTRACT.breaches(rows_of([None, None, bad, None]))
    assert list(found) == [2]
    assert bad[0] in found[2]


@budget(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([None, *BAD]), max_size=12))
def test_sound_rows_are_never_blamed_whatever_is_beside_them(
    kinds: list[tuple[str, object] | None]
) -> None:
    found = CONTRACT.breaches(rows_of(kinds))
    assert sorted(found) == [place for place, kind in enumerate(kinds) if kind is not None]


def test_of_rows_with_one_id_the_first_counts() -> None:
    rows = rows_of([None, None, None])
    for row, event_id in zip(rows, "aba", strict=True):
        row["event_id"] = event_id
    found = CONTRACT.breaches(rows)
    assert list(found) == [2] and "'a' was there before" in found[2]


def test_a_missing_or_surplus_column_is_everybodys_fault() -> None:
    lacking, surplus = rows_of([None, None]), rows_of([None, None])
    for row in lacking:
        del row["note"]
    for row in surplus:
        row["more"] = 1
    for changed in (lacking, surplus):
        assert sorted(CONTRACT.breaches(changed)) == [0, 1]
    assert CONTRACT.breaches([]) == {}
