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

OUTPUTS = pa.list_(pa.float64())

ARROW: Mapping[Dtype, pa.DataType] = {
    "text": pa.string(), "number": pa.float64(), "integer": pa.int64(), "category": pa.string(),
    "boolean": pa.bool_(), "instant": INSTANT,
}

RECORD_COLUMNS = ("event_id", "event_timestamp", "accepted_at", "request", "outcome",
                  "outcome_known_at", LOG_SEQ, "problem")
"""Of `raw_schema`, whatever the system."""

KNOWN_COLUMNS = ("event_id", "event_timestamp", "known_at", "label", "basis")
"""Of `known_schema`, whatever the system."""

PREDICTION_COLUMNS = ("prediction_id", "event_id", "event_timestamp", "accepted_at",
                      "features_as_of", "features", "feature_names", "model_version", "score",
                      "decision", "degraded", "role", "propensity", "state_seq", "outputs", "audit")
"""Of `predictions_schema`, whatever the system."""

OUTCOME_COLUMNS = ("prediction_id", "event_id", "event_timestamp", "known_at", "label", "basis",
                   "model_version", "score", "decision", "role", "propensity", "outputs")
"""Of `outcomes_schema`, whatever the system."""

QUARANTINE = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_timestamp", INSTANT),
        ("reason", pa.string()),
        ("request", pa.string()),
    ]
)
"""Raw records that could not become events, and why."""


def label_type(system: System) -> pa.DataType:
    """Of the labels and decisions of a system."""
    return pa.type_for_alias(system.target.lake_type)


def raw_schema(system: System, stream: Stream | None = None) -> pa.Schema:
    """What reached a stream on a day, as it came (`request` is the client's JSON).

    stream: the one that predictions are made for, unless it is given; others have no outcome

    `accepted_at` is when the system received it; its day is the partition. `outcome` is the
    archive's true label, null for live events, and `outcome_known_at` when it becomes known.
    `log_seq` is the position at which the state of windowed views counts a live event; null if
    it learns of the event from the lake. `problem` is why a record of the archive cannot be used,
    null if nothing speaks against it so far. A record without a usable instant is filed under
    that of the record before it.
    """
    outcome = [("outcome", label_type(system)), later("outcome_known_at", INSTANT, None)]
    return pa.schema([
        ("event_id", pa.string()), ("event_timestamp", INSTANT), ("accepted_at", INSTANT),
        ("request", pa.string()), *(outcome if stream is None or stream.asked else ()),
        later(LOG_SEQ, pa.int64(), None), later("problem", pa.string(), None),
    ])


