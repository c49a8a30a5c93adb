"""A made-up past for any system, written to the lake as the ingest room would."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow as pa

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, day_bounds, midnight
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import events_schema, labels_schema


def first_days(system: System, count: int) -> list[date]:
    return [system.calendar.first_day + timedelta(days=n) for n in range(count)]


def record(
    settings: Settings, system: System, days: Sequence[date], *, per_day: int = 12, seed: int = 1
) -> None:
    """Events and labels of `days`: few entities, some unknown; a third True, two days late."""
    draw = random.Random(seed)
    numbered = {key for key in system.keys
                if pa.types.is_integer(events_schema(system).field(key).type)}
    lake = Lake(settings.lake)
    labels: list[tuple[object, ...]] = []
    for day in days:
        rows = []
        for number in range(per_day):
            at = midnight(day) + draw.random() * DAY
            row: dict[str, object] = {
                "event_id": f"{day}-{number}", "event_timestamp": at, "accepted_at": at
            }
            for column in system.columns:
                if column.dtype == "number":
                    row[column.name] = column.minimum or 0.0
                else:
                    row[column.name] = f"{column.name} {number}"
            for key in system.keys:
                row[key] = draw.randrange(5) if key in numbered else draw.choice(
                    ["", *(f"{key}-{n}" for n in range(5))])
            rows.append(row)
            labels.append((row["event_id"], at, at + 2 * DAY, draw.random() < 0.3, "archive",
                           f"label of {row['event_id']}", *(row[key] for key in system.keys), None))
        schema = events_schema(system)
        lake.write(system.name, "events", day, pd.DataFrame(rows, columns=schema.names), schema)
    for day in days:
        start, end = day_bounds(day)
        known = [row for row in labels if isinstance(row[2], datetime) and start <= row[2] < end]
        table = pd.DataFrame(known, columns=labels_schema(system).names)
        lake.write(system.name, "labels", day, table, labels_schema(system))
