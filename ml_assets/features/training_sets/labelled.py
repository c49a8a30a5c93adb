"""Events whose labels are known, of which a training set is made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.core.slates import OF_ROWS
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EARLIEST
from ml_assets.features.training_sets.shown import shown
from ml_assets.ingest.identity import of_events, of_labels
from ml_assets.ingest.labels import latest_labels
from ml_assets.ingest.lake import INSTANT, Lake, frame_of
from ml_assets.ingest.tables import events_schema, known_schema


def labelled_events(
    lake: Lake, system: System, as_of: datetime, *, share: float = 1.0
) -> tuple[pd.DataFrame, int]:
    """(events with their labels and split, labels without an event), known before `as_of`.

    Events in the order of time: event_id, event_timestamp, accepted_at, label, known_at, split
    and the columns that the system declares.
    share: of all events, those that are `drawn`
    """
    history = system.model.history
    since = None if history is None else max(as_of - history, EARLIEST)
    labels = _read_drawn(lake, system, "labels", known_schema(system), since, as_of, share)
    # Two words of the same instant: the order of files must not decide.
    labels = labels.sort_values(["known_at", "event_id", "label"], kind="stable")
    labels = latest_labels(labels, as_of)
    labels = labels[["label", "known_at"]].assign(same=of_labels(labels))
    events = _read_drawn(lake, system, "events", events_schema(system), since, as_of, share)
    # An event that arrives later must not change what is rebuilt.
    events = events[events["accepted_at"] < as_of]
    events = events.assign(same=of_events(events, system.calendar.live_from))
    rows = events.drop_duplicates("same").merge(labels, on="same")
    lacking = len(labels) - len(rows)
    # Complaints arrive before silence speaks: of the latest events only the mistakes would
    # be known. So an event counts once its whole maturity window has passed.
    rows = rows[rows["event_timestamp"] + system.truth.maturity <= as_of]
    rows = rows.sort_values(["event_timestamp", "event_id"], ignore_index=True)
    first_held_out = rows["event_timestamp"].max() - system.model.holdout
    split = (rows["event_timestamp"] > first_held_out).map({False: "train", True: "holdout"})
    columns = [column.name for column in system.columns]
    rows = rows.assign(split=split.astype(object))
    if system.target.slates is not None:
        rows, columns = shown(lake, system, rows), [*columns, *OF_ROWS]
    return (
        rows[["event_id", "event_timestamp", "accepted_at", "label", "known_at", "split",
              *columns]],
        lacking,
    )


def _read_drawn(
    lake: Lake, system: System, table: str, schema: pa.Schema, since: datetime | None,
    until: datetime, share: float,
) -> pd.DataFrame:
    """What a table has, up to the day of `until`, of (a share of) the events since an instant.

    Day by day: what is left out is never in memory.
    """
    days = [day for day in lake.days(system.name, table)
            if day <= until.date() and (since is None or day >= (since - DAY).date())]
    parts = [schema.empty_table()]
    for day in days:
        rows = lake.read_table(system.name, table, schema, start=day, end=day + DAY)
        if share < 1:
            rows = rows.filter(
                    pa.array(drawn(rows["event_id"].to_pylist(), share), pa.bool_()))
        if since is not None:
            rows = rows.filter(pc.greater_equal(
                rows["event_timestamp"], pa.scalar(since, INSTANT)))
        parts.append(rows)
    return frame_of(pa.concat_tables(parts))


def drawn(event_ids: Iterable[str], share: float) -> list[bool]:
    """Which events are among a share of all: that depends on their ids alone."""
    return [lot(each) < share * 2**64 for each in event_ids]


def lot(event_id: str) -> int:
    """A number in [0, 2**64) that depends on the id alone."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest())
