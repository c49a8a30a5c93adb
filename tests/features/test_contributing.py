"""The rows behind features: those inside the window, of the entity, that had arrived."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from ml_assets.core.settings import Settings
from ml_assets.features.contributing import (
    Look,
    Stretch,
    contributing_rows,
    counting_views,
    stretches_at,
)
from ml_assets.ingest.kept import store_table
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import events_schema, known_schema, labels_schema, stream_schema
from tests.toy import SHOPS, TOY, VISITS

LABELS = known_schema(TOY)

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
LOOKS = [
    Look(view="sales", system=TOY, table="events", keys=("shop",),
         span=lambda at: (at - 2 * DAY, at)),
    Look(view="returns", system=TOY, table="labels", keys=("shop",),
         span=lambda at: (at - DAY, at)),
]


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """Shop `corner` sells at the start of each of four days; its labels come a day later."""
    lake = Lake(settings.lake)
    schema = events_schema(TOY)
    for n in range(4):
        at = START + n * DAY
        rows = pd.DataFrame(
            [{"event_id": f"{shop}{n}", "event_timestamp": at, "accepted_at": at, "shop": shop,
              "note": "", "amount": 1.0, "log_seq": None} for shop in ("corner", "other")]
        )
        lake.write("toy", "events", at.date(), rows, schema)
        known = [(f"corner{n - 1}", at - DAY, at, n == 2, "feedback", f"l{n}", "corner",
                  None)]
        lake.write("toy", "labels", at.date(), pd.DataFrame(
            known if n else [], columns=labels_schema(TOY).names), labels_schema(TOY))
    return lake


def at(instant: datetime, shop: str = "corner") -> list[Stretch]:
    return stretches_at(LOOKS, {"shop": shop, "note": "?"}, instant, known_by=instant)


def test_a_window_is_half_open_and_of_one_entity(lake: Lake) -> None:
    rows = contributing_rows(lake, at(START + 3 * DAY))
    assert [(row.view, row.event_id) for row in rows] == [
        ("returns", "corner1"), ("sales", "corner1"), ("sales", "corner2"),
    ]
    assert (rows[0].known_at, rows[0].label) == (START + 2 * DAY, True)
    assert (rows[1].known_at, rows[1].label) == (None, None)
    assert rows[0].key == {"shop": "corner"}


def test_what_had_not_arrived_does_not_count(lake: Lake) -> None:
    """An event of day 1 that the system received on day 3 made no feature of day 2."""
    late = pd.DataFrame([{"event_id": "late", "event_timestamp": START + DAY / 2, "shop": "corner",
                          "accepted_at": START + 3 * DAY, "note": "", "amount": 1.0,
                          "log_seq": None}])
    lake.write("toy", "events", date(2024, 1, 5), late, events_schema(TOY))
    assert "late" not in {row.event_id for row in contributing_rows(lake, at(START + DAY))}


def test_the_rows_of_every_stream_are_found(lake: Lake) -> None:
    """A visit counts for views of visits alone, from when the system had it."""
    rows: list[dict[str, Any]] = [
        {"event_id": f"v{n}", "event_timestamp": START + n * DAY, "seen": [],
         "accepted_at": START + n * DAY, "shop": "corner"} for n in range(3)]
    for row in rows:
        lake.write("toy", "visits", row["accepted_at"].date(),
                   pa.Table.from_pylist([row], schema=stream_schema(VISITS)),
                   stream_schema(VISITS))
    looks = [*LOOKS, Look(view="looks", system=TOY, table="visits", keys=("shop",),
                          span=lambda at: (at - 2 * DAY, at))]
    stretches = stretches_at(looks, {"shop": "corner"}, START + 2 * DAY, known_by=START + 2 * DAY)
    found = contributing_rows(lake, stretches)
    assert [(row.table, row.event_id) for row in found if row.view == "looks"] == [
        ("visits", "v0"), ("visits", "v1")]
    assert counting_views(stretches, rows[1], happened=rows[1]["event_timestamp"], known_at=[],
                          received=rows[1]["accepted_at"], table="visits") == ["looks"]


def test_of_a_table_the_row_that_held_is_found(lake: Lake, settings: Settings) -> None:
    """The latest of those that were known."""
    days = [TOY.calendar.first_day + n * DAY for n in range(7)]
    store_table(TOY, settings, SHOPS, days)
    look = Look(view="shops", system=TOY, table="shops", keys=("shop",), latest=True,
                span=lambda at: (START - 999 * DAY, at + DAY / 86_400_000_000))
    for hours, origin, known_at in ((0, "row:1", datetime(2023, 5, 2, tzinfo=UTC)),
                                    (80, "row:1", datetime(2023, 5, 2, tzinfo=UTC)),
                                    (100, "row:2", datetime(2024, 1, 4, 12, tzinfo=UTC))):
        at = START + timedelta(hours=hours)
        [row] = contributing_rows(lake, stretches_at(
            [look], {"shop": "corner"}, at, known_by=at))
        assert (row.event_id, row.known_at, row.label) == (origin, known_at, None)


def test_an_entity_without_a_name_has_no_history(lake: Lake) -> None:
    assert at(START + 3 * DAY, shop="") == []
    assert contributing_rows(lake, []) == []


def test_an_empty_lake_has_no_rows(settings: Settings) -> None:
    assert contributing_rows(Lake(settings.lake), at(START + DAY)) == []


def test_the_reverse_finds_the_views_that_list_a_row(lake: Lake) -> None:
    """The law: a row is listed for a view if and only if the view counts it."""
    for hours in range(0, 120, 12):
        stretches = at(START + timedelta(hours=hours))
        listed = contributing_rows(lake, stretches)
        for n in range(4):
            happened = START + n * DAY
            found = counting_views(
                stretches, {"shop": "corner"}, happened=happened, received=happened,
                known_at=[happened + DAY] if n < 3 else [],
            )
            assert set(found) == {row.view for row in listed if row.event_id == f"corner{n}"}
