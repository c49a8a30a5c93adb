"""Outcomes: predictions beside what turned out to be true."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
from duckdb import DuckDBPyConnection

from ml_assets.core.settings import Settings
from ml_assets.core.storage.sql import name_of
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.ingest.identity import merge_exactly
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import (
    OUTCOME_COLUMNS,
    PREDICTION_COLUMNS,
    key_fields,
    known_schema,
    outcomes_schema,
    predictions_schema,
)

SHARED = [column for column in OUTCOME_COLUMNS if column in PREDICTION_COLUMNS]
AT_ONCE = 100_000
"""Decisions that are judged together."""
BASES = ("feedback", "silence", "archive")


def join_outcomes(
    predictions: pd.DataFrame, labels: pd.DataFrame, entities: Sequence[str] = ()
) -> pd.DataFrame:
    """One row per label of a predicted event, in the columns of `outcomes_schema`.

    predictions: rows of `predictions_schema` (at least the columns that are shared),
                 one per event
    labels:      rows of `tables.known_schema`; several for one event are corrections
    entities:    columns of keys that `labels` has too, those of `outcomes_schema`
    Returned in order of `known_at`. Labels of recorded history, whose events were never predicted,
    are left out, even if a prediction is about another event with the same id. The event's instant
    is the prediction's.
    """
    shared = [name for name in OUTCOME_COLUMNS if name in predictions.columns]
    served = labels.loc[labels["basis"] != "archive",
                        ["event_id", "known_at", "label", "basis", *entities]]
    outcomes = merge_exactly(served, predictions[shared], on=["event_id"], one=True)
    ordered = outcomes.sort_values(["known_at", "event_id"], kind="stable", ignore_index=True)
    return ordered[[*OUTCOME_COLUMNS, *entities]]


@dataclass(frozen=True, kw_only=True)
class StoredOutcomes:
    """rows: the outcomes (rows of `outcomes_schema`) of the days that were stored;
    without_prediction: labels from feedback or silence whose prediction is not in the lake.
    """

    rows: pd.DataFrame
    without_prediction: int


def store_outcomes(system: System, settings: Settings, days: Sequence[date]) -> StoredOutcomes:
    """Join the labels of each day with the predictions that they are about, and store them.

    days: consecutive, in order
    """
    lake, name = Lake(settings.lake), system.name
    entities, rows = system.target.entities, outcomes_schema(system)
    known = pa.schema([*known_schema(system), *key_fields(system.columns, entities)])
    without = 0
    for day in days:
        labels = lake.read(name, "labels", known, start=day, end=day + DAY)
        outcomes = join_outcomes(_served(lake, system, labels, day), labels, entities)
        lake.write(name, "outcomes", day, outcomes, rows)
        without += int((labels["basis"] != "archive").sum()) - len(outcomes)
    stored = lake.read(name, "outcomes", rows, start=days[0], end=days[-1] + DAY)
    return StoredOutcomes(rows=stored, without_prediction=without)


def _served(lake: Lake, system: System, labels: pd.DataFrame, until: date) -> pd.DataFrame:
    """What is in the lake, up to the day `until`, of the predictions that `labels` are about.

    Nearly all events are predicted on the day on which they happen. Only if one is not found
    there or on the day after are all days read.
    """
    labels = labels[labels["basis"] != "archive"]
    about, schema = set(labels["event_id"]), predictions_schema(system)

    def read(days: Iterable[date]) -> pd.DataFrame:
        rows = lake.read_days(system.name, "predictions", schema, days, columns=SHARED)
        return rows[rows["event_id"].isin(about)]

    happened = {each.date() for each in labels["event_timestamp"]}
    near = sorted(day for day in happened | {day + DAY for day in happened} if day <= until)
    found = read(near)
    if about <= set(found["event_id"]):
        return found
    others = [day for day in lake.days(system.name, "predictions")
              if day <= until and day not in near]
    return pd.concat([found, read(others)], ignore_index=True)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How right the decisions were, by what is known about them now.

    judged: predictions with a label
    right: the share of these whose decision is right, NaN if there are none
    rates: what else the target tells of decisions, by name; without what has no rows
    """

    judged: int
    right: float
    rates: Mapping[str, float]


def quality(lake: DuckDBPyConnection, system: System, *, until: date) -> Quality:
    """The quality of all decisions, by the latest labels that were known at the end of `until`.

    lake: a connection that has the system's tables, see `ingest.lake_in_sql`
    """
    target = system.target
    found = lake.execute(
        f"""
        select decision, label, count(*) from (
            select any_value(decision) as decision, arg_max(label, known_at) as label
            from {name_of(system.name)}.outcomes where day <= ? group by prediction_id
        ) group by all
        """,
        [until],
    )
    judged, right, counts = 0, 0, dict[str, tuple[int, int]]()
    while rows := found.fetchmany(AT_ONCE):
        # Of few kinds of labels there are few pairs, however many decisions there were.
        *pairs, times = zip(*rows, strict=True)
        decisions, labels = (np.repeat(target.codes(column), times) for column in pairs)
        judged += len(labels)
        right += int(target.right(labels, decisions).sum())
        for name, (hits, trials) in target.rates(labels, decisions).items():
            before = counts.get(name, (0, 0))
            counts[name] = (before[0] + hits, before[1] + trials)
    return Quality(
        judged=judged, right=right / judged if judged else math.nan,
        rates={name: hits / trials for name, (hits, trials) in counts.items() if trials},
    )


def count_by_basis(outcomes: pd.DataFrame) -> dict[str, int]:
    """How many outcomes rest on each basis; every basis is named."""
    counts = outcomes["basis"].value_counts()
    return {basis: int(counts.get(basis, 0)) for basis in BASES}
