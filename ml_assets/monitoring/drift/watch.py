"""A champion's reign, day by day: what was answered is counted once, and judged every day."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Protocol

import numpy as np

from ml_assets.core.policies import DriftPolicy
from ml_assets.core.time import DAY, midnight
from ml_assets.monitoring import drift_report
from ml_assets.monitoring.drift.bins import Counts
from ml_assets.monitoring.drift.columns import DAY_US, LiveRows, ReferenceColumn, columns_of
from ml_assets.monitoring.drift.evidence import Yardstick
from ml_assets.monitoring.drift.judge import LiveColumn
from ml_assets.monitoring.drift.reference import Reference
from ml_assets.monitoring.drift.together import TOGETHER, Apart, told
from ml_assets.monitoring.drift_report import DriftReport

SAMPLE = 40_000
"""ReadRows of the days before a day that stand for all of them, at most."""


@dataclass(frozen=True, kw_only=True)
class DayCounts:
    """rows: answers of the day that read the champion's features; columns: (B,) each.

    together: the counts of all columns together, and of the reference's unseen half by day; None
    if too few rows were there
    """

    rows: int
    columns: Mapping[str, Counts]
    together: tuple[Counts, Counts] | None = None


class ReadRows(Protocol):
    """Where answers are read from."""

    def __call__(self, start: date, end: date, most: int | None = None) -> LiveRows:
        """Of the days in [start, end); `most` of them, spread over all."""
        ...


class Watch:
    """One champion beside what it learnt from.

    first: the first live day that counts; live_since: the first day whose answers exist; rows:
    where they are read from; kept: the counts of days that were counted before
    """

    def __init__(
        self, policy: DriftPolicy, reference: Reference, version: int, rows: ReadRows, *,
        first: date, live_since: date, filled: Mapping[str, datetime] | None = None,
        kept: MutableMapping[date, DayCounts] | None = None,
    ) -> None:
        self._policy, self._version, self._rows = policy, version, rows
        self._first, self._live_since, self._reference = first, live_since, reference
        self.columns = columns_of(reference, policy, filled)
        self._kept: MutableMapping[date, DayCounts] = {} if kept is None else kept

    def judge(
        self, day: date, previous: DriftReport | None
    ) -> tuple[dict[str, LiveColumn], DriftReport]:
        """The columns as they are on `day`, and what is said of them."""
        days = [self._first + number * DAY for number in range((day - self._first).days + 1)]
        apart = None
        for each in days:
            if each not in self._kept or each == day:
                self._kept[each], apart = self._count(each)
        columns = self._live_columns(days) if days else {}
        window = days[-self._policy.window.days:]
        return columns, drift_report.judge_day(
            day, columns, previous, self._policy, model_version=self._version,
            reference=self._reference.training_set, reference_rows=len(self._reference.dense),
            rows=sum(self._kept[each].rows for each in window), together=apart,
            lacking=self._lacking(day))

    def _lacking(self, day: date) -> str | None:
        """Three days are no sample of a week: at a weekend, whatever tells the days of the week
        apart would have drifted."""
        if day < self._first:
            return (f"not comparable yet: the answers up to {self._first - DAY} are what later "
                    "ones are compared with")
        if midnight(day) + DAY - self._policy.window < midnight(self._live_since):
            return "the window begins before going live"
        return None

    def _count(self, day: date) -> tuple[DayCounts, Apart | None]:
        week = self._policy.window.days
        span = max(week, *(column.span for column in self.columns.values()), 0)
        today = self._rows(day, day + DAY)
        before = self._rows(max(day - span * DAY, self._live_since), day, most=SAMPLE)
        counts = {name: column.count(name, today, before, number_of(day))
                  for name, column in self.columns.items()}
        # A whole window: of parts of a week one learns the days of the week.
        asked = None if day - week * DAY < self._first else told(
            self.columns, self._reference, today, before.since(day - week * DAY),
            least=self._policy.min_events)
        together = None if asked is None else (asked.today_B, asked.reference_DB)
        return (DayCounts(rows=today.rows, columns=counts, together=together),
                None if asked is None else asked.apart)

    def _live_columns(self, days: Sequence[date]) -> dict[str, LiveColumn]:
        found = {name: self._live(name, column, days) for name, column in self.columns.items()}
        together = [self._kept[day].together for day in days]
        known = [each for each in together if each is not None]
        if known:
            reference_DB = known[-1][1]
            none_B = np.zeros(reference_DB.shape[1], np.int64)
            found[TOGETHER] = LiveColumn(
                yardstick=Yardstick(days_DB=reference_DB, ordered=True,
                                    week=self._policy.window.days),
                names=tuple(f"{place}" for place in range(reference_DB.shape[1])), rises=True,
                live_TB=np.array([none_B if each is None else each[0] for each in together]))
        return found

    def _live(self, name: str, column: ReferenceColumn, days: Sequence[date]) -> LiveColumn:
        counts = np.array([self._kept[day].columns[name] for day in days], np.int64)
        return LiveColumn(yardstick=column.yardstick, names=column.bins.names, live_TB=counts,
                          moves=bool(column.span))


def number_of(day: date) -> int:
    """Of a day, as `columns.LiveRows` counts them."""
    return int(midnight(day).timestamp()) * 1_000_000 // DAY_US


def of_served(rows: LiveRows, reference: Reference) -> Reference:
    """The same model's reference, made of what it was asked first."""
    scored = ~np.isnan(rows.scores)
    return replace(
        reference, dense=rows.features, at=rows.at, categories=rows.categories,
        scores=rows.scores[scored], scores_at=rows.at[scored])
