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

MOST_FAULTS = 1_000
"""Rows of one call that a function may fail for: of a broken one nobody tries each of a million."""

log = logging.getLogger(__name__)


class Deriving:
    """Appends the features of derived views to vectors.

    names: the F features that vectors have, in order
    columns: the event's columns that are needed, each once
    places: where each of `names` is in a vector; loaded: what is derived, with its functions
    """

    def __init__(self, derived: Sequence[Derived], names: Sequence[str]) -> None:
        self.columns = tuple(dict.fromkeys(name for each in derived for name, _ in each.columns))
        self.places = {name: place for place, name in enumerate(names)}
        self.loaded = [(each, each.load()) for each in derived]
        self._lines = SparseLog()

    def __bool__(self) -> bool:
        """Whether there is anything to derive."""
        return bool(self.loaded)

    def __call__(self, vectors: Vectors, columns: Columns) -> Vectors:
        """(n, F) -> (n, F and what is derived); what is not finite has no value.

        A row that a function raises an error for has no value of what it gives, here as everywhere;
        the log says so. columns: at least `self.columns`. Raises DeclarationError if a function
        gives something else than a number for each row, or fails for MOST_FAULTS rows.
        """
        if not self:
            return vectors
        parts = [vectors]
        for each, function in self.loaded:
            rows = self.read(each, vectors, columns)
            parts.append(self._each_row(each, function, rows, len(vectors)))
        return np.hstack(parts)

    def _each_row(self, each: Derived, function: Function, rows: Arrays, count: int) -> Vectors:
        """(count, gives); whose fault an error is, is found by halves."""
        found = np.full((count, len(each.gives)), np.nan, np.float32)
        waiting, faults = [(0, count)], 0
        while waiting:
            start, end = waiting.pop()
            try:
                found[start:end] = answered(
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

    def read(self, each: Derived, vectors: Vectors, columns: Columns) -> Arrays:
        """What a function gets."""
        rows: dict[str, npt.NDArray[Any]] = {
            name: vectors[:, self.places[name]].astype(np.float64) for name in each.features}
        return rows | {name: read_column(dtype, columns[name]) for name, dtype in each.columns}


def answered(each: Derived, function: Function, rows: Arrays, count: int) -> Vectors:
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
