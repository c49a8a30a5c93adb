"""The columns of a reference, ready for live days: how each is counted, and what it held.

Rows of either side, whose windowed features did not look at a whole window of history yet, are left
out: until then counters grow by construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt

from ml_assets.core.policies import DriftPolicy
from ml_assets.core.system import System
from ml_assets.core.target import Floats, Whole
from ml_assets.core.time import midnight
from ml_assets.features.service import Service
from ml_assets.monitoring.drift.bins import (
    Bins,
    CategoryBins,
    Counts,
    NumberBins,
    Vector,
    by_day,
    counts_of,
)
from ml_assets.monitoring.drift.evidence import Yardstick
from ml_assets.monitoring.drift.moving import WINDOWS, RankedDays, moves
from ml_assets.monitoring.drift.reference import Reference, Values

SCORE = "model score"
"""The column that stands for prediction drift; no feature can have this name."""
DAY_US = 86_400_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveRows:
    """What was answered, M rows in order. features: (M, D) of the champion's names; days: (M,) as
    numbers since 1970; scores: (M,) of the champion's own answers, NaN of others; categories: of
    the events that were found, and `found` (M,) which these are."""

    features: npt.NDArray[np.float32]
    at: Whole
    scores: Floats
    categories: Mapping[str, Values] = field(default_factory=dict)
    found: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    @property
    def rows(self) -> int:
        return len(self.at)

    def since(self, day: date) -> LiveRows:
        """The rows from that day on, without categories."""
        chosen = self.at >= int(midnight(day).timestamp()) * 1_000_000
        return LiveRows(features=self.features[chosen], at=self.at[chosen],
                        scores=self.scores[chosen])


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceColumn:
    """bins: how it is counted; span: days that a moving column's rows are ranked among, 0 of
    others; index: in the dense features, None of a category of events or of scores; since: the
    microsecond before which rows do not count"""

    bins: Bins
    yardstick: Yardstick
    index: int | None = None
    span: int = 0
    since: int | None = None

    def count(self, name: str, today: LiveRows, before: LiveRows, day: int) -> Counts:
        """(B,) of a day's rows. before: rows of the days before it, as many as `span` says."""
        if isinstance(self.bins, CategoryBins):
            if self.index is None:
                texts = today.categories.get(name)
                return self.bins.counted({} if texts is None else texts.counted())
            return self.bins.counted(counts_of(self._values(today)))
        assert isinstance(self.bins, NumberBins)
        if self.index is None:
            return self.bins.counted(today.scores[~np.isnan(today.scores)])
        values = self._values(today)
        if not self.span:
            return self.bins.counted(values)
        earlier = RankedDays.of(self._values(before), self._days(before))
        ranks = earlier.ranks(values, day, self.span)
        return self.bins.counted(np.empty(0) if ranks is None else ranks)

    def _values(self, rows: LiveRows) -> Vector:
        values: Vector = rows.features[:, self.index]
        return values if self.since is None else values[rows.at >= self.since]

    def _days(self, rows: LiveRows) -> Whole:
        at = rows.at if self.since is None else rows.at[rows.at >= self.since]
        return at // DAY_US


def columns_of(
    reference: Reference, policy: DriftPolicy, filled: Mapping[str, datetime] | None = None
) -> dict[str, ReferenceColumn]:
    """By name, in the model's order, then categories of events, then the score.

    filled: from when on a feature is whole, see `filled_from`. What has fewer than
    `policy.min_events` rows then is not judged.
    """
    columns = dict[str, ReferenceColumn]()
    day_N = numbered(reference.at, len(reference.dense))
    for index, name in enumerate(reference.names):
        values, at, days, since = reference.dense[:, index], reference.at, day_N, None
        if (whole := (filled or {}).get(name)) is not None and len(reference.at):
            since = int(whole.timestamp() * 1_000_000)
            values, at = values[reference.at >= since], reference.at[reference.at >= since]
            days = numbered(at)
            if len(values) < policy.min_events:
                continue
        if name in reference.coded:
            columns[name] = _category(Values.of_codes(values), days, policy, index, since)
        elif (
                made := _number(values, at, days, policy, index, since)) is not None:
            columns[name] = made
    for name, kept in reference.categories.items():
        columns[name] = _category(kept, day_N, policy, None, None)
    if len(reference.scores):
        days = numbered(reference.scores_at, len(reference.scores))
        bins = NumberBins.of(reference.scores)
        columns[SCORE] = ReferenceColumn(bins=bins, yardstick=Yardstick(
            days_DB=by_day(bins.places(reference.scores), len(bins.names), days), ordered=True,
            week=policy.window.days))
    return columns


def numbered(at: Whole, rows: int = 0) -> Whole:
    """The day (n,) of each instant, from 0 on; one for all if there are no instants."""
    if not len(at):
        return np.zeros(rows, np.int64)
    return np.unique(at // DAY_US, return_inverse=True)[1].astype(np.int64)


def _number(
    values: Vector, at: Whole, days: Whole, policy: DriftPolicy, index: int, since: int | None,
) -> ReferenceColumn | None:
    """None if it moves by itself, and the reference is too short to say how.

    at: when each row happened; days: the same as `numbered` has it
    """
    bins, week = NumberBins.of(values), policy.window.days
    counts = by_day(bins.places(values), len(bins.names), days)
    yardstick = Yardstick(days_DB=counts, ordered=True, week=week)
    if not moves(yardstick, policy.effect):
        return ReferenceColumn(bins=bins, yardstick=yardstick, index=index, since=since)
    span = WINDOWS * week
    ranks, ranked = RankedDays.of(values, at // DAY_US).own_ranks(span)
    if len(ranks) < policy.min_events:
        return None
    bins = NumberBins.of(ranks)
    counts = by_day(bins.places(ranks), len(bins.names), np.unique(ranked, return_inverse=True)[1])
    return ReferenceColumn(
        bins=bins, index=index, since=since, span=span,
        yardstick=Yardstick(days_DB=counts, ordered=True, week=week))


def _category(
    values: Values, days: Whole, policy: DriftPolicy, index: int | None, since: int | None
) -> ReferenceColumn:
    bins = CategoryBins.of(values.counted())
    counts = by_day(bins.places(values.texts)[values.places], len(bins.names), days)
    return ReferenceColumn(bins=bins, index=index, since=since, yardstick=Yardstick(
        days_DB=counts, ordered=False, week=policy.window.days))


def filled_from(system: System, service: Service) -> dict[str, datetime]:
    """From when on each windowed feature looks at a whole window of history, by its name.

    What functions make of several features is whole once all of them are.
    """
    windows = {name: each.window for view in service.views for each in view.windowed.aggregates
               for name in each.columns}
    for derived in service.derived:
        read = [windows[name] for name in derived.features if name in windows]
        windows |= dict.fromkeys(derived.gives, max(read)) if read else {}
    start = midnight(system.calendar.first_day)
    return {name: start + timedelta(microseconds=window) for name, window in windows.items()}
