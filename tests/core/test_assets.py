"""What all assets have in common: legible metadata, and days that end by the right clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.assets import check_result, daily, legible, preview, rows, table
from ml_assets.core.settings import Settings
from ml_assets.core.time import EventClock
from tests.toy import TOY


@pytest.mark.parametrize(("value", "seen"), [
    (0.0179139475456013, 0.0179), (0.00012345678, 0.000123), (97.123456789, 97.1235), (0.0, 0.0),
    (-0.0179139475456013, -0.0179), (123456.789012, 123456.789), (3, 3), ("0.123456", "0.123456"),
    (True, True), (None, None), (np.float64(0.123456), 0.1235),
    ({"a": [0.123456, {"b": 1.999999}]}, {"a": [0.1235, {"b": 2.0}]}),
])
def test_a_number_is_shown_as_a_person_reads_it(value: Any, seen: Any) -> None:
    assert legible(value) == seen
    assert rows(3, value=value) == {"dagster/row_count": 3, "value": seen}


@given(st.floats(-1e9, 1e9))
def test_a_shown_number_is_short_and_near(value: float) -> None:
    seen = legible(value)
    assert legible(seen) == seen
    assert seen == value or abs(seen - value) <= max(0.0001, abs(value) * 0.005)
    assert len(repr(abs(seen)).partition(".")[2].partition("e")[0]) <= 5 or abs(seen) < 0.01


def test_checks_and_previews_show_the_same_numbers() -> None:
    result = check_result(True, "x", {"value": 0.123456})
    assert result.metadata["value"] == dg.FloatMetadataValue(0.1235)
    shown = preview(pd.DataFrame({"a": [0.123456], "b": ["x\ny" * 50]}))
    assert isinstance(shown, dg.TableMetadataValue)
    assert shown.records[0].data == {"a": "0.1235", "b": ("x y" * 50)[:80]}


def test_an_empty_table_says_none() -> None:
    assert table([]) == dg.MetadataValue.text("none")


@pytest.fixture
def clock(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> EventClock:
    monkeypatch.setenv("ML_ASSETS_VAR", str(tmp_path / "var"))
    settings = Settings.from_environment()
    settings.var.mkdir()
    return EventClock(settings.clock_file(TOY.name))


def last_key() -> str:
    return daily(TOY).get_partition_keys()[-1]


def test_days_of_a_replayed_past_go_on_only_so_far_as_its_clock_has_come(
    clock: EventClock,
) -> None:
    assert last_key() == "2024-03-01", "no replay: the calendar's last day"
    clock.set(datetime(2024, 1, 20, 12, tzinfo=UTC))
    assert last_key() == "2024-03-01", "a replay is under way: pages show each day as it comes"
    clock.start()
    assert last_key() == "2024-01-19", "the day that has not ended is none yet"
    days = daily(TOY)
    assert days.has_partition_key("2024-01-19") and not days.has_partition_key("2024-01-20")
    clock.set(datetime(2024, 1, 22, tzinfo=UTC))
    clock.start()
    assert days.has_partition_key("2024-01-21"), "a process that goes on sees the days end"
    clock.set(datetime(2023, 12, 1, tzinfo=UTC))
    clock.start()
    assert daily(TOY).get_partition_keys() == ["2024-01-01"]


def test_what_the_ui_is_told_ends_there_too(clock: EventClock) -> None:
    clock.set(datetime(2024, 1, 20, tzinfo=UTC))
    clock.start()
    from dagster._core.definitions.partitions.snap import PartitionsSnap

    told = PartitionsSnap.from_def(daily(TOY)).get_partitions_definition()
    assert told.get_partition_keys()[-1] == "2024-01-19"
    assert len(told.get_partition_keys()) == 19


def test_a_damaged_clock_hides_no_day(clock: EventClock) -> None:
    clock.set(datetime(2024, 1, 20, tzinfo=UTC))
    clock.path.write_text("")
    assert last_key() == "2024-03-01"
