"""Training sets as they were built before: all rows together, in pandas.

A peer of the benchmark, and what the tests compare with bit by bit.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_assets.core.settings import Settings
from ml_assets.core.slates import OF_ROWS
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EARLIEST
from ml_assets.features.manifest import load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.training_sets import GROUP
from ml_assets.features.training_sets.labelled import drawn
from ml_assets.features.training_sets.shown import shown
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.features.training_sets.vectors import vectors_of
from ml_assets.ingest.identity import of_events, of_labels
from ml_assets.ingest.labels import latest_labels
from ml_assets.ingest.lake import INSTANT, Lake, frame_of
from ml_assets.ingest.tables import events_schema, known_schema


def assemble(
    settings: Settings, system: System, as_of: datetime, *, share: float = 1.0
) -> tuple[pd.DataFrame, str, int]:
    """(rows, version, labels without an event)"""
    service = load_manifest(settings).service(system)
    rows, lacking = _labelled_events(Lake(settings.lake), system, as_of, share=share)
    features = OfflineFeatures(settings, system)
    values = features.read(rows, rows["event_timestamp"], accepted_at=rows["accepted_at"])
    remembered = pd.DataFrame(values, columns=list(features.names), index=rows.index)
    rows = pd.concat([rows, remembered, *vectors_of(system.model, rows)], axis=1)
    about: dict[str, Any] = {
        "feature_names": [*system.model.numbers, *service.features],
        "texts": list(system.model.texts),
        "feature_service": service.name,
        "definitions": service.definitions,
    }
    if service.coded:
        about["coded"] = sorted(service.coded)
    return rows, _address(rows, about), lacking


def build(settings: Settings, system: System, as_of: datetime) -> str:
    """Store it; returns its version."""
    sets = TrainingSets(settings, system)
    rows, version, _ = assemble(settings, system, as_of)
    features = load_manifest(settings).service(system).features
    sets.folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.Table.from_pandas(rows, sets._schema(features), preserve_index=False),
        sets.folder / f"{version}.in-memory.parquet", compression="zstd", row_group_size=GROUP)
    return version


def _labelled_events(
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


def _address(rows: pd.DataFrame, about: dict[str, Any]) -> str:
    meaning = json.dumps([list(rows.columns), about], sort_keys=True).encode()
    return hashlib.sha256(meaning + _digest(rows)).hexdigest()[:16]


def _digest(rows: pd.DataFrame) -> bytes:
    lists = [name for name in rows.select_dtypes(object)
             if rows[name].map(lambda each: isinstance(each, np.ndarray)).any()]
    hashed = rows.assign(**{str(name): rows[name].map(_written) for name in lists})
    values = pd.util.hash_pandas_object(hashed, index=False, categorize=False)
    return bytes(values.to_numpy().tobytes())


def _written(value: object) -> str | None:
    return repr(value.tolist()) if isinstance(value, np.ndarray) else None
