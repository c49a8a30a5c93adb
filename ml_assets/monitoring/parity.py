"""Every vector that was served, computed once more: from what the client sent and from history.

The numbers come from the request through the function that serving used, the store's features
from history: as of the instant that serving says it read, over all that the state had counted at
the position of the log that serving says it read. Equal means equal bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.core.errors import NotReady
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.derived.declared import HAPPENED
from ml_assets.features.parity import ParityReport, Vectors
from ml_assets.ingest.contracts.rows import read_event
from ml_assets.monitoring.reports import DailyReports
from ml_assets.serving.models.scoring import dense_vectors


class PointInTime(Protocol):
    """`ml_assets.features.offline.OfflineFeatures`, or a stand-in."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def read_at(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], positions: npt.NDArray[np.int64]
    ) -> Vectors: ...


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """The vectors of n predictions.

    vectors: (n, D) float32, columns `names`; unparsable: event ids that no longer parse
    """

    names: tuple[str, ...]
    vectors: Vectors
    unparsable: tuple[str, ...]


def recompute(
    system: System, predictions: pd.DataFrame, raw: pd.DataFrame, offline: PointInTime
) -> Recomputed:
    """The vectors of `predictions`, in their order.

    predictions: (n rows) `tables.predictions_schema`; raw: `tables.raw_schema`, with a row
        for each event.

    Degraded predictions, whose features are defaults on purpose, have a vector of NaN, and so
    have those of before there were positions, and events that parsed when they were served and
    do not now. Raises NotReady if an event has no raw row.
    """
    requests = dict(zip(raw["event_id"], raw["request"], strict=True))
    lacking = [event_id for event_id in predictions["event_id"] if event_id not in requests]
    if lacking:
        raise NotReady(f"{len(lacking)} served events of {system.name!r} have no raw row, first "
                       f"{lacking[0]!r}. Materialise {system.name}/raw of that day again.")
    names = (*system.model.numbers, *offline.names)
    vectors = np.full((len(predictions), len(names)), np.nan, dtype=np.float32)
    events, indices, unparsable = [], [], []
    skipped = predictions["degraded"].to_numpy(dtype=bool) | predictions["state_seq"].isna()
    for index, (event_id, skip) in enumerate(zip(predictions["event_id"], skipped, strict=True)):
        if skip:
            continue
        event = attempt(read_event, system, requests[event_id])
        if isinstance(event, Fault):
            unparsable.append(event_id)
        else:
            events.append(event)
            indices.append(index)
    columns = [column.name for column in system.columns]
    keys = pd.DataFrame([[event[name] for name in columns] for event in events],
                        columns=columns, dtype=object)
    keys[HAPPENED] = predictions[HAPPENED].iloc[indices].to_numpy()
    at = predictions["features_as_of"].iloc[indices].reset_index(drop=True)
    positions = predictions["state_seq"].iloc[indices].to_numpy(dtype=np.int64)
    vectors[indices] = dense_vectors(system, events, offline.read_at(keys, at, positions))
    return Recomputed(names=names, vectors=vectors, unparsable=tuple(unparsable))


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """One served number that history does not give."""

    prediction_id: str
    feature: str
    served: float
    recomputed: float


@dataclass(frozen=True, kw_only=True)
class ParityDay:
    """One day's comparison, see `ml_assets.features.parity.ParityReport` for the counts."""

    day: date
    checked: int
    unexplained: int
    degraded: int
    other_features: int
    unparsable: int
    worst: tuple[Mismatch, ...]
    without_position: int = 0

    @property
    def holds(self) -> bool:
        return self.unexplained == 0 and self.unparsable == 0


class ParityReports(DailyReports[ParityDay]):
    """A system's parity reports: `<lake>/<system>/parity/<day>.json`."""

    def __init__(self, settings: Settings, system: System) -> None:
        super().__init__(settings.lake / system.name / "parity", ParityDay)


def parity_day(day: date, report: ParityReport, unparsable: int) -> ParityDay:
    """What is kept of a day's comparison."""
    return ParityDay(
        day=day, checked=report.checked, unexplained=report.unexplained,
        degraded=report.degraded, other_features=report.other_features,
        without_position=report.without_position, unparsable=unparsable,
        worst=tuple(
            Mismatch(prediction_id=str(row["prediction_id"]), feature=str(row["feature"]),
                     served=float(row["served"]), recomputed=float(row["recomputed"]))
            for row in report.worst.to_dict("records")
        ),
    )
