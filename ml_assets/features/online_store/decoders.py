"""From the bytes that the store keeps of an entity to a view's features."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import cached_property
from operator import itemgetter
from struct import Struct
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import unknown
from ml_assets.features.engine import state
from ml_assets.features.engine.exact import Floats
from ml_assets.features.engine.state.checking import cut_of, cuts_of
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import View
from ml_assets.features.online_store.versions import (
    NUMBERS,
    VERSION,
    PlainView,
    is_whole,
    versions_of,
)

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


_PRESENT, _NOT_FOUND, _EXPIRED = int(Status.PRESENT), int(Status.NOT_FOUND), int(Status.EXPIRED)
_DAMAGED = int(Status.DAMAGED)


class TooEarly(Exception):
    """An entity is asked for as of an instant before its `oldest`."""


class Decoder(Protocol):
    """Some features of a view.

    alike: decoders that are equal in this may be given each other's blobs
    columns: of what `many` gives, those that are the features
    """

    @property
    def view(self) -> View: ...

    @property
    def alike(self) -> object: ...

    @property
    def columns(self) -> Columns: ...

    def oldest(self, blob: bytes | None) -> int:
        """The earliest instant that can be answered exactly."""
        ...

    def one(self, blob: bytes | None, at: int, status: bytearray) -> bytes:
        """The features of one entity as float32; appends its `Status`. Raises TooEarly."""
        ...

    def many(self, blobs: Sequence[bytes | None], at: Sequence[int]) -> tuple[Floats, Statuses]:
        """`one` for many, but as float64 (blobs, width), and their statuses."""
        ...


def decoder(view: View, names: tuple[str, ...]) -> Decoder:
    """For the columns `names` of a view.

    Raises UnknownName if a windowed view lacks one, DeclarationError if one is not a number.
    """
    return WindowDecoder(view, names) if isinstance(view, WindowedView) else RowDecoder(view, names)


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


class RowDecoder:
    """Some numbers of a plain view, see `versions`."""

    def __init__(self, view: PlainView, names: tuple[str, ...]) -> None:
        self.view = view
        self.columns: Columns = slice(None)
        self._indexes = view.number_indexes(names)
        formats = [NUMBERS[each.type] for each in view.numbers]
        nulls = (len(view.columns) + 7) // 8
        self._head = Struct(f"<qqI{nulls}s").unpack_from
        self._no_nulls, self._ttl = bytes(nulls), view.ttl
        size = VERSION.size + view.packed.itemsize
        # Of one or two versions, if all are of one size: nearly every blob there is.
        self._sizes = frozenset([] if view.texts else [size, 2 * size])
        self._missing = array("f", [np.nan] * len(names)).tobytes()
        self._packed = _packer(view, self._indexes)
        # Numbers of one type are read as a matrix.
        self._same = len(set(formats)) == 1
        numbers = [("numbers", formats[0], (len(formats),))] if self._same else [
            (f"n{index}", each, ()) for index, each in enumerate(formats)
        ]
        self._version = np.dtype([
            ("at", "<i8"), ("created", "<i8"), ("size", "<u4"), ("nulls", "u1", (nulls,)), *numbers
        ])
        self.alike: object = (*formats, nulls, view.ttl, *self._indexes)

    def oldest(self, blob: bytes | None) -> int:
        """Since when the oldest version holds that is kept: nobody knows what was before."""
        if blob is None or not is_whole(self.view, blob):
            return state.NEVER
        return versions_of(blob)[-1][0]

    def one(self, blob: bytes | None, at: int, status: bytearray) -> bytes:
        if blob is None:
            status.append(_NOT_FOUND)
            return self._missing
        if len(blob) not in self._sizes and not is_whole(self.view, blob):
            status.append(_DAMAGED)
            return self._missing
        since, _, _, nulls = self._head(blob)
        if since > at:
            blob = _before(blob, at)
            since, _, _, nulls = self._head(blob)
        if self._ttl and at > since + self._ttl:
            status.append(_EXPIRED)
            return self._missing
        status.append(_PRESENT)
        values = self._packed(blob)
        return values if nulls == self._no_nulls else self._without_nulls(values, nulls)

    def _without_nulls(self, values: bytes, nulls: bytes) -> bytes:
        return array("f", [
            np.nan if nulls[index // 8] >> index % 8 & 1 else value
            for index, value in zip(self._indexes, memoryview(values).cast("f"), strict=True)
        ]).tobytes()

    def many(self, blobs: Sequence[bytes | None], at: Sequence[int]) -> tuple[Floats, Statuses]:
        size, as_of = self._version.itemsize, np.array(at, dtype=np.int64)
        nothing, status = bytes(size), bytearray(len(blobs))
        there = [blob or b"" for blob in blobs]
        if not self._sizes.issuperset(map(len, there)):
            for row, blob in enumerate(blobs):
                if blob is None or not is_whole(self.view, blob):
                    status[row], there[row] = _NOT_FOUND if blob is None else _DAMAGED, nothing
        first = [blob[:size] for blob in there]
        versions = np.frombuffer(b"".join(first), self._version)
        if (future := versions["at"] > as_of).any():
            for row in np.flatnonzero(future).tolist():
                if not status[row]:
                    first[row] = _before(there[row], at[row])[:size]
            versions = np.frombuffer(b"".join(first), self._version)
        statuses = np.frombuffer(status, np.uint8)
        if self._ttl:
            statuses[(statuses == _PRESENT) & (as_of > versions["at"] + self._ttl)] = _EXPIRED
        values = self._numbers(versions)
        values[statuses != _PRESENT] = np.nan
        return values, statuses

    def _numbers(self, versions: npt.NDArray[Any]) -> Floats:
        values: Floats
        if self._same:
            values = versions["numbers"][:, self._indexes].astype(np.float64)
        else:
            values = np.stack([versions[f"n{index}"] for index in self._indexes], axis=1).astype(
                np.float64
            )
        if versions["nulls"].any():
            nulls = np.unpackbits(versions["nulls"], axis=1, bitorder="little")
            values[nulls[:, self._indexes].astype(bool)] = np.nan
        return values


def _packer(view: PlainView, indexes: Sequence[int]) -> Callable[[bytes], bytes]:
    """From a version to its numbers at `indexes` as float32."""
    first, end = indexes[0], indexes[-1] + 1
    if list(indexes) == list(range(first, end)) and {
        each.type for each in view.numbers[:end]
    } == {"Float32"}:
        start = VERSION.size + (len(view.columns) + 7) // 8
        return itemgetter(slice(start + 4 * first, start + 4 * end))
    # Behind the nulls, which come last here: of one index alone it would give the bare number.
    pick = itemgetter(*(index + 1 for index in indexes), 0)
    unpack = view.packed_struct.unpack_from
    return lambda version: array("f", pick(unpack(version, VERSION.size))[:-1]).tobytes()


def _before(blob: bytes, at: int) -> bytes:
    """From the latest version at or before `at` on. Raises TooEarly."""
    offset = 0
    for since, _, payload in versions_of(blob):
        if since <= at:
            return blob[offset:]
        offset += VERSION.size + len(payload)
    raise TooEarly
