"""A column as counts of bins: what every statistic of drift reads, day by day.

Numbers fall into the tenths of their reference and two bins outside it, categories into their
frequent values; missing values have a bin of their own. A day of a column is then a dozen counts,
whatever its traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml_assets.core.target import Floats, Whole

Vector = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int64]

TENTHS = 10
"""Quantile bins, the usual choice for the stability index."""
MOST_VALUES = 20
LEAST_SHARE = 0.005
"""A category's values that count by themselves: so many, each with such a share of the reference.
"""
OTHERS = "others"
MISSING = "missing"


class Bins(Protocol):
    """How a column is counted; the last of its B bins is for missing values."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the B bins, for people."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether all bins but the last are in the order of their values."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberBins:
    """`(-inf, e0], (e0, e1], ..., (ek, inf)`, then NaN.

    The first edge lies just below the least value of the reference, so the two outer bins are empty
    in it and hold what it never saw. A column of one value c has the bins below, at and above c;
    one without any value has a single bin beside the missing.
    """

    edges: Floats
    ordered: bool = True

    @classmethod
    def of(cls, reference: Vector) -> NumberBins:
        """reference: (n,), NaN is missing"""
        values = reference[~np.isnan(reference)]
        if not len(values):
            return cls(edges=np.empty(0))
        wanted = np.floor(np.linspace(0, 1, TENTHS + 1) * (len(values) - 1)).astype(int)
        quantiles = np.partition(values, wanted)[wanted].astype(np.float64)
        return cls(edges=np.concatenate([
            [np.nextafter(quantiles[0], -np.inf)], np.unique(quantiles)]))

    @property
    def names(self) -> tuple[str, ...]:
        if not len(self.edges):
            return ("any", MISSING)
        inner = [f"up to {edge:.4g}" for edge in self.edges[1:]]
        return (f"below {self.edges[1]:.4g}", *inner, f"above {self.edges[-1]:.4g}", MISSING)

    def places(self, values: Vector) -> Whole:
        """The bin (n,) of each value."""
        # An edge that the values' own type cannot hold lies between two that it can.
        edges = self.edges.astype(values.dtype)
        edges = np.where(edges > self.edges, np.nextafter(edges, values.dtype.type(-np.inf)), edges)
        found: Whole = np.searchsorted(edges, values, side="left").astype(np.int64)
        found[np.isnan(values)] = len(self.edges) + 1
        return found

    def counted(self, values: Vector) -> Counts:
        """(B,) how many values lie in each bin."""
        return np.bincount(self.places(values), minlength=len(self.edges) + 2).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class CategoryBins:
    """The values that are frequent in the reference, then all others, then the missing ("")."""

    values: tuple[str, ...]
    ordered: bool = False

    @classmethod
    def of(cls, reference: Mapping[str, int]) -> CategoryBins:
        """reference: how often each value occurs"""
        least = LEAST_SHARE * sum(reference.values())
        often = sorted(((-count, value) for value, count in reference.items()
                        if value and count >= least))
        return cls(values=tuple(value for _, value in often[:MOST_VALUES]))

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.values, OTHERS, MISSING)

    def places(self, texts: Sequence[str]) -> Whole:
        """The bin of each of these values."""
        known = {value: place for place, value in enumerate(self.values)} | {
            "": len(self.values) + 1}
        return np.array([known.get(text, len(self.values)) for text in texts], np.int64)

    def counted(self, counts: Mapping[str, int]) -> Counts:
        """(B,) of how often each value occurs."""
        known = [counts.get(value, 0) for value in self.values]
        missing = counts.get("", 0)
        return np.array([*known, sum(counts.values()) - sum(known) - missing, missing], np.int64)


def by_day(places: Whole, width: int, day_N: Whole) -> Counts:
    """(D, width) how many rows of each day are in each bin.

    places: the bin (n,) of each row; day_N: its day (n,), from 0 on, none of them without rows
    """
    days = int(day_N.max()) + 1 if len(day_N) else 0
    flat = np.bincount(day_N * width + places, minlength=days * width)
    return flat.reshape(-1, width).astype(np.int64)


def counts_of(values: Vector) -> dict[str, int]:
    """How often each code (n,) occurs; NaN is missing, which is ""."""
    found, times = np.unique(values[~np.isnan(values)], return_counts=True)
    counts = {f"{value:.10g}": int(count) for value, count in zip(found, times, strict=True)}
    missing = int(np.isnan(values).sum())
    return {**counts, "": missing} if missing else counts


def stability_index(reference_B: npt.ArrayLike, current_B: npt.ArrayLike) -> float:
    """The population stability index, the sum of (q - p) ln(q / p) over bins, less what chance
    alone makes of so few rows; 0 if that leaves nothing.

    Half an observation is added to every bin, so an empty one stays finite. If nothing has changed
    the sum is (1/n + 1/m) times a chi-square variable of as many degrees as there are bins but one.
    Source: Siddiqi, Credit Risk Scorecards (2006); Yurdakul, Statistical Properties of the
    Population Stability Index (2018).
    """
    counts = np.array([reference_B, current_B], dtype=np.float64)
    counts = counts[:, counts.sum(axis=0) > 0]
    rows = counts.sum(axis=1)
    if counts.shape[1] < 2 or not rows.all():
        return 0.0
    p, q = (counts + 0.5) / (rows[:, None] + 0.5 * counts.shape[1])
    chance = (counts.shape[1] - 1) * float((1 / rows).sum())
    index = float(np.sum((q - p) * np.log(q / p))) - chance
    return index if index > 0 else 0.0
