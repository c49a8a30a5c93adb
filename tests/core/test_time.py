"""Laws of clocks and files."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import replacing, write_atomically
from ml_assets.core.time import (
    EARLIEST,
    LATEST,
    EventClock,
    WallClock,
    day_bounds,
    declared_instant,
    utc,
)
from ml_assets.ingest.log.served import from_us, to_us

AT = datetime(2002, 8, 22, 12, tzinfo=UTC)


def test_an_event_clock_stands_still_until_it_is_started(tmp_path: Path) -> None:
    """A replay moves it; afterwards it runs at the wall's pace."""
    clock = EventClock(tmp_path / "clock.json")
    clock.set(AT)
    assert clock.now() == AT
    clock.start()
    assert AT <= clock.now() < AT + timedelta(minutes=1)


def test_two_readers_of_one_event_clock_agree(tmp_path: Path) -> None:
    """The server and the replay are different processes."""
    EventClock(tmp_path / "clock.json").set(AT)
    assert EventClock(tmp_path / "clock.json").now() == AT


def test_a_system_without_a_replay_reads_the_wall_clock(settings: Settings) -> None:
    """And one with a replay reads its replay's, which moves no other system's."""
    assert isinstance(settings.clock_of("toy"), WallClock)
    EventClock(settings.clock_file("toy")).set(AT)
    assert settings.clock_of("toy").now() == AT
    assert isinstance(settings.clock_of("meter"), WallClock)


def test_days_are_half_open() -> None:
    """Midnight belongs to the day that it begins."""
    start, end = day_bounds(date(2002, 8, 22))
    assert (start.isoformat(), end - start) == ("2002-08-22T00:00:00+00:00", timedelta(days=1))


def test_an_instant_without_a_zone_is_refused() -> None:
    """A naive instant would be read differently on two machines."""
    with pytest.raises(InvalidRequest, match="no time zone"):
        utc(datetime(2002, 8, 22))  # noqa: DTZ001  (that is the point)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """An error while writing leaves the old content and no litter."""
    path = tmp_path / "config.json"
    write_atomically(path, b"old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("instant", [
    AT.replace(tzinfo=None), datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))),
    datetime(1899, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2200, 1, 1, tzinfo=UTC),
    pd.NaT, pd.Timestamp(1, unit="s"), None, "2024-01-09T00:00:00Z", 0, date(2024, 1, 9),
])
def test_an_instant_that_something_could_not_hold_is_refused(instant: object) -> None:
    with pytest.raises(InvalidRequest):
        declared_instant(instant)


@given(st.timedeltas(timedelta(0), LATEST - EARLIEST - timedelta(microseconds=1)),
       st.integers(-14 * 60, 14 * 60))
def test_everything_can_hold_a_declared_instant(since: timedelta, east: int) -> None:
    """pandas in nanoseconds, Arrow in microseconds, SQLite as a number, JSON as a text."""
    zone = timezone(timedelta(minutes=east))
    at = declared_instant((EARLIEST + since).astimezone(zone))
    assert at.tzinfo is UTC and type(at) is datetime
    assert pd.Timestamp(at).as_unit("ns").to_pydatetime() == at
    assert pa.scalar(at, pa.timestamp("us", tz="UTC")).as_py() == at
    assert from_us(to_us(at)) == at == datetime.fromisoformat(at.isoformat())
    assert declared_instant(pd.Timestamp(at)) == at
