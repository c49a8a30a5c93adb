"""Whether what is derived of a row depends on that row alone, tried on some of many."""

from __future__ import annotations

import numpy as np

from ml_assets.core.errors import DeclarationError
from ml_assets.features.derived.computing import Columns, Deriving, Vectors, answered

TRIED = 16
"""Rows that are computed alone, to see whether they come out the same."""


class Alone:
    """Sees n rows go by in order, and computes TRIED of them alone, evenly spread.

    Each raises DeclarationError: `see`, if one comes out otherwise than among the rows beside it;
    `conclude`, if a function fails for all that were tried.
    """

    def __init__(self, deriving: Deriving, count: int) -> None:
        self._deriving = deriving
        self._tried: list[int] = np.unique(np.linspace(0, count - 1, TRIED).astype(int)).tolist() \
            if count and deriving else []
        self._rows: list[tuple[Vectors, Columns]] = []
        self._seen = 0

    def see(self, among: Vectors, columns: Columns) -> None:
        """The next rows. among: (n, F) what is read and what is derived of it; columns: at least
        those of the event that are needed
        """
        read = len(self._deriving.places)
        for row in self._tried:
            at = row - self._seen
            if 0 <= at < len(among):
                mine = {name: columns[name][at : at + 1] for name in self._deriving.columns}
                self._rows.append((among[at : at + 1, :read], mine))
                self._compare(self._deriving(*self._rows[-1])[0], among[at])
        self._seen += len(among)

    def _compare(self, alone: Vectors, among: Vectors) -> None:
        differ = np.flatnonzero(alone.view(np.uint32) != among.view(np.uint32))
        for place in differ.tolist():
            if not (np.isnan(alone[place]) and np.isnan(among[place])):
                raise self._not_alone(place, float(alone[place]), float(among[place]))

    def conclude(self) -> None:
        """All rows have been seen."""
        for each, function in self._deriving.loaded if self._rows else ():
            faults: list[Exception] = []
            for vectors, columns in self._rows:
                try:
                    answered(each, function, self._deriving.read(each, vectors, columns), 1)
                except Exception as error:
                    faults.append(error)
            if len(faults) == len(self._rows):
                raise DeclarationError(
                    f"derived view {each.view!r}: {each.function} fails for each of "
                    f"{len(faults)} rows that were tried: {type(faults[0]).__name__}: {faults[0]}"
                ) from faults[0]

    def _not_alone(self, place: int, alone: float, among: float) -> DeclarationError:
        loaded = self._deriving.loaded
        names = [*self._deriving.places, *(name for each, _ in loaded for name in each.gives)]
        owner = next(each for each, _ in loaded if names[place] in each.gives)
        return DeclarationError(
            f"derived view {owner.view!r}: {names[place]!r} of a row is {alone!r} if "
            f"{owner.function} gets it alone and {among!r} among others; a prediction sees its "
            "own row only, so a feature may depend on nothing else"
        )


def require_alone(deriving: Deriving, vectors: Vectors, columns: Columns) -> None:
    """The same of rows that are all there. vectors: what is read"""
    alone = Alone(deriving, len(vectors))
    alone.see(deriving(vectors, columns), columns)
    alone.conclude()
