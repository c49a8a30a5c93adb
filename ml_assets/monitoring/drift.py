"""How far a sample is from its reference, column by column.

A column drifts if the change is large (population stability index) *and* cannot be chance
(Kolmogorov-Smirnov for numbers, chi-square for categories, false-discovery rate controlled over the
columns by Benjamini-Hochberg). Effect alone alarms on small samples, significance alone on large
ones.

Missing values (NaN) are a value of their own, below all others, so a feature that goes
missing drifts. Nothing here depends on the order of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from ml_assets.core.policies import DriftPolicy

Vector = npt.NDArray[np.floating]

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
BINS = 10
"""Quantile bins of the reference, the usual choice for the index."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """How far two samples of a column are apart, see `ColumnDrift`; `distance` is its `ks`."""

    psi: float
    distance: float
    p_value: float
    reference_missing: float
    missing: float


class Samples(Protocol):
    """One column, in the reference and now."""

    def change(self) -> Change:
        """How far the two are apart, and with what chance if nothing changed."""
        ...


@dataclass(frozen=True, kw_only=True)
class ColumnSamples:
    """Numbers: `reference` (n,) and `current` (m,), n and m at least 1; NaN is missing."""

    reference: Vector
    current: Vector

    def change(self) -> Change:
        before, now = Ordered.of(self.reference), Ordered.of(self.current)
        distance = _distance(before, now)
        return Change(
            psi=_index(before, now), distance=distance,
            p_value=ks_p_value(distance, before.rows, now.rows),
            reference_missing=before.missing / before.rows, missing=now.missing / now.rows,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Ordered:
    """A sample, sorted once for all that is asked of it. missing: how many are NaN."""

    values: npt.NDArray[np.float64]
    missing: int

    @classmethod
    def of(cls, sample: Vector) -> Ordered:
        ordered = np.sort(sample)  # NaN comes last
        present = int(np.searchsorted(ordered, np.nan, side="left"))
        return cls(values=ordered[:present].astype(np.float64), missing=len(ordered) - present)

    @property
    def rows(self) -> int:
        return len(self.values) + self.missing


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """One column against its reference on a day.

    psi: population stability index, 0 if equal; 0.1 is called small, 0.25 large.
    ks: the largest difference of the two distribution functions, or of the shares of a category's
        values, in [0, 1].
    p_value: of the difference, if both were drawn from one distribution; conservative under ties.
    reference_missing, missing: shares of missing values, in the reference and now.
    drifted: large and significant, by the system's policy.
    days: on how many days in a row it has drifted, this one included.
    confirmed_on: the day on which these became enough; None if they are not.
    """

    name: str
    psi: float
    ks: float
    p_value: float
    reference_missing: float
    missing: float
    drifted: bool
    days: int = 0
    confirmed_on: date | None = None


def compare(columns: Mapping[str, Samples], policy: DriftPolicy) -> tuple[ColumnDrift, ...]:
    """Judge every column by `policy`, in their order; `days` is left at 0."""
    changes = {name: samples.change() for name, samples in columns.items()}
    p_values = np.array([change.p_value for change in changes.values()])
    significant = discoveries(p_values, policy.false_discovery_rate)
    return tuple(
        ColumnDrift(
            name=name, psi=change.psi, ks=change.distance, p_value=change.p_value,
            drifted=change.psi >= policy.effect and bool(significant[index]),
            reference_missing=change.reference_missing, missing=change.missing,
        )
        for index, (name, change) in enumerate(changes.items())
    )


def bin_edges(reference: Ordered) -> npt.NDArray[np.float64]:
    """Edges of the quantile bins of a column: `(-inf, e0], (e0, e1], ..., (ek, inf)`.

    The first edge lies just below the least value, so the two outer bins are empty in the
    reference and hold what it never saw. A column of one value c has the bins below, at and
    above c; one without any value has a single bin.
    """
    count = len(reference.values)
    if not count:
        return np.empty(0)
    quantiles = reference.values[np.floor(np.linspace(0, 1, BINS + 1) * (count - 1)).astype(int)]
    return np.concatenate([[np.nextafter(quantiles[0], -np.inf)], np.unique(quantiles)])


def bin_counts(sample: Ordered, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """(len(edges) + 2,) how many values lie in each bin; the last counts NaN."""
    below = np.searchsorted(sample.values, edges, side="right")
    return np.concatenate([np.diff(below, prepend=0), [len(sample.values) - (
        below[-1] if len(below) else 0), sample.missing]])


def stability_index(reference: Vector, current: Vector) -> float:
    """The population stability index over the quantile bins of the reference."""
    return _index(Ordered.of(reference), Ordered.of(current))


def _index(before: Ordered, now: Ordered) -> float:
    edges = bin_edges(before)
    return index_of_counts(bin_counts(before, edges), bin_counts(now, edges))


def index_of_counts(reference_K: npt.ArrayLike, current_K: npt.ArrayLike) -> float:
    """The population stability index: the sum of (q - p) ln(q / p) over K bins.

    Half an observation is added to every bin, so an empty one stays finite. If nothing
    has changed, its mean is about K * (1/n + 1/m): read it beside the p-value.
    Source: Siddiqi, Credit Risk Scorecards (2006); Yurdakul (2018) for its distribution.
    """
    p, q = (
        (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
        for counts in (np.asarray(reference_K), np.asarray(current_K))
    )
    return float(np.sum((q - p) * np.log(q / p)))


def ks_statistic(reference: Vector, current: Vector) -> float:
    """The largest distance between the two empirical distribution functions."""
    return _distance(Ordered.of(reference), Ordered.of(current))


def _distance(before: Ordered, now: Ordered) -> float:
    """Missing values come below all others. Between two values of one sample its function is level
    and the other's rises, so they differ most at or just before a value of either."""
    apart = [abs(before.missing / before.rows - now.missing / now.rows)]
    if len(now.values) and len(before.values):
        for side in ("left", "right"):
            then = before.missing + np.searchsorted(before.values, now.values, side=side)
            since = now.missing + (np.arange(len(now.values)) + (side == "right"))
            # Of equal values the first has all below it, the last all up to it.
            differs = np.diff(now.values) != 0
            ends = np.flatnonzero(np.append(differs, True) if side == "right"
                                  else np.insert(differs, 0, True))
            apart.append(float(np.abs(then[ends] / before.rows - since[ends] / now.rows).max()))
    return max(apart)


