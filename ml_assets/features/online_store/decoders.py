"""From the bytes that the store keeps of an entity to a view's features; of windowed views here."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from enum import IntEnum
from functools import cached_property
from operator import itemgetter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import unknown
from ml_assets.features.engine import state
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.state.checking import cut_of, cuts_of, held_between
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import View

Columns = slice | list[int]
Statuses = npt.NDArray[np.uint8]


class Status(IntEnum):
    """What the store knew of an entity.

    NOT_FOUND: nothing; a windowed view then has the values of an empty window
    EXPIRED: a row that is older than the view's time to live
    NO_KEY: the request lacks a key
    DAMAGED: bytes that are no state or row of the view
    """

    PRESENT = 0
    NOT_FOUND = 1
    EXPIRED = 2
    NO_KEY = 3
    DAMAGED = 4


_PRESENT, _NOT_FOUND, _DAMAGED = int(Status.PRESENT), int(Status.NOT_FOUND), int(Status.DAMAGED)


class TooEarly(Exception):
    """An entity is asked for as of an instant before its `oldest`."""


class Decoder(Protocol):
    """Some features of a view.

    alike: decoders that are equal in this may be given each other's blobs
    columns: of what `many` gives, those that are the features
    ages: of what `many` gives, those that are the seconds since an event or another instant; None
        if it is not worth remembering, or cannot be
    """

    @property
    def view(self) -> View: ...

    @property
    def alike(self) -> object: ...

    @property
    def columns(self) -> Columns: ...

    @property
    def ages(self) -> list[int] | None: ...

    def oldest(self, blob: bytes | None) -> int:
        """The earliest instant that can be answered exactly."""
        ...

    def one(self, blob: bytes | None, at: int, status: bytearray) -> bytes:
        """The features of one entity as float32; appends its `Status`. Raises TooEarly."""
        ...

    def many(self, blobs: Sequence[bytes | None], at: Sequence[int]) -> tuple[Floats, Statuses]:
        """`one` for many, but as float64 (blobs, width), and their statuses."""
        ...

    def holds(self, blobs: Sequence[bytes | None], at: int) -> tuple[Ints, Ints]:
        """The first and the last instant, (m) each, at which m blobs give what they give `at`
        some instant, except for `ages`. They need not hold `at` itself.
        """
        ...


class WindowDecoder:
    """Some features of a windowed view."""

    def __init__(self, view: WindowedView, names: tuple[str, ...]) -> None:
        self.view = view
        for name in names:
            if name not in view.columns:
                raise unknown("column", name, view.columns,
                              f"Feature view {view.name!r} is asked for it.")
        columns = [view.columns.index(name) for name in names]
        self.columns: Columns = slice(None) if names == view.columns else columns
        # Of one column alone it would give the bare number.
        self._pick = None if names == view.columns else itemgetter(*columns, 0)
        self._missing = array("f", [np.nan] * len(names)).tobytes()

    @cached_property
    def alike(self) -> object:
        return self.view.nameless

    @cached_property
    def ages(self) -> list[int] | None:
        clocks = [each.function.clock for each in self.view.aggregates
                  for _ in range(each.function.width)]
        if "any" in clocks:
            return None
        # What moves in slides stays within one.
        return [] if self.view.refresh == "slide" else [
            place for place, clock in enumerate(clocks) if clock == "age"]

    def holds(self, blobs: Sequence[bytes | None], at: int) -> tuple[Ints, Ints]:
        return held_between(self.view, blobs, at)

    def oldest(self, blob: bytes | None) -> int:
        cut = cut_of(self.view, blob)
        return state.NEVER if cut is None else cut

    def one(self, blob: bytes | None, at: int, status: bytearray) -> bytes:
        cut = cut_of(self.view, blob)
        if cut is None:
            status.append(_DAMAGED)
            return self._missing
        if cut > at:
            raise TooEarly
        status.append(_NOT_FOUND if blob is None else _PRESENT)
        values = state.read_one(self.view, blob, self.view.as_of(at))
        if self._pick is None:
            return array("f", values).tobytes()
        return array("f", self._pick(values)[:-1]).tobytes()

    def many(self, blobs: Sequence[bytes | None], at: Sequence[int]) -> tuple[Floats, Statuses]:
        as_of, (cuts, damaged) = np.array(at, dtype=np.int64), cuts_of(self.view, blobs)
        status = np.where(damaged, np.uint8(_DAMAGED), np.uint8(_PRESENT))
        if damaged.any():
            cuts = np.where(damaged, state.NEVER, cuts)
            blobs = [None if bad else blob for blob, bad in zip(blobs, damaged, strict=True)]
        if (cuts > as_of).any():
            raise TooEarly
        values = state.read(self.view, blobs, self.view.as_of(as_of))
        if None in blobs:
            missing = np.fromiter((blob is None for blob in blobs), np.bool_, len(blobs))
            status[missing & ~damaged] = _NOT_FOUND
            values = np.where(damaged[:, None], np.nan, values)
        return values, status
