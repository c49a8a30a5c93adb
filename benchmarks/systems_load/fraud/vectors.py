"""The handbook's payments with the system's features: taken in and joined as the product does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.core.system import Calendar, System
from ml_assets.core.time import DAY
from ml_assets.ingest.sources.event_rows import EventRows
from ml_assets.systems.fraud import COLUMNS, FRAUD
from ml_assets.systems.fraud.rows import FIRST, HandbookPayments

if TYPE_CHECKING:
    from benchmarks.systems_load.fraud.protocol import Size

JOINED, END = date(2018, 4, 21), date(2018, 9, 5)
"""The days whose payments get their features: 60 before the first validation week ends."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors:
    """Of N payments: `dense` (N, D) as the declared model reads it, with the D `names`."""

    happened: npt.NDArray[np.datetime64]
    customer: npt.NDArray[np.int64]
    is_fraud: npt.NDArray[np.bool_]
    dense: npt.NDArray[np.float32]
    names: tuple[str, ...]

    @property
    def days(self) -> npt.NDArray[np.datetime64]:
        return self.happened.astype("M8[D]")

    def columns(self, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """Some of them, missing ones 0."""
        return np.nan_to_num(self.dense[:, [self.names.index(name) for name in names]])


def vectors(size: Size, folder: str) -> Vectors:
    """In an installation of its own in `folder`."""
    from ml_assets.features.offline import OfflineFeatures
    from ml_assets.ingest.daily import store_events, store_labels, store_raw
    from ml_assets.ingest.lake import Lake
    from ml_assets.ingest.tables import events_schema

    settings = Settings(var=Path(folder) / "var", cache=Path(folder) / "cache")
    rows = HandbookPayments(customers=size.customers, terminals=size.terminals)
    system = _system(rows)
    days = list(_days(FIRST, END))
    store_raw(system, settings, days)
    store_events(system, settings, days)
    store_labels(system, settings, days)
    features, lake = OfflineFeatures(settings, system), Lake(settings.lake)
    parts: list[tuple[Any, ...]] = []
    for day in _days(JOINED, END):
        events = lake.read(system.name, "events", events_schema(system), start=day, end=day + DAY)
        values = features.read(events, events["event_timestamp"],
                               accepted_at=events["accepted_at"])
        happened = events["event_timestamp"].dt.tz_localize(None).to_numpy("M8[us]")
        own = events[list(system.model.numbers)].to_numpy(np.float32)
        parts.append((happened, events["customer"].to_numpy(np.int64),
                      events["event_id"].to_numpy(np.int64), np.hstack([own, values])))
    happened, customer, numbers, dense = map(np.concatenate, zip(*parts, strict=True))
    return Vectors(happened=happened, customer=customer, dense=dense,
                   is_fraud=_frauds(rows, settings.cache)[numbers],
                   names=(*system.model.numbers, *features.names))


def _system(rows: HandbookPayments) -> System:
    """The declared one, with all of the handbook as its history."""
    source = EventRows(rows=rows, columns=COLUMNS, timestamp="happened", key="payment",
                       label="is_fraud")
    return replace(
        FRAUD, calendar=Calendar(first_day=FIRST, go_live=END + timedelta(days=60)),
        streams=(replace(FRAUD.asked, source=source),))


def _frauds(rows: HandbookPayments, cache: Path) -> npt.NDArray[np.bool_]:
    """By the number that is a payment's id."""
    found: list[npt.NDArray[np.bool_]] = [
        batch["is_fraud"].to_numpy(zero_copy_only=False)
        for batch in rows.batches(rows.fetch(cache))]
    return np.concatenate(found)


def _days(first: date, end: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((end - first).days))
