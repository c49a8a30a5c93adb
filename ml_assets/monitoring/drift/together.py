"""Whether all columns together have changed: can a classifier tell live rows from the reference?

A change of how columns hang together, such as a correlation, shows in none of them alone. A linear
classifier of their ranks, of these squared and of each pair's product learns to tell the rows of
the window before a day from half of the reference, and is asked on the day itself, about the day's
rows and the other half: what it learnt from and what it is asked about never meet. Its answers are
one more column, with the tests of all others (Lopez-Paz and Oquab, "Revisiting classifier
two-sample tests", ICLR 2017; Pandeva et al., "E-valuating classifier two-sample tests", 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.target import Floats, Whole
from ml_assets.evaluation.comparison import Estimate
from ml_assets.evaluation.intervals import of_share
from ml_assets.monitoring.drift.bins import TENTHS, Counts, NumberBins, by_day
from ml_assets.monitoring.drift.columns import LiveRows, ReferenceColumn, numbered
from ml_assets.monitoring.drift.reference import Reference

TOGETHER = "all columns together"
"""The column that stands for multivariate drift; no feature can have this name."""
ROWS = 4_000
"""Rows of either sample that a classifier learns from, or is asked about, at most."""
PAIRED = 40
"""Columns whose pairs are looked at, at most: the first ones."""
PENALTY = 30.0
"""Ridge, in rows: so many say nothing against no difference."""
LIKE_DAYS = 0.1
"""The largest variance of a column's mean between days, in that of a row: of others the classifier
would learn what the days of one window were like."""
NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Apart:
    """How well live rows of a day are told from the reference.

    auc: the chance that a live row looks more like one than a row of the reference does, on rows
        that the classifier never saw; .5 if they are alike. tells: what tells them apart, the most
        telling first.
    """

    auc: Estimate
    tells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """reference_DB: the unseen half of the reference by day, counted by the classifier's answers;
    today_B: the day's rows; values: of both, for the AUC"""

    reference_DB: Counts
    today_B: Counts
    apart: Apart


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """weights_F: of the standardised inputs; names: of the F inputs"""

    columns: Mapping[str, ReferenceColumn]
    mean_F: Floats
    deviation_F: Floats
    weights_F: Floats
    names: tuple[str, ...]

    @classmethod
    def learnt(
        cls, columns: Mapping[str, ReferenceColumn], reference_ND: npt.NDArray[np.float32],
        live_ND: npt.NDArray[np.float32],
    ) -> Classifier:
        """Least squares with a ridge, which is Fisher's discriminant: closed form, and as good as a
        logistic regression in telling two samples apart."""
        rows = np.vstack([reference_ND, live_ND])
        inputs_NF, names = _inputs(columns, rows)
        label_N = np.r_[np.full(len(reference_ND), -1.0), np.ones(len(live_ND))]
        weight_N = np.r_[np.full(len(reference_ND), 0.5 / len(reference_ND)),
                         np.full(len(live_ND), 0.5 / len(live_ND))]
        mean_F = weight_N @ inputs_NF
        inputs_NF = inputs_NF - mean_F
        deviation_F = np.sqrt(np.maximum(weight_N @ inputs_NF**2, 1e-12))
        inputs_NF /= deviation_F
        weighted_NF = inputs_NF * weight_N[:, None]
        squares_FF = weighted_NF.T @ inputs_NF
        squares_FF[np.diag_indices_from(squares_FF)] += PENALTY / min(
            len(reference_ND), len(live_ND))
        return cls(columns=columns, mean_F=mean_F, deviation_F=deviation_F, names=names,
                   weights_F=np.linalg.solve(squares_FF, weighted_NF.T @ label_N))

    def answers(self, rows_ND: npt.NDArray[np.float32]) -> Floats:
        """How much each row (n,) looks like a live one."""
        inputs_NF, _ = _inputs(self.columns, rows_ND)
        return np.asarray(((inputs_NF - self.mean_F) / self.deviation_F) @ self.weights_F)

    def tells(
        self, reference_ND: npt.NDArray[np.float32], live_ND: npt.NDArray[np.float32]
    ) -> tuple[str, ...]:
        """The inputs that contribute most to the difference of the mean answers, on these rows."""
        then_F, now_F = (_inputs(self.columns, rows)[0].mean(axis=0)
                         for rows in (reference_ND, live_ND))
        part_F = self.weights_F * (now_F - then_F) / self.deviation_F
        best = np.argsort(-part_F)[:NAMED]
        whole = float(part_F[part_F > 0].sum())
        return tuple(f"{self.names[index]} ({part_F[index] / whole:.0%})" for index in best
                     if whole > 0 and part_F[index] > 0)


