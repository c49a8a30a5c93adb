"""Every vector that was served, computed once more: from what the client sent and from history.

The numbers come from the request through the function that serving used, the store's features
from the point-in-time join at the instant that serving says it read, over what had been accepted
by then. Equal means equal bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.core.errors import NotReady
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.settings import Settings
from ml_assets.core.source import Event
from ml_assets.core.system import System
from ml_assets.features.parity import Alternatives, ParityReport, Vectors
from ml_assets.ingest.posted import read_json
from ml_assets.monitoring.reports import DailyReports
from ml_assets.serving.models.scoring import dense_vectors


class PointInTime(Protocol):
    """`ml_assets.features.offline.OfflineFeatures`, or a stand-in."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def read(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], *,
        accepted_at: pd.Series[pd.Timestamp],
    ) -> Vectors: ...

    def alternatives(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], *,
        accepted_at: pd.Series[pd.Timestamp],
    ) -> Sequence[Vectors]: ...


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """The vectors of n predictions, and what else the online store may have given.

    vectors: (n, D) float32, columns `names`; unparsable: event ids that no longer parse;
    alternatives: as `ml_assets.features.parity.compare` asks for them
    """

    names: tuple[str, ...]
    vectors: Vectors
    unparsable: tuple[str, ...]
    alternatives: Alternatives


def recompute(
    system: System, predictions: pd.DataFrame, raw: pd.DataFrame, offline: PointInTime
) -> Recomputed:
    """The vectors of `predictions`, in their order.

    predictions: (n rows) `tables.PREDICTIONS`; raw: `tables.RAW`, with a row for each event.

    Degraded predictions, whose features are defaults on purpose, have a vector of NaN, and so
    have events that parsed when they were served and do not now. Raises NotReady if an
    event has no raw row.
    """
    requests = dict(zip(raw["event_id"], raw["request"], strict=True))
    lacking = [event_id for event_id in predictions["event_id"] if event_id not in requests]
    if lacking:
        raise NotReady(f"{len(lacking)} served events of {system.name!r} have no raw row, first "
                       f"{lacking[0]!r}. Materialise {system.name}/raw of that day again.")
    names = (*system.model.numbers, *offline.names)
    vectors = np.full((len(predictions), len(names)), np.nan, dtype=np.float32)
    events, indices, unparsable = [], [], []
    for index, (event_id, degraded) in enumerate(
        zip(predictions["event_id"], predictions["degraded"], strict=True)
    ):
        if degraded:
            continue
        event = attempt(_parsed, system, requests[event_id])
        if isinstance(event, Fault):
            unparsable.append(event_id)
        else:
            events.append(event)
            indices.append(index)
    keys = pd.DataFrame(
        [[event[name] for name in system.keys] for event in events],
        columns=list(system.keys), dtype=object,
    )
    at = predictions["features_as_of"].iloc[indices].reset_index(drop=True)
    accepted_at = predictions["accepted_at"].iloc[indices].reset_index(drop=True)
    stored = offline.read(keys, at, accepted_at=accepted_at)
    vectors[indices] = dense_vectors(system, events, stored)

    def alternatives(wanted: npt.NDArray[np.intp]) -> list[Vectors]:
        # Whatever no longer parses has no alternative either.
        parsed = np.isin(wanted, indices)
        rows = np.searchsorted(indices, wanted[parsed])
        chosen = [events[row] for row in rows]
        others = offline.alternatives(
            keys.iloc[rows].reset_index(drop=True), at.iloc[rows].reset_index(drop=True),
            accepted_at=accepted_at.iloc[rows].reset_index(drop=True),
        )
        answers = []
        for other in others:
            answers.append(np.full((len(wanted), len(names)), np.nan, dtype=np.float32))
            answers[-1][parsed] = dense_vectors(system, chosen, other)
        return answers

    return Recomputed(
        names=names, vectors=vectors, unparsable=tuple(unparsable), alternatives=alternatives
    )


def _parsed(system: System, request: str) -> Event:
    return system.source.parse(read_json(request))


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """One served number that history does not give."""

    prediction_id: str
    feature: str
    served: float
    recomputed: float
    explained: bool


@dataclass(frozen=True, kw_only=True)
class ParityDay:
    """One day's comparison, see `ml_assets.features.parity.ParityReport` for the counts."""

    day: date
    checked: int
    unexplained: int
    explained: int
    degraded: int
    other_features: int
    unparsable: int
    worst: tuple[Mismatch, ...]

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
        explained=report.explained, degraded=report.degraded,
        other_features=report.other_features, unparsable=unparsable,
        worst=tuple(
            Mismatch(prediction_id=str(row["prediction_id"]), feature=str(row["feature"]),
                     served=float(row["served"]), recomputed=float(row["recomputed"]),
                     explained=bool(row["explained"]))
            for row in report.worst.to_dict("records")
        ),
    )
