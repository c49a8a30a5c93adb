"""The columns of the lake's tables, as Arrow schemas. All instants are UTC microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from ml_assets.core.data.columns import Column, Dtype
from ml_assets.core.data.streams import Stream
from ml_assets.core.data.tables import Table
from ml_assets.core.system import System
from ml_assets.ingest.lake import INSTANT, later
from ml_assets.ingest.sources.origins import ORIGIN

LOG_SEQ = "log_seq"
"""The position at which the state of windowed views counts a live event."""

ARROW: Mapping[Dtype, pa.DataType] = {
    "text": pa.string(), "number": pa.float64(), "integer": pa.int64(), "category": pa.string(),
    "boolean": pa.bool_(), "instant": INSTANT,
}

RAW = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_timestamp", INSTANT),
        ("accepted_at", INSTANT),
        ("request", pa.string()),
        ("outcome", pa.bool_()),
        later(LOG_SEQ, pa.int64(), None),
    ]
)
"""What reached the system on a day, as it came (`request` is the client's JSON).

`accepted_at` is when the system received it; its day is the partition. `outcome` is the
archive's true label, null for live events. `log_seq` is the position at which the state of
windowed views counts a live event; null if it learns of the event from the lake.
"""

RECORDS = pa.schema([*RAW, later("problem", pa.string(), None)])
"""`RAW`, and why a record of the archive cannot be used: null if nothing speaks against it so far.

One without a usable instant is filed under that of the record before it.
"""

QUARANTINE = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_timestamp", INSTANT),
        ("reason", pa.string()),
        ("request", pa.string()),
    ]
)
"""Raw records that could not become events, and why."""

LABELS = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_timestamp", INSTANT),
        ("known_at", INSTANT),
        ("label", pa.bool_()),
        ("basis", pa.string()),
    ]
)
"""What became known on a day (the partition is the day of `known_at`).

`basis` is `archive`, `feedback` or `silence`. A later row for the same event corrects an
earlier one; nothing is overwritten.
"""

PREDICTIONS = pa.schema(
    [
        ("prediction_id", pa.string()),
        ("event_id", pa.string()),
        ("event_timestamp", INSTANT),
        ("accepted_at", INSTANT),
        ("features_as_of", INSTANT),
        ("features", pa.list_(pa.float32())),
        ("feature_names", pa.list_(pa.string())),
        ("model_version", pa.int64()),
        ("score", pa.float64()),
        ("decision", pa.bool_()),
        ("degraded", pa.bool_()),
        later("role", pa.string(), "champion"),
        later("propensity", pa.float64(), 1.0),
        later("state_seq", pa.int64(), None),
    ]
)
"""What was served on a day (the partition is the day of `accepted_at`)."""

OUTCOMES = pa.schema(
    [
        ("prediction_id", pa.string()),
        ("event_id", pa.string()),
        ("event_timestamp", INSTANT),
        ("known_at", INSTANT),
        ("label", pa.bool_()),
        ("basis", pa.string()),
        ("model_version", pa.int64()),
        ("score", pa.float64()),
        ("decision", pa.bool_()),
        later("role", pa.string(), "champion"),
        later("propensity", pa.float64(), 1.0),
    ]
)
"""Predictions joined with the labels that became known on a day (day of `known_at`)."""


BATCH_PREDICTIONS = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_timestamp", INSTANT),
        ("features", pa.list_(pa.float32())),
        ("feature_names", pa.list_(pa.string())),
        ("model_version", pa.int64()),
        ("score", pa.float64()),
        ("decision", pa.bool_()),
        later("scored_at", INSTANT, None),
        later("basis", pa.string(), "batch"),
    ]
)
"""The deployed model's score of each event of a day, with the features as of the event.

`basis` is `batch` throughout: so says the online store of a score that came from here.
"""


def table_schema(table: Table) -> pa.Schema:
    """The declared columns of a table, after when a row holds from and when it became known.

    The day of `known_at` is the partition. The last column says where the row was.
    """
    return pa.schema([
        ("event_timestamp", INSTANT), ("known_at", INSTANT),
        *((column.name, arrow_type(column)) for column in table.columns), (ORIGIN, pa.string()),
    ])


def raw_schema(stream: Stream) -> pa.Schema:
    """`RECORDS`, without an outcome unless predictions are made for the stream."""
    return RECORDS if stream.asked else pa.schema(
        [field for field in RECORDS if field.name != "outcome"])


def arrow_type(column: Column) -> pa.DataType:
    """What a column is in the lake."""
    return pa.list_(ARROW[column.dtype]) if column.many else ARROW[column.dtype]


def key_fields(columns: Iterable[Column], keys: Iterable[str]) -> list[tuple[str, pa.DataType]]:
    """The entity keys of a stream, in the types of its columns."""
    types = {column.name: arrow_type(column) for column in columns}
    return [(key, types[key]) for key in keys]


def events_schema(system: System) -> pa.Schema:
    """Of the events that are predicted, see `stream_schema`."""
    return stream_schema(system.asked)


def stream_schema(stream: Stream) -> pa.Schema:
    """The stream's declared columns, after when an event happened and when it arrived.

    `accepted_at` is when the system received it; its day is the partition. `log_seq`: see `RAW`.
    """
    return pa.schema([
        ("event_id", pa.string()), ("event_timestamp", INSTANT), ("accepted_at", INSTANT),
        *((column.name, arrow_type(column)) for column in stream.columns),
        later(LOG_SEQ, pa.int64(), None),
    ])


def labels_schema(system: System) -> pa.Schema:
    """`LABELS` with an id of each label and the entity keys of its event.

    So a label counts once, for its event's entities. The keys are null if the event is not
    among the usable ones.
    """
    keys = key_fields(system.columns, system.keys)
    return pa.schema([*LABELS, ("label_id", pa.string()), *keys])


def batch_schema(system: System) -> pa.Schema:
    """`BATCH_PREDICTIONS`, with the key of the entity that the system keeps scores by."""
    keys = [] if system.scores_by is None else [system.scores_by]
    return pa.schema([*BATCH_PREDICTIONS, *key_fields(system.columns, keys)])


def tables_of(system: System) -> dict[str, pa.Schema]:
    """The tables of the lake that the system's assets write, each with its columns."""
    streams = {
        name: schema for stream in system.streams for name, schema in (
            (stream.raw, raw_schema(stream)), (stream.table, stream_schema(stream)),
            (stream.quarantine, QUARANTINE),
        )
    }
    tables = {name: schema for table in system.tables for name, schema in (
        (table.name, table_schema(table)), (table.quarantine, QUARANTINE))}
    return {
        **streams,
        **tables,
        "labels": labels_schema(system),
        "predictions": PREDICTIONS,
        "batch_predictions": batch_schema(system),
        "outcomes": OUTCOMES,
    }