def _inputs(
    columns: Mapping[str, ReferenceColumn], rows_ND: npt.NDArray[np.float32]
) -> tuple[Floats, tuple[str, ...]]:
    """(n, F) ranks by the reference, their squares, what is missing, and products of pairs."""
    parts, names, ranks = list[Floats](), list[str](), list[Floats]()
    for name, column in columns.items():
        bins, scores_JB = column.bins, column.yardstick.scores_JB
        assert isinstance(bins, NumberBins)
        places_N = bins.places(rows_ND[:, column.index])
        for index, what in enumerate(("", " (spread)")[:len(scores_JB)]):
            parts.append(scores_JB[index][places_N])
            names.append(f"{name}{what}")
        if len(scores_JB):
            ranks.append(parts[-min(2, len(scores_JB))])
        missing_N = (places_N == len(bins.edges) + 1).astype(np.float64)
        parts.append(missing_N)
        names.append(f"{name} (missing)")
    paired = [name for name, column in columns.items() if len(column.yardstick.scores_JB)][:PAIRED]
    for one in range(len(paired)):
        for other in range(one):
            parts.append(ranks[one] * ranks[other])
            names.append(f"{paired[other]} with {paired[one]}")
    return np.column_stack(parts) if parts else np.empty((len(rows_ND), 0)), tuple(names)


def told(
    columns: Mapping[str, ReferenceColumn], reference: Reference, today: LiveRows,
    before: LiveRows, *, least: int,
) -> Told | None:
    """What a classifier of the rows `before` a day says of the day's; None of too few rows.

    Columns that move by themselves, differ from day to day or are categories are left out, and so
    are rows from before a column was whole.
    """
    chosen = {name: column for name, column in columns.items()
              if column.index is not None and not column.span and column.bins.ordered
              and column.yardstick.between_days[:1].max(initial=0.0) < LIKE_DAYS}
    since = max((column.since or 0 for column in chosen.values()), default=0)
    rows_N = np.arange(len(reference.dense))
    if len(reference.at):
        rows_N = rows_N[reference.at >= since]
    learn, ask = rows_N[::2], rows_N[1::2]
    if len(chosen) < 2 or min(len(learn), before.rows) < least or not today.rows:
        return None
    classifier = Classifier.learnt(
        chosen, reference.dense[_spread(learn)], before.features[_spread(np.arange(before.rows))])
    ask = _spread(ask)
    asked_ND, today_ND = reference.dense[ask], today.features[_spread(np.arange(today.rows))]
    then, now = classifier.answers(asked_ND), classifier.answers(today_ND)
    bins = NumberBins.of(then)
    counts = (_whole(by_day(bins.places(then), len(bins.names), numbered(
        reference.at[ask] if len(reference.at) else reference.at, len(ask)))),
        _whole(bins.counted(now)[None, :])[0])
    auc, low, high = area(then, now)
    return Told(reference_DB=counts[0], today_B=counts[1], apart=Apart(
        auc=Estimate(value=auc, low=low, high=high),
        tells=classifier.tells(asked_ND, today_ND)))


def _whole(counts_DB: Counts) -> Counts:
    """Of each day's classifier as many bins: the least value, ten, two outer ones, the missing."""
    width = TENTHS + 4
    lacking = width - counts_DB.shape[1]
    return np.hstack([counts_DB[:, :-2], np.zeros((len(counts_DB), lacking), np.int64),
                      counts_DB[:, -2:]])


def _spread(rows_N: Whole) -> Whole:
    """At most `ROWS` of them, evenly spread."""
    return rows_N[:: max(1, -(-len(rows_N) // ROWS))]


def area(then: Floats, now: Floats) -> tuple[float, float, float]:
    """The AUC with its 95% interval, by placements (DeLong)."""
    ordered, other = np.sort(then), np.sort(now)
    above = (np.searchsorted(ordered, now, "left") + np.searchsorted(ordered, now, "right")) / (
        2 * len(then))
    below = 1 - (np.searchsorted(other, then, "left") + np.searchsorted(other, then, "right")) / (
        2 * len(now))
    value = float(above.mean())
    low, high = of_share(value, [above, below], trials=min(len(then), len(now)))
    return value, low, high


