"""Derived features of many rows: the one way for training, batches, serving and parity."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.data.columns import Dtype
from ml_assets.core.errors import DeclarationError
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.features.derived.declared import Arrays, Derived, Function

Vectors = npt.NDArray[np.float32]
Columns = Mapping[str, Any]
"""The event's columns of n rows: sequences, or pandas' Series."""

TRIED = 16
"""Rows that are computed alone, to see whether they come out the same."""
MOST_FAULTS = 1_000
"""Rows of one call that a function may fail for: of a broken one nobody tries each of a million."""

log = logging.getLogger(__name__)


class Deriving:
    """Appends the features of derived views to vectors.

    names: the F features that vectors have, in order
    columns: the event's columns that are needed, each once
    """

    def __init__(self, derived: Sequence[Derived], names: Sequence[str]) -> None:
        self.columns = tuple(dict.fromkeys(name for each in derived for name, _ in each.columns))
        self._places = {name: place for place, name in enumerate(names)}
        self._loaded = [(each, each.load()) for each in derived]
        self._lines = SparseLog()

    def __bool__(self) -> bool:
        """Whether there is anything to derive."""
        return bool(self._loaded)

    def __call__(self, vectors: Vectors, columns: Columns) -> Vectors:
        """(n, F) -> (n, F and what is derived); what is not finite has no value.

        A row that a function raises an error for has no value of what it gives, here as everywhere;
        the log says so. columns: at least `self.columns`. Raises DeclarationError if a function
        gives something else than a number for each row, or fails for MOST_FAULTS rows.
        """
        if not self:
            return vectors
        parts = [vectors]
        for each, function in self._loaded:
            rows = self._read(each, vectors, columns)
            parts.append(self._each_row(each, function, rows, len(vectors)))
        return np.hstack(parts)

    def _each_row(self, each: Derived, function: Function, rows: Arrays, count: int) -> Vectors:
        """(count, gives); whose fault an error is, is found by halves."""
        found = np.full((count, len(each.gives)), np.nan, np.float32)
        waiting, faults = [(0, count)], 0
        while waiting:
            start, end = waiting.pop()
            try:
                found[start:end] = _answered(
                    each, function, {name: values[start:end] for name, values in rows.items()},
                    end - start)
            except DeclarationError:
                raise
            except Exception as error:
                if end - start > 1:
                    waiting += [((start + end) // 2, end), (start, (start + end) // 2)]
                    continue
                faults += 1
                self._lines.say(log, logging.WARNING, (each.view, type(error)),
                                "derived view %s: %s fails for a row, which has no value of it: "
                                "%s: %s", each.view, each.function, type(error).__name__, error)
                if faults > MOST_FAULTS:
                    raise DeclarationError(
                        f"derived view {each.view!r}: {each.function} fails for more than "
                        f"{MOST_FAULTS} of {count} rows, here with {type(error).__name__}: {error}"
                    ) from error
        return found

    def require_alone(self, vectors: Vectors, columns: Columns) -> None:
        """Raise DeclarationError unless some rows come out alone as they do among all, or if a
        function fails for all of them.
        """
        among = self(vectors, columns)
        tried = np.unique(np.linspace(0, len(vectors) - 1, TRIED).astype(int)).tolist() \
            if len(vectors) and self else []
        for row in tried:
            alone = self(vectors[row : row + 1], self._of(columns, row))[0]
            differ = np.flatnonzero(alone.view(np.uint32) != among[row].view(np.uint32))
            for place in differ.tolist():
                if not (np.isnan(alone[place]) and np.isnan(among[row, place])):
                    raise self._not_alone(place, float(alone[place]), float(among[row, place]))
        if tried:
            self._require_some([(vectors[row : row + 1], self._of(columns, row)) for row in tried])

    def _of(self, columns: Columns, row: int) -> Columns:
        return {name: columns[name][row : row + 1] for name in self.columns}

    def _require_some(self, rows: Sequence[tuple[Vectors, Columns]]) -> None:
        for each, function in self._loaded:
            faults: list[Exception] = []
            for vectors, columns in rows:
                try:
                    _answered(each, function, self._read(each, vectors, columns), 1)
                except Exception as error:
                    faults.append(error)
            if len(faults) == len(rows):
                raise DeclarationError(
                    f"derived view {each.view!r}: {each.function} fails for each of {len(rows)} "
                    f"rows that were tried: {type(faults[0]).__name__}: {faults[0]}"
                ) from faults[0]

    def _read(self, each: Derived, vectors: Vectors, columns: Columns) -> Arrays:
        """What a function gets."""
        rows: dict[str, npt.NDArray[Any]] = {
            name: vectors[:, self._places[name]].astype(np.float64) for name in each.features}
        return rows | {name: read_column(dtype, columns[name]) for name, dtype in each.columns}

    def _not_alone(self, place: int, alone: float, among: float) -> DeclarationError:
        names = [*self._places, *(name for each, _ in self._loaded for name in each.gives)]
        owner = next(each for each, _ in self._loaded if names[place] in each.gives)
        return DeclarationError(
            f"derived view {owner.view!r}: {names[place]!r} of a row is {alone!r} if "
            f"{owner.function} gets it alone and {among!r} among others; a prediction sees its "
            "own row only, so a feature may depend on nothing else"
        )


def _answered(each: Derived, function: Function, rows: Arrays, count: int) -> Vectors:
    """(count, gives)"""
    owner = f"derived view {each.view!r}: {each.function}"
    with np.errstate(all="ignore"):
        given = function(rows)
    found = np.empty((count, len(each.gives)), np.float32)
    for place, name in enumerate(each.gives):
        if name not in given:
            raise DeclarationError(f"{owner} gives {sorted(given)}; expected {list(each.gives)}")
        values = np.asarray(given[name])
        if values.shape != (count,) or values.dtype.kind not in "fiub":
            raise DeclarationError(
                f"{owner} gives {name!r} as {values.dtype} of shape {values.shape}; expected a "
                f"number for each of {count} rows"
            )
        with np.errstate(over="ignore"):
            found[:, place] = values
    found[~np.isfinite(found)] = np.nan
    return found


def read_column(dtype: Dtype, values: Any) -> npt.NDArray[Any]:
    """A column of events as a function gets it.

    values: a sequence or pandas' Series. Numbers, integers and booleans are float64, NaN if
        missing; texts and categories str, None if missing; instants datetime64[us] in UTC, NaT if
        missing
    """
    return _READ[dtype](values)


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    """Whatever is missing is NaN."""
    if hasattr(values, "to_numpy"):
        found: npt.NDArray[np.float64] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return found
    return np.array([np.nan if each is None else each for each in values], dtype=np.float64)


def _texts(values: Any) -> npt.NDArray[np.object_]:
    """Whatever is missing is None."""
    found = np.empty(len(values), dtype=object)
    found[:] = [each if isinstance(each, str) else None for each in values]
    return found


def _instants(values: Any) -> npt.NDArray[np.datetime64]:
    """UTC, in microseconds; whatever is missing is NaT."""
    if hasattr(values, "dt"):
        found: npt.NDArray[np.datetime64] = (
            values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="M8[us]"))
        return found
    return np.array([
        each.astimezone(UTC).replace(tzinfo=None) if isinstance(each, datetime) and each == each
        else None for each in values
    ], dtype="M8[us]")


_READ: Mapping[Dtype, Callable[[Any], npt.NDArray[Any]]] = {
    "number": _numbers, "integer": _numbers, "boolean": _numbers, "text": _texts,
    "category": _texts, "instant": _instants,
}
