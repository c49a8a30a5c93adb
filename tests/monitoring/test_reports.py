"""Reports by day: whole, typed, and read back as they were."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import ContractViolation
from ml_assets.monitoring.reports import DailyReports, decode, encode


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    value: float
    since: date | None


@dataclass(frozen=True, kw_only=True)
class Note:
    day: date
    at: datetime
    good: bool
    count: int | None
    parts: tuple[Part, ...]


notes = st.builds(
    Note,
    day=st.dates(),
    at=st.datetimes(timezones=st.just(UTC)),
    good=st.booleans(),
    count=st.none() | st.integers(),
    parts=st.lists(
        st.builds(Part, name=st.text(), value=st.floats(allow_nan=False, allow_infinity=False),
                  since=st.none() | st.dates())
    ).map(tuple),
)


@given(notes)
def test_decoding_undoes_encoding(note: Note) -> None:
    assert decode(Note, encode(note)) == note


def test_a_value_that_is_not_a_number_survives(tmp_path: Path) -> None:
    note = Note(day=date(2024, 1, 8), at=datetime(2024, 1, 8, tzinfo=UTC), good=True, count=None,
                parts=(Part(name="x", value=math.nan, since=None),))
    reports = DailyReports(tmp_path, Note)
    reports.write(note)
    back = reports.latest()
    assert back is not None
    assert math.isnan(back.parts[0].value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"day": "2024-01-08"}', '{"day": 3}'])
def test_a_damaged_report_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "2024-01-08.json").write_text(content)
    with pytest.raises(ContractViolation, match=r"2024-01-08\.json is no Note"):
        DailyReports(tmp_path, Note).read(date(2024, 1, 8))
