"""Raw records end in the partitions of their days, however they come."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from ml_assets.core.settings import Settings
from ml_assets.ingest import filing
from ml_assets.ingest.events import Raw, frame
from ml_assets.ingest.filing import Filing
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import raw_schema
from tests.toy import TOY

MIDNIGHT = datetime(2024, 1, 3, tzinfo=UTC)
DAYS = [date(2024, 1, number) for number in (2, 3, 4)]


def row(number: int, at: datetime) -> Raw:
    return f"e{number}", at, at, "{}", None, None, None, None


def filed(settings: Settings, rows: list[Raw]) -> tuple[Filing, pd.DataFrame]:
    lake = Lake(settings.lake)
    done = Filing(lake, "toy", "raw", raw_schema(TOY), DAYS)
    done.add(iter(rows))
    done.close()
    assert lake.days("toy", "raw") == DAYS
    return done, lake.read("toy", "raw", raw_schema(TOY))


def test_records_belong_to_the_day_on_which_they_were_received(settings: Settings) -> None:
    """The last microsecond of a day is that day's, midnight the next one's."""
    filed(settings, [row(0, MIDNIGHT - timedelta(microseconds=1)), row(1, MIDNIGHT)])
    lake, schema = Lake(settings.lake), raw_schema(TOY)
    read = [lake.read_days("toy", "raw", schema, [day])["event_id"].tolist()
            for day in DAYS]
    assert read == [["e0"], ["e1"], []]


def test_records_of_other_days_are_left_to_those_days(settings: Settings) -> None:
    done, read = filed(settings, [row(0, MIDNIGHT - timedelta(days=2)), row(1, MIDNIGHT)])
    assert (done.rows, read["event_id"].tolist()) == (1, ["e1"])


@settings_of(max_examples=25, deadline=None,
             suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hours=st.lists(st.integers(-24, 47), max_size=30), portion=st.integers(1, 8))
def test_portions_of_any_size_and_records_in_any_order_give_the_same_days(
    settings: Settings, hours: list[int], portion: int
) -> None:
    """The law: as if all records had been held, sorted by day and written once."""
    rows = [row(number, MIDNIGHT + timedelta(hours=hour)) for number, hour in enumerate(hours)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filing, "PORTION", portion)
        patch.setattr(filing, "LARGEST_PORTION", 2 * portion)
        done, read = filed(settings, rows)
    expected = sorted(rows, key=lambda each: str(each[2])[:10])
    assert read["event_id"].tolist() == frame(expected)["event_id"].tolist()
    assert (done.rows, done.bytes, len(done.first)) == (len(rows), 2 * len(rows), min(5, len(rows)))
