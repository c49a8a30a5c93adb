"""What an explanation lists does not depend on how much of the log the lake has by now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml_assets.core.settings import Settings
from ml_assets.features.contributing import Look, contributing_rows, stretches_at
from ml_assets.ingest.labels import label_id
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.served import Prediction, prediction_id, to_us
from ml_assets.ingest.log.told import ToldEvent
from ml_assets.ingest.tables import tables_of
from tests.toy import TOY

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY, DAYS = timedelta(days=1), 4
TABLES = ("events", "visits", "labels")
RAW = {"events": "raw", "visits": "raw_visits"}
LOOKS = [Look(view=f"of_{table}", system=TOY, table=table, keys=("shop",),
              span=lambda at: (at - 9 * DAY, at)) for table in TABLES]


def event_of(shop: str, **more: Any) -> dict[str, Any]:
    return {"shop": shop, "note": "n", "amount": 1.0, **more}


def happened() -> Iterator[tuple[str, str, datetime, dict[str, Any]]]:
    """Three times a day a sale and a visit in each of two shops; the noon sale's label at once."""
    for n in range(3 * DAYS):
        at = START + n * DAY / 3
        for shop in ("corner", "other"):
            yield "events", f"{shop}{n}", at, event_of(shop)
            yield "visits", f"{shop}{n}", at, {"shop": shop, "page": "p", "seconds": 1.0,
                                               "seen": [1]}
            if n % 3 == 1:
                known_at = at + timedelta(seconds=1)
                yield "labels", f"{shop}{n}", at, {
                    "shop": shop, "known_at": to_us(known_at), "label": True,
                    "label_id": label_id(f"{shop}{n}", known_at, True)}


@pytest.fixture
def log(settings: Settings) -> Iterator[EventLog]:
    with closing(EventLog(settings.event_log)) as log:
        for table, event_id, at, event in happened():
            if table == "events":
                log.append([Prediction(
                    prediction_id=prediction_id("toy", event_id), system="toy", event_id=event_id,
                    event_timestamp=at, accepted_at=at, request=json.dumps(event),
                    features_as_of=at, features=np.zeros(1, np.float32), feature_names=("amount",),
                    model_version=1, score=0.5, decision=True)])
                continue
            name, known = (event["label_id"], at + timedelta(seconds=1)) if table == "labels" else (
                event_id, at)
            log.told.append([ToldEvent(
                system="toy", stream=table, event_id=name, event_timestamp=known,
                accepted_at=known, request=json.dumps(event))])
        yield log


def file(lake: Lake, until: datetime) -> None:
    """As the daily assets do: whole days, and of the last one what there is of it."""
    for day in range(DAYS):
        since, end = START + day * DAY, min(START + (day + 1) * DAY, until)
        if since >= until:
            return
        for table in TABLES:
            found = [
                {**event, "event_id": name, "event_timestamp": at, "accepted_at": at,
                 "known_at": at + timedelta(seconds=1)}
                for of, name, at, event in happened() if of == table and since <= at < end]
            for written in {table, RAW.get(table, table)}:
                schema = tables_of(TOY)[written]
                lake.write("toy", written, since.date(), pa.Table.from_pylist(
                    [{name: row.get(name) for name in schema.names} for row in found],
                    schema=schema), schema)


@pytest.mark.parametrize("filed", [timedelta(0), DAY / 2, DAY, 1.5 * DAY, 3 * DAY, 4 * DAY])
@pytest.mark.parametrize("hours", [10, 24, 60, 97])
def test_the_rows_behind_a_prediction_are_the_same_before_and_after_they_are_filed(
    filed: timedelta, hours: int, settings: Settings, log: EventLog
) -> None:
    lake, as_of = Lake(settings.lake), START + timedelta(hours=hours)
    file(lake, START + filed)
    found = contributing_rows(
        lake, stretches_at(LOOKS, {"shop": "corner"}, as_of, known_by=as_of), log)
    expected = [(table, name) for table, name, at, _ in happened() if name.startswith("corner")
                and at + timedelta(seconds=table == "labels") < as_of]
    assert sorted((row.table, row.event_id) for row in found) == sorted(expected)
    assert {row.label for row in found if row.table == "labels"} <= {True}


def test_what_was_set_aside_as_it_was_filed_stays_aside(settings: Settings, log: EventLog) -> None:
    """It is in the lake's raw table and no event; the log knows nothing of that."""
    lake = Lake(settings.lake)
    file(lake, START + DAYS * DAY)
    last = START + (DAYS - 1) * DAY
    kept = lake.read_table("toy", "events", tables_of(TOY)["events"]).to_pylist()
    kept = [row for row in kept if row["event_timestamp"] >= last][:-2]
    lake.write("toy", "events", last.date(),
               pd.DataFrame(kept, columns=tables_of(TOY)["events"].names),
               tables_of(TOY)["events"])
    as_of = last + DAY
    found = contributing_rows(
        lake, stretches_at(LOOKS[:1], {"shop": "corner"}, as_of, known_by=as_of), log)
    assert len(found) == 3 * DAYS - 1
