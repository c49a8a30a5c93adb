"""One day of events scored by the deployed model, in memory that does not grow with the day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

import pandas as pd

from ml_assets.core.system import System
from ml_assets.ingest.lake import Lake, frame_of
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import batch_schema, events_schema
from ml_assets.serving.batch.summary import ScoreSummary
from ml_assets.serving.batch.tables import (
    Agreement,
    agreement,
    batch_rows,
    served_rows,
)
from ml_assets.serving.models.scoring import Floats, Scorer

SCORED_AT_ONCE = 10_000
"""Events whose texts are in memory together: they are what makes a day large."""
ASKED_AT_ONCE = 100_000
"""Events whose features are asked for together, by their keys alone: each question reads the
history of all of them anew, so small ones would cost more than the scores."""


class History(Protocol):
    """The store's past, as `ml_assets.features.offline.OfflineFeatures`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What it needs to know of an event."""
        ...

    def read(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], *,
        accepted_at: pd.Series[pd.Timestamp],
    ) -> Floats:
        """The features (n, F) of n events as they were when the system received these."""
        ...


@dataclass(frozen=True, kw_only=True)
class DayScorer:
    """Scores whole days of one system by one model version.

    at: the instant that the scores are given
    scored, asked: how many at once, see above; `asked` a multiple of `scored`
    """

    system: System
    scorer: Scorer
    version: int
    history: History
    lake: Lake
    log: EventLog
    at: datetime
    scored: int = SCORED_AT_ONCE
    asked: int = ASKED_AT_ONCE

    def __post_init__(self) -> None:
        assert self.asked % self.scored == 0, "else features would be those of other events"

    def score(self, day: date, summary: ScoreSummary) -> None:
        """Replace the day of `batch_predictions` by new scores, and add them to `summary`.

        The rows are those that scoring the day at once gives. Whatever ends it midway, the day
        stays as it was.
        """
        name, schema = self.system.name, batch_schema(self.system)
        with self.lake.replacing(name, "batch_predictions", day, schema) as write:
            for events, features in self._portions(day):
                rows = batch_rows(self.system, self.scorer, self.version, events, features,
                                  at=self.at)
                write(rows)
                summary.add(rows, self._agreement(rows, events))

    def _portions(self, day: date) -> Iterator[tuple[pd.DataFrame, Floats]]:
        """The day's events, some at a time, with their features."""
        name, schema = self.system.name, events_schema(self.system)
        whole = self.lake.portions(name, "events", schema, day, size=self.scored)
        columns = list(dict.fromkeys(
            ["event_timestamp", "accepted_at", *self.system.keys, *self.history.columns]))
        for part in self.lake.portions(name, "events", schema, day, size=self.asked,
                                       columns=columns):
            keys = frame_of(part)
            features = self.history.read(keys, keys["event_timestamp"],
                                         accepted_at=keys["accepted_at"])
            for start in range(0, len(keys), self.scored):
                yield frame_of(next(whole)), features[start : start + self.scored]

    def _agreement(self, rows: pd.DataFrame, events: pd.DataFrame) -> Agreement:
        """With what the API answered in the time in which these events were received."""
        first, last = events["accepted_at"].min(), events["accepted_at"].max()
        served = self.log.predictions(self.system.name, first, last + timedelta(microseconds=1))
        return agreement(rows, served_rows(served))
