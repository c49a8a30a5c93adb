"""Categories as rows of tables: values of the event, which are texts, and features that are codes.

Row 0 is for whatever is missing, rare or new.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.codes import codes_of
from ml_assets.core.errors import ModelRefused
from ml_assets.training.encoding.columns import FEWEST, MOST

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class CodeCounts:
    """How often each code occurs, added up a block of rows at a time.

    values: (K,) ascending; times: (K,)
    """

    def __init__(self) -> None:
        self.values, self.times = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, codes: npt.NDArray[np.floating]) -> None:
        """Codes of any shape, NaN where there is none."""
        found, times = np.unique(codes[np.isfinite(codes)].astype(np.int64), return_counts=True)
        if len(self.values):
            both = np.concatenate([self.times, times])
            found, row = np.unique(np.concatenate([self.values, found]), return_inverse=True)
            times = np.zeros(len(found), np.int64)
            np.add.at(times, row, both)
        self.values, self.times = found, times


@dataclass(frozen=True, kw_only=True)
class Codebook:
    """Which row a code has: known ones by their order, or all of them hashed.

    Values that are texts are looked up by their codes, so that a text and a feature that is its
    code have the same row.

    known: (K,) int64, the code of each row from 1 on; buckets: None, or how many rows codes are
    hashed into, and no code is known
    """

    known: Ids
    buckets: int | None = None

    @classmethod
    def fit(cls, codes: npt.NDArray[np.floating]) -> Codebook:
        """Learn from codes of any shape, NaN where there is none."""
        counts = CodeCounts()
        counts.add(codes)
        return cls.of(counts)

    @classmethod
    def of(cls, counts: CodeCounts) -> Codebook:
        """The codes that occur often enough to be learnt from."""
        often = counts.times >= FEWEST
        values, times = counts.values[often], counts.times[often]
        most = np.argsort(-times, kind="stable")[:MOST]
        return cls(known=np.sort(values[most]))

    @classmethod
    def hashed(cls, buckets: int) -> Codebook:
        """Of any codes: there is nothing to learn."""
        return cls(known=np.empty(0, np.int64), buckets=buckets)

    @property
    def size(self) -> int:
        """Rows, row 0 included."""
        return 1 + (len(self.known) if self.buckets is None else self.buckets)

    def of_codes(self, codes: npt.NDArray[np.floating]) -> Ids:
        """The rows of codes, in their shape."""
        there = np.isfinite(codes)
        whole = np.where(there, codes, 0).astype(np.int64)
        if self.buckets is not None:
            return np.where(there, 1 + whole % self.buckets, 0)
        if not len(self.known):
            return np.zeros(codes.shape, np.int64)
        ascending, rows = self._ascending
        place = np.minimum(np.searchsorted(ascending, whole), len(ascending) - 1)
        return np.where(there & (ascending[place] == whole),
                        1 + (place if rows is None else rows[place]), 0)

    @cached_property
    def _ascending(self) -> tuple[Ids, Ids | None]:
        """The codes in order, and at which place of `known` each is, unless at the same."""
        if (np.diff(self.known) > 0).all():
            return self.known, None
        order = np.argsort(self.known)
        return self.known[order], order

    def extended(self, other: Codebook) -> Codebook:
        """With rows of their own for the codes that only the other knows.

        Raises ModelRefused if the two hash otherwise, or if there would be too many rows.
        """
        if self.buckets != other.buckets:
            raise ModelRefused(f"has {_said(self)}, now {_said(other)}")
        known = np.concatenate([self.known, np.setdiff1d(other.known, self.known)])
        if len(known) > MOST:
            raise ModelRefused(f"would have {len(known):,} known values, which is more than "
                               f"{MOST:,}")
        return Codebook(known=known, buckets=self.buckets)


def _said(book: Codebook) -> str:
    return "rows of known values" if book.buckets is None else f"{book.buckets} buckets"


def text_codes(texts: Sequence[str | None]) -> npt.NDArray[np.float64]:
    """(B,) the codes of B texts, NaN where a text is missing or empty."""
    return codes_of([text or None for text in texts])


def id_codes(texts: Sequence[str | None]) -> npt.NDArray[np.float64]:
    """(B,) the codes of B ids, which are whole numbers, written out: the ids themselves, as in
    features; NaN where one is missing, or is no number.
    """
    return np.array([_number(text) for text in texts])


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def books_of(
    buckets: Mapping[str, int | None], prefix: str, tensors: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Codebook]:
    """Those that were stored under these names. Raises ModelRefused if one is not there."""
    books = {}
    for name, count in buckets.items():
        known = tensors.get(f"{prefix}{name}")
        if known is None or known.dtype != np.int64 or known.ndim != 1:
            raise ModelRefused(f"tensor {prefix + name!r} is missing, or no list of int64")
        if len(np.unique(known)) < len(known):
            raise ModelRefused(f"tensor {prefix + name!r} holds a number twice")
        books[name] = Codebook(known=known, buckets=count)
    return books
