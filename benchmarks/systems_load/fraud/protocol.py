"""The handbook's protocol: train on a week, wait a week for what is true of it, judge on the next.

Cards that are known to be in a thief's hands are not judged: those with a fraud in the training
week, and before each day those with one up to eight days earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from benchmarks.systems_load.fraud.vectors import Vectors
from ml_assets.core.data.subjects import Subjects
from ml_assets.core.target import Floats, Whole
from ml_assets.targets import Binary, TopPrecision

WEEK = 7
MAIN = date(2018, 7, 25)
"""The first day of the week that is trained on."""
TESTS = (MAIN, date(2018, 8, 1), date(2018, 8, 8), date(2018, 8, 15))
VALIDATION = (date(2018, 6, 20), date(2018, 6, 27), date(2018, 7, 4), date(2018, 7, 11))
"""On these, which end before the first of `TESTS` is judged, everything was chosen."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """top: how many cards are looked at each day; weeks: trained on, one after the other"""

    customers: int
    terminals: int
    top: int
    weeks: tuple[date, ...]


FULL, QUICK = (Size(customers=5_000, terminals=10_000, top=100, weeks=TESTS),
               Size(customers=500, terminals=1_000, top=10, weeks=(MAIN,)))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """top: precision of the cards that are looked at"""

    roc_auc: float
    average_precision: float
    top: float

    @classmethod
    def mean(cls, each: Sequence[Figures]) -> Figures:
        return cls(**{name: float(np.mean([getattr(one, name) for one in each]))
                      for name in ("roc_auc", "average_precision", "top")})


def trained_on(rows: Vectors, week: date, days: int = WEEK) -> Whole:
    """The rows of the `days` that end with the training week."""
    first = np.datetime64(week) + WEEK - days
    return np.flatnonzero((rows.days >= first) & (rows.days < np.datetime64(week) + WEEK))


def judged(rows: Vectors, week: date) -> Whole:
    """The rows of the test week, without cards that are known to be stolen."""
    start = np.datetime64(week)
    known = rows.is_fraud & (rows.days >= start) & (rows.days < start + WEEK)
    stolen = set(rows.customer[known].tolist())
    parts = []
    for day in range(WEEK):
        found = rows.is_fraud & (rows.days == start + WEEK + day - 1)
        stolen |= set(rows.customer[found].tolist())
        today = np.flatnonzero(rows.days == start + 2 * WEEK + day)
        parts.append(today[~np.isin(rows.customer[today], list(stolen))])
    return np.concatenate(parts)


def measured(rows: Vectors, week: date, scores_N: Floats, size: Size) -> Figures:
    """Of the scores of the rows that are `judged`, by the metrics that the product has."""
    chosen = judged(rows, week)
    top = TopPrecision(by="customer", top=size.top, repeat="once")
    target = Binary(name="is_fraud", tops=(top,))
    subjects = Subjects.of(
        [str(row) for row in chosen], {"customer": rows.customer[chosen].tolist()},
        instants=rows.happened[chosen])
    found = target.measured(rows.is_fraud[chosen].astype(float), scores_N[:, None], subjects)
    values = found.measure(np.ones((1, len(chosen))))
    return Figures(roc_auc=float(values["roc_auc"][0]), top=float(values[top.name][0]),
                   average_precision=float(values["average_precision"][0]))
