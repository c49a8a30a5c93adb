"""A champion's reign of made rows, judged day by day by the product's own watch.

A frame has numbers of several shapes, some of them with missing values, yes-or-no columns, codes of
categories, and beside these, if asked for, what moves by construction: counters of a lifetime, the
day of the year, the weekday.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from ml_assets.core.policies import DriftPolicy
from ml_assets.core.time import DAY, midnight
from ml_assets.monitoring.drift.columns import DAY_US, LiveRows
from ml_assets.monitoring.drift.reference import Reference
from ml_assets.monitoring.drift.watch import Watch
from ml_assets.monitoring.drift_report import DriftReport

START = date(2024, 3, 4)
"""The first live day."""
Floats32 = npt.NDArray[np.float32]
Shift = Callable[[Floats32, np.random.Generator], None]
"""Changes the rows (n, D) of a live day, in place."""


def _normal(g: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    return g.normal(size=n)


def _gappy(g: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    return np.where(g.random(n) < 0.1, np.nan, g.normal(size=n))


COLUMNS: Mapping[str, Callable[[np.random.Generator, int], npt.NDArray[np.float64]]] = {
    **{f"normal_{place}": _normal for place in range(8)},
    **{f"amount_{place}": lambda g, n: g.lognormal(3, 1, size=n) for place in range(4)},
    **{f"count_{place}": lambda g, n: g.poisson(0.7, size=n).astype(float) for place in range(4)},
    **{f"gappy_{place}": _gappy for place in range(4)},
    **{f"yes_{place}": lambda g, n: (g.random(n) < 0.2).astype(float) for place in range(4)},
    **{f"kind_{place}": lambda g, n: g.choice(6, n, p=[.4, .3, .15, .1, .04, .01]).astype(float)
       for place in range(4)},
    "rare": lambda g, n: (g.random(n) < 0.002).astype(float),
    "constant": lambda g, n: np.zeros(n),
}
NAMES = tuple(COLUMNS)
CODED = frozenset(name for name in NAMES if name.startswith("kind"))
BY_CONSTRUCTION = ("lifetime", "day_of_year", "month", "weekday", "hour")


@dataclass(frozen=True, kw_only=True)
class World:
    """per_day: answers of a live day; learnt: rows of the reference, of `days` days before going
    live; grows: whether the columns `BY_CONSTRUCTION` are there too; noisy: standard deviation of
    what moves all rows of a day in the first number; together: whether a classifier is asked"""

    per_day: int
    learnt: int
    days: int = 45
    grows: bool = False
    noisy: float = 0.0
    policy: DriftPolicy = field(default_factory=DriftPolicy)
    together: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES + (BY_CONSTRUCTION if self.grows else ())

    def rows(
        self, g: np.random.Generator, day: date, count: int
    ) -> tuple[Floats32, npt.NDArray[np.int64]]:
        """(n, D) of a day, and when they happened, in microseconds since 1970."""
        seconds = np.sort(g.random(count)) * 86_400
        columns = [draw(g, count) for draw in COLUMNS.values()]
        columns[0] = columns[0] + self.noisy * g.normal()
        if self.grows:
            age = (day - START).days + 120.0
            columns += [g.poisson(g.gamma(2.0, 0.5, count) * age).astype(float),
                        np.full(count, float(day.timetuple().tm_yday)),
                        np.full(count, float(day.month)), np.full(count, float(day.weekday())),
                        np.floor(seconds / 3600)]
        at = int(midnight(day).timestamp()) * 1_000_000 + (seconds * 1e6).astype(np.int64)
        return np.column_stack(columns).astype(np.float32), at


def reign(
    world: World, days: int, seed: int, *, shift: Shift | None = None, begins: int = 10
) -> tuple[int, DriftReport] | None:
    """The live day, counted from 1, on which drift is first confirmed, and its report; None if it
    never is. From day `begins` on, `shift` changes the rows."""
    g = np.random.default_rng(seed)
    each = world.learnt // world.days
    learnt = [world.rows(g, START - (world.days - number) * DAY, each)
              for number in range(world.days)]
    reference = Reference(
        training_set="made", names=world.names, coded=CODED, scores=g.beta(2, 5, 400),
        dense=np.vstack([rows for rows, _ in learnt]), at=np.concatenate([at for _, at in learnt]),
        scores_at=np.repeat(learnt[-8][1][0] + np.arange(8) * DAY_US, 50))
    live = []
    for number in range(days):
        rows, at = world.rows(g, START + number * DAY, world.per_day)
        if shift is not None and number >= begins:
            shift(rows, g)
        live.append(LiveRows(features=rows, at=at, scores=g.beta(2, 5, world.per_day)))

    def read(start: date, end: date, most: int | None = None) -> LiveRows:
        chosen = live[max(0, (start - START).days):(end - START).days]
        if not chosen or (most is not None and not world.together and not world.grows):
            return LiveRows(features=np.empty((0, len(world.names)), np.float32),
                            at=np.empty(0, np.int64), scores=np.empty(0))
        return LiveRows(features=np.vstack([one.features for one in chosen]),
                        at=np.concatenate([one.at for one in chosen]),
                        scores=np.concatenate([one.scores for one in chosen]))

    watch = Watch(world.policy, reference, 1, read, first=START, live_since=START)
    report: DriftReport | None = None
    for number in range(days):
        _, report = watch.judge(START + timedelta(days=number), report)
        if report.confirmed:
            return number + 1, report
    return None
