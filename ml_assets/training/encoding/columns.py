"""Numbers and categories as inputs of a network: standardised, cut into pieces, looked up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

FEWEST, MOST = 5, 2**14
"""A category is known from so many training rows on; the most frequent so many are."""
NARROWEST, FURTHEST = 1e-30, 1e30
"""Pieces that are narrower are none, and none lies further out, so that nothing overflows."""


@dataclass(frozen=True, kw_only=True)
class Standardiser:
    """Signed logarithms brought to mean 0 and deviation 1; a missing value becomes 0.

    Each column gives two inputs: its value and whether it was missing. (D,) -> (2D,)
    """

    mean: Floats
    deviation: Floats

    @classmethod
    def fit(cls, dense: Floats) -> Standardiser:
        """Learn from (B, D); a column without values or without spread stays harmless."""
        logs = _signed_log(dense)
        present = np.isfinite(logs)
        count = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, logs, 0).sum(axis=0) / count
        variance = np.where(present, (logs - mean) ** 2, 0).sum(axis=0) / count
        deviation = np.where(variance > 1e-12, np.sqrt(variance), 1.0)
        return cls(mean=mean.astype(np.float32), deviation=deviation.astype(np.float32))

    def __call__(self, dense: Floats) -> Floats:
        """(B, D) -> (B, 2D), clipped to 5 deviations; a row the same whatever the others are."""
        return np.concatenate(self.parts(dense), axis=1)

    def parts(self, dense: Floats) -> tuple[Floats, Floats]:
        """The same as two arrays (B, D)."""
        logs = _signed_log(dense)
        logs -= self.mean
        logs /= self.deviation
        missing = ~np.isfinite(logs)
        logs[missing] = 0
        np.minimum(np.maximum(logs, _LEAST, out=logs), _MOST, out=logs)
        return logs, missing.astype(np.float32)


_LEAST, _MOST = np.array(-5, np.float32), np.array(5, np.float32)
_ZERO, _ONE = np.array(0, np.float32), np.array(1, np.float32)


def _signed_log(dense: Floats) -> Floats:
    dense = np.ascontiguousarray(dense, dtype=np.float32)
    logs = np.abs(dense)
    return np.copysign(np.log1p(logs, out=logs), dense, out=logs)


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """How much of each of P equally filled pieces of its range a number has passed.

    A linear model of these is a broken line: it finds thresholds and peaks that a smooth
    function of the number misses (Gorishniy et al., "On Embeddings for Numerical Features in
    Tabular Deep Learning", 2022). (D,) -> (D * P,); of a missing number all are 0.

    edges: (D, P + 1), ascending; a piece without width is always 0
    """

    edges: Floats

    @classmethod
    def fit(cls, dense: Floats, count: int) -> Pieces:
        """Learn from (B, D); a column with fewer different values has fewer pieces."""
        edges = np.zeros((dense.shape[1], count + 1), np.float32)
        for column, values in zip(edges, dense.T, strict=True):
            present = np.clip(values[np.isfinite(values)], -FURTHEST, FURTHEST)
            if len(present) and count:
                found = np.unique(np.quantile(present, np.linspace(0, 1, count + 1)))
                column[:] = found[-1]
                column[: len(found)] = found
        return cls(edges=edges)

    @cached_property
    def count(self) -> int:
        """Inputs that these make of a row."""
        columns, edges = self.edges.shape
        return int(columns * (edges - 1))

    @cached_property
    def _widths(self) -> Floats:
        return np.diff(self.edges, axis=1)

    @cached_property
    def _slopes(self) -> Floats:
        widths = self._widths
        return np.divide(1, widths, out=np.zeros_like(widths), where=widths > NARROWEST)

    def __call__(self, dense: Floats) -> Floats:
        """(B, D) -> (B, D * P), in [0, 1]; a row the same whatever the others are."""
        within = np.minimum(np.maximum(dense, self.edges[:, 0]), self.edges[:, -1])
        passed = within[:, :, None] - self.edges[:, :-1]
        np.minimum(np.maximum(passed, _ZERO, out=passed), self._widths, out=passed)
        passed *= self._slopes
        np.minimum(passed, _ONE, out=passed)
        passed[~np.isfinite(dense)] = 0
        return passed.reshape(len(dense), self.count)


@dataclass(frozen=True, kw_only=True)
class Vocabularies:
    """The values of category columns as the rows of tables, one table for each column.

    known: the values of each column, in order: they have the rows from 1 on, and whatever else
        there is (rare, new, missing) has row 0
    """

    known: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, names: Sequence[str], columns: Mapping[str, Sequence[str]]) -> Vocabularies:
        """Learn which values occur often enough to be learnt from; empty means missing."""
        known = {}
        for name in names:
            counts = Counter(columns[name])
            often = [(-times, value) for value, times in counts.items() if times >= FEWEST]
            known[name] = tuple(value for _, value in sorted(often)[:MOST])
        return cls(known=known)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many rows each table has."""
        return tuple(len(values) + 1 for values in self.known.values())

    @cached_property
    def _rows(self) -> dict[str, dict[str, int]]:
        return {name: {value: row for row, value in enumerate(values, start=1)}
                for name, values in self.known.items()}

    def __call__(
        self, columns: Mapping[str, Sequence[str]], *, rows: int
    ) -> npt.NDArray[np.int64]:
        """(B, C) the row of each of C columns' values in its table, of B rows."""
        found = np.zeros((rows, len(self.known)), np.int64)
        for place, (name, row_of) in enumerate(self._rows.items()):
            found[:, place] = [row_of.get(value, 0) for value in columns[name]]
        return found