def table_schema(table: Table) -> pa.Schema:
    """The declared columns of a table, after when a row holds from and when it became known.

    The day of `known_at` is the partition. The last column says where the row was.
    """
    return pa.schema([
        ("event_timestamp", INSTANT), ("known_at", INSTANT),
        *((column.name, arrow_type(column)) for column in table.columns), (ORIGIN, pa.string()),
    ])


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

    `accepted_at` is when the system received it; its day is the partition. `log_seq`: see
    `raw_schema`.
    """
    return pa.schema([
        ("event_id", pa.string()), ("event_timestamp", INSTANT), ("accepted_at", INSTANT),
        *((column.name, arrow_type(column)) for column in stream.columns),
        later(LOG_SEQ, pa.int64(), None),
    ])


def known_schema(system: System) -> pa.Schema:
    """What became known on a day (the partition is the day of `known_at`).

    `basis` is `archive`, `feedback` or `silence`. A later row for the same event corrects an
    earlier one; nothing is overwritten.
    """
    return pa.schema([
        ("event_id", pa.string()), ("event_timestamp", INSTANT), ("known_at", INSTANT),
        ("label", label_type(system)), ("basis", pa.string()),
    ])


def labels_schema(system: System) -> pa.Schema:
    """`known_schema` with an id of each label and the entity keys of its event.

    So a label counts once, for its event's entities. The keys are null if the event is not
    among the usable ones. `log_seq`: see `raw_schema`; null of a label that nobody has said.
    """
    keys = key_fields(system.columns, system.keys)
    return pa.schema([*known_schema(system), ("label_id", pa.string()), *keys,
                      later(LOG_SEQ, pa.int64(), None)])


def predictions_schema(system: System) -> pa.Schema:
    """What was served on a day (the partition is the day of `accepted_at`).

    `outputs` are the model's W numbers, null if there is only one, which is the score. `audit` is
    how probable it was that its truth is asked for, null if it is not.
    """
    return pa.schema([
        ("prediction_id", pa.string()), ("event_id", pa.string()), ("event_timestamp", INSTANT),
        ("accepted_at", INSTANT), ("features_as_of", INSTANT),
        ("features", pa.list_(pa.float32())), ("feature_names", pa.list_(pa.string())),
        ("model_version", pa.int64()), ("score", pa.float64()), ("decision", label_type(system)),
        ("degraded", pa.bool_()), later("role", pa.string(), "champion"),
        later("propensity", pa.float64(), 1.0), later("state_seq", pa.int64(), None),
        later("outputs", OUTPUTS, None), later("audit", pa.float64(), None),
    ])


def audits_schema(system: System) -> pa.Schema:
    """What became of the audited predictions that matured on a day (the day of `known_at`).

    `expected` is what silence says of it. `wrong` is whether the audit found something else, null
    if nobody answered in time; `reported` whether anybody else said so in time. `propensity`: of
    being audited.
    """
    return pa.schema([
        ("event_id", pa.string()), ("event_timestamp", INSTANT), ("known_at", INSTANT),
        ("prediction_id", pa.string()), ("expected", label_type(system)), ("wrong", pa.bool_()),
        ("reported", pa.bool_()), ("propensity", pa.float64()),
    ])


def outcomes_schema(system: System) -> pa.Schema:
    """Predictions joined with the labels that became known on a day (day of `known_at`).

    With the keys of the entities that the target speaks of.
    """
    keys = key_fields(system.columns, system.target.entities)
    return pa.schema([
        ("prediction_id", pa.string()), ("event_id", pa.string()), ("event_timestamp", INSTANT),
        ("known_at", INSTANT), ("label", label_type(system)), ("basis", pa.string()),
        ("model_version", pa.int64()), ("score", pa.float64()), ("decision", label_type(system)),
        later("role", pa.string(), "champion"), later("propensity", pa.float64(), 1.0),
        later("outputs", OUTPUTS, None), *(later(name, kind, None) for name, kind in keys),
    ])


def batch_schema(system: System) -> pa.Schema:
    """The deployed model's score of each event of a day, with the features as of the event.

    `basis` is `batch` throughout: so says the online store of a score that came from here. With
    the key of the entity that the system keeps scores by.
    """
    keys = [] if system.scores_by is None else [system.scores_by]
    return pa.schema([
        ("event_id", pa.string()), ("event_timestamp", INSTANT),
        ("features", pa.list_(pa.float32())), ("feature_names", pa.list_(pa.string())),
        ("model_version", pa.int64()), ("score", pa.float64()), ("decision", label_type(system)),
        later("scored_at", INSTANT, None), later("basis", pa.string(), "batch"),
        later("outputs", OUTPUTS, None), *key_fields(system.columns, keys),
    ])


def candidates_schema(system: System) -> pa.Schema:
    """The lists that slates are made of on the day after, each in the order of positions.

    user: a key, empty for the list of those who have none; item: in the type of its column; score:
    by the version that made the list, null if no model was deployed; basis: `nightly`, or
    `newcomers` for the list of everybody else
    """
    policy = system.target.slates
    items = [] if policy is None else key_fields(system.columns, [policy.item])
    return pa.schema([
        ("user", pa.string()), ("position", pa.int64()), *(("item", kind) for _, kind in items),
        ("score", pa.float64()), ("model_version", pa.int64()), ("basis", pa.string()),
    ])


def tables_of(system: System) -> dict[str, pa.Schema]:
    """The tables of the lake that the system's assets write, each with its columns."""
    streams = {
        name: schema for stream in system.streams for name, schema in (
            (stream.raw, raw_schema(system, stream)), (stream.table, stream_schema(stream)),
            (stream.quarantine, QUARANTINE),
        )
    }
    tables = {name: schema for table in system.tables for name, schema in (
        (table.name, table_schema(table)), (table.quarantine, QUARANTINE))}
    return {
        **streams,
        **tables,
        "labels": labels_schema(system),
        "predictions": predictions_schema(system),
        "batch_predictions": batch_schema(system),
        "outcomes": outcomes_schema(system),
        **({} if system.feedback.audit is None else {"audits": audits_schema(system)}),
        **({} if system.target.slates is None else {"candidates": candidates_schema(system)}),
    }