EXACT = 1_000
"""Rows of both samples together up to which the chance is counted; beyond, the series is within a
tenth of it where decisions fall (0.001 to 0.1)."""


def ks_p_value(statistic: float, n: int, m: int) -> float:
    """The chance of a distance at least as large, if nothing changed.

    Of small samples it is counted: of all orders of their rows, those that keep closer. Else it is
    Kolmogorov's series with Stephens' correction. Sources: Hodges, Arkiv for Matematik 3 (1958);
    Stephens, J. R. Stat. Soc. B 32 (1970); Numerical Recipes, 3rd ed., 14.3.3.
    """
    if n + m <= EXACT:
        return _counted(statistic, n, m)
    size = np.sqrt(n * m / (n + m))
    x = statistic * (size + 0.12 + 0.11 / size)
    if x < 0.2:
        return 1.0  # to twelve digits; the series converges too slowly here
    k = np.arange(1, 101)
    series = 2 * np.sum((-1.0) ** (k - 1) * np.exp(-2.0 * (x * k) ** 2))
    return float(np.clip(series, 0.0, 1.0))


def _counted(statistic: float, n: int, m: int) -> float:
    """The share of the paths from (0, 0) to (n, m) that leave the band |i/n - j/m| < statistic."""
    reach = int(np.floor(statistic * n * m + 0.5))  # a whole number, but for rounding
    if reach <= 0:
        return 1.0
    places = np.arange(m + 1) * n
    paths = (places < reach).astype(np.float64)  # along i = 0
    for i in range(1, n + 1):
        outside = np.abs(places - i * m) >= reach
        paths[outside] = 0.0
        paths = np.cumsum(paths) * (i / (i + m))  # of all paths, so that nothing overflows
        paths[outside] = 0.0
    return float(np.clip(1.0 - paths[m], 0.0, 1.0))


def discoveries(p_values: Vector, rate: float) -> npt.NDArray[np.bool_]:
    """(F,) which are significant, with a false-discovery rate of at most `rate`.

    If nothing has changed at all, `rate` bounds the chance of any alarm.
    Source: Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995).
    """
    count = len(p_values)
    ordered = np.sort(p_values)
    below = np.flatnonzero(ordered <= rate * np.arange(1, count + 1) / max(count, 1))
    return np.asarray(p_values <= (ordered[below[-1]] if len(below) else -1.0), dtype=bool)
