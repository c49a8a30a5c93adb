"""The lake of a fraud system with any number of payments, drawn by the system's own simulator.

Written a day at a time in the very rows that the assets `events` and `labels` leave, but without
a check of each: `ml-assets run` takes payments in at some 5,000 a CPU second.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_assets.core.settings import Settings
from ml_assets.core.system import Calendar, System
from ml_assets.core.time import DAY
from ml_assets.features.training_sets.progress import BuildProgress
from ml_assets.ingest.lake import INSTANT, Lake
from ml_assets.ingest.sources.event_rows import EventRows
from ml_assets.ingest.tables import events_schema, labels_schema
from ml_assets.systems.fraud import COLUMNS, FRAUD, SPELLS
from ml_assets.systems.fraud.handbook import DAYS
from ml_assets.systems.fraud.rows import FIRST, SimulatedPayments

A_CUSTOMER = 355
"""Payments in all days, about."""
END = FIRST + timedelta(days=DAYS + 10)
"""All that is true of the payments is known by then."""


def system_of(rows: int) -> System:
    """Fraud with about so many payments, which are all history, and all trained on."""
    source = EventRows(
        rows=SimulatedPayments(customers=rows // A_CUSTOMER, spells=SPELLS), columns=COLUMNS,
        timestamp="happened", key="payment", label="is_fraud")
    return replace(
        FRAUD, calendar=Calendar(first_day=FIRST, go_live=END),
        streams=(replace(FRAUD.asked, source=source),), model=replace(FRAUD.model, history=None))


def settings_of(folder: Path) -> Settings:
    return Settings(var=folder / "var", cache=folder / "cache")


def write_lake(folder: Path, rows: int, progress: BuildProgress) -> int:
    """Leave events and labels; returns how many payments there are."""
    settings, system = settings_of(folder), system_of(rows)
    source = system.asked.source
    assert isinstance(source, EventRows)
    lake, count = Lake(settings.lake), 0
    waiting = _labels(pq.read_table(source.rows.fetch(settings.cache)).slice(0, 0), system)
    with pq.ParquetFile(source.rows.fetch(settings.cache)) as file:
        for number in range((END - FIRST).days):
            day = FIRST + number * DAY
            progress("days", number, (END - FIRST).days)
            if number < file.num_row_groups:
                payments = file.read_row_group(number)
                count += len(payments)
                lake.write(system.name, "events", day, _events(payments, system),
                           events_schema(system))
                waiting = pa.concat_tables([waiting, _labels(payments, system)])
            else:
                lake.write(system.name, "events", day, events_schema(system).empty_table(),
                           events_schema(system))
            known = pc.less(waiting["known_at"], pa.scalar(_midnight(day + DAY), INSTANT))
            lake.write(system.name, "labels", day, waiting.filter(known).sort_by(
                [("known_at", "ascending"), ("event_id", "ascending")]), labels_schema(system))
            waiting = waiting.filter(pc.invert(known))
    return count


def _events(payments: pa.Table, system: System) -> pa.Table:
    return pa.table({
        "event_id": payments["payment"], "event_timestamp": payments["happened"],
        "accepted_at": payments["happened"], "customer": payments["customer"],
        "terminal": payments["terminal"], "amount": payments["amount"],
        "log_seq": pa.nulls(len(payments), pa.int64()),
    }).cast(events_schema(system))


def _labels(payments: pa.Table, system: System) -> pa.Table:
    """A chargeback after seven days, and silence an hour later."""
    label = payments["is_fraud"].to_numpy()
    happened = payments["happened"].cast(pa.int64()).to_numpy()
    told, silent = (after // timedelta(microseconds=1)
                    for after in (timedelta(days=7), system.truth.maturity))
    delay = np.where(label, told, silent)
    known = pa.array(happened + delay).cast(INSTANT)
    said = pc.strftime(known.cast(pa.timestamp("s", "UTC")), format="%Y-%m-%dT%H:%M:%S+00:00")
    spoken = pa.array(np.where(label, "True", "False"), pa.string())
    return pa.table({
        "event_id": payments["payment"], "event_timestamp": payments["happened"],
        "known_at": known, "label": payments["is_fraud"],
        "basis": pa.repeat("archive", len(payments)),
        "label_id": pc.binary_join_element_wise(payments["payment"], said, spoken, " "),
        "customer": payments["customer"], "terminal": payments["terminal"],
        "log_seq": pa.nulls(len(payments), pa.int64()),
    }).cast(labels_schema(system))


def _midnight(day: date) -> int:
    return int(np.datetime64(day, "us").astype(np.int64))
