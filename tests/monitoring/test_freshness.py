"""Laws of data that should arrive: on time, as many as usual, usable."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.ingest.lake import Lake
from ml_assets.monitoring.freshness import data_faults, stale_since, usual
from tests.toy import TOY, with_stream

SCHEMA = pa.schema([("n", pa.int64())])
FIRST = date(2024, 3, 4)
FRESH = with_stream(TOY, fresh_within=timedelta(hours=6))


def stored(
    settings: Settings, rows: list[int], table: str = "events", system: System = TOY
) -> datetime:
    """A day for each count; the end of the last one."""
    lake = Lake(settings.lake)
    for number, count in enumerate(rows):
        lake.write(system.name, table, FIRST + number * DAY,
                   pd.DataFrame({"n": np.arange(count)}), SCHEMA)
    return midnight(FIRST + len(rows) * DAY)


def test_a_day_that_is_late_is_a_fault_from_when_it_was_due(settings: Settings) -> None:
    end = stored(settings, [100] * 3)
    due = end + timedelta(hours=6)
    assert data_faults(FRESH, settings, due) == []
    (fault,) = data_faults(FRESH, settings, due + timedelta(days=1, minutes=1))
    assert (fault.table, fault.since) == ("events", due)
    assert "nothing newer than 2024-03-06" in fault.says
    assert data_faults(TOY, settings, due + timedelta(days=30)) == []
    assert stale_since([], timedelta(0), due) is None


@pytest.mark.parametrize(("last", "word"), [(0, "fewer"), (20, "fewer"), (400, "more")])
def test_a_day_of_far_fewer_or_more_rows_is_a_fault(
    settings: Settings, last: int, word: str
) -> None:
    end = stored(settings, [100, 110, 95, 105, 90, 100, 108, 97, last])
    (fault,) = data_faults(TOY, settings, end)
    assert f"{last} rows on 2024-03-12, far {word} than usual" in fault.says


def test_usual_days_are_none_however_they_scatter(settings: Settings) -> None:
    random, faults = np.random.default_rng(1), 0
    for _ in range(300):
        counts = random.poisson(50, 29).tolist()
        low_high = usual(counts[:-1])
        assert low_high is not None
        faults += not low_high[0] <= counts[-1] <= low_high[1]
    assert faults <= 1
    assert usual([5] * 6) is None


def test_weekends_are_compared_with_weekends() -> None:
    weeks = [1_000] * 5 + [10] * 2
    weekend = usual(weeks * 4 + [1_000] * 5)
    assert weekend is not None and weekend[1] < 1_000 and weekend[0] <= 10 <= weekend[1]
    weekday = usual(weeks * 4)
    assert weekday is not None and weekday[0] > 10


def test_many_unusable_records_are_a_fault_and_few_are_none(settings: Settings) -> None:
    end = stored(settings, [100])
    stored(settings, [9], "quarantine")
    assert data_faults(TOY, settings, end) == []
    stored(settings, [20], "quarantine")
    (fault,) = data_faults(TOY, settings, end)
    assert "20 of 120 records of 2024-03-04 are unusable" in fault.says


def test_nobody_waits_for_a_negative_time() -> None:
    with pytest.raises(DeclarationError, match="fresh_within"):
        replace(TOY.asked, fresh_within=-timedelta(hours=1))
