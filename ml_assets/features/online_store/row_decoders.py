"""From the versions of a plain view's row to its features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.codes import code_of
from ml_assets.core.errors import DeclarationError
from ml_assets.features.engine import state
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.online_store.decoders import Columns, Status, Statuses, TooEarly
from ml_assets.features.online_store.versions import (
    NUMBERS,
    VERSION,
    PlainView,
    is_whole,
    unpack_payload,
    versions_of,
)

_PRESENT, _NOT_FOUND, _EXPIRED = int(Status.PRESENT), int(Status.NOT_FOUND), int(Status.EXPIRED)
_DAMAGED = int(Status.DAMAGED)


class RowDecoder(ABC):
    """Some features of a plain view, see `versions`."""

    alike: object
    ages: list[int] | None

    def __init__(self, view: PlainView, names: tuple[str, ...]) -> None:
        self.view = view
        self.columns: Columns = slice(None)
        self._nulls = (len(view.columns) + 7) // 8
        self._head = Struct(f"<qqI{self._nulls}s").unpack_from
        self._ttl = view.ttl
        size = VERSION.size + view.packed.itemsize
        # Of one or two versions, if all are of one size: nearly every blob there is.
        self._sizes = frozenset([] if view.texts else [size, 2 * size])
        self._missing = array("f", [np.nan] * len(names)).tobytes()

    @abstractmethod
    def _values(self, blob: bytes, at: int) -> bytes:
        """The features of the first version of `blob` as float32."""

    @abstractmethod
    def many(
        self, blobs: Sequence[bytes | None], at: Sequence[int]
    ) -> tuple[Floats, Statuses]: ...

    def holds(self, blobs: Sequence[bytes | None], at: int) -> tuple[Ints, Ints]:
        """From the first version on, until it expires."""
        since = np.array([state.NEVER if blob is None else self._head(blob)[0] for blob in blobs])
        if not self._ttl:
            return since, np.full(len(blobs), -state.NEVER)
        return since, np.where(since == state.NEVER, -state.NEVER, since + self._ttl)

    def oldest(self, blob: bytes | None) -> int:
        """Since when the oldest version holds that is kept: nobody knows what was before."""
        if blob is None or not is_whole(self.view, blob):
            return state.NEVER
        return versions_of(blob)[-1][0]

    def one(self, blob: bytes | None, at: int, status: bytearray) -> bytes:
        row = self._row(blob, at, status)
        return self._missing if row is None else self._values(row, at)

    def _row(self, blob: bytes | None, at: int, status: bytearray) -> bytes | None:
        """`blob` from the version on that holds; None if none does. Appends its `Status`."""
        if blob is None:
            status.append(_NOT_FOUND)
            return None
        if len(blob) not in self._sizes and not is_whole(self.view, blob):
            status.append(_DAMAGED)
            return None
        since = self._head(blob)[0]
        if since > at:
            blob = _before(blob, at)
            since = self._head(blob)[0]
        if self._ttl and at > since + self._ttl:
            status.append(_EXPIRED)
            return None
        status.append(_PRESENT)
        return blob


class NumberDecoder(RowDecoder):
    """Of features that are all numbers: array calls for many rows."""

    ages = None

    def __init__(self, view: PlainView, names: tuple[str, ...]) -> None:
        super().__init__(view, names)
        self._indexes = view.number_indexes(names)
        formats = [NUMBERS[each.type] for each in view.numbers]
        nulls = self._nulls
        self._no_nulls = bytes(nulls)
        self._packed = _packer(view, self._indexes)
        # Numbers of one type are read as a matrix.
        self._same = len(set(formats)) == 1
        numbers = [("numbers", formats[0], (len(formats),))] if self._same else [
            (f"n{index}", each, ()) for index, each in enumerate(formats)
        ]
        self._version = np.dtype([
            ("at", "<i8"), ("created", "<i8"), ("size", "<u4"), ("nulls", "u1", (nulls,)), *numbers
        ])
        self.alike = (*formats, nulls, view.ttl, *self._indexes)

    def _values(self, blob: bytes, at: int) -> bytes:
        values, nulls = self._packed(blob), self._head(blob)[3]
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


class MixedDecoder(RowDecoder):
    """Of any features: texts are in a vector as their codes (`core/codes.py`), and instants as
    how many seconds before the reader's instant they were.
    """

    def __init__(self, view: PlainView, names: tuple[str, ...]) -> None:
        """Raises DeclarationError for a feature that is neither number, text nor instant."""
        super().__init__(view, names)
        self._reads = [_read(view, name) for name in names]
        kinds = {each.name: each.type for each in view.columns}
        self.ages = [place for place, name in enumerate(names) if kinds[name] == "UnixTimestamp"]
        self.alike = (view.columns, view.ttl, names)

    def _values(self, blob: bytes, at: int) -> bytes:
        return array("f", self._numbers(blob, at)).tobytes()

    def _numbers(self, blob: bytes, at: int) -> list[float]:
        _, _, size, _ = self._head(blob)
        numbers, texts = unpack_payload(self.view, blob[VERSION.size : VERSION.size + size])
        return [read(numbers, texts, at) for read in self._reads]

    def many(self, blobs: Sequence[bytes | None], at: Sequence[int]) -> tuple[Floats, Statuses]:
        status, nothing = bytearray(), [np.nan] * len(self._reads)
        values = np.array([
            nothing if (row := self._row(blob, each, status)) is None else self._numbers(row, each)
            for blob, each in zip(blobs, at, strict=True)
        ], np.float64).reshape(len(blobs), len(self._reads))
        return values, np.frombuffer(status, np.uint8)


_Read = Callable[[Sequence[float | int | bool | None], Sequence[bytes | None], int], float]
"""From numbers and texts of a payload, and the reader's instant, to one feature."""


def _read(view: PlainView, name: str) -> _Read:
    numbers = [each.name for each in view.numbers]
    kinds = {each.name: each.type for each in view.columns}
    if kinds.get(name) == "String":
        place = [each.name for each in view.texts].index(name)
        return lambda _, texts, at: (
            np.nan if (text := texts[place]) is None else code_of(text.decode()))
    if name not in numbers:
        raise DeclarationError(
            f"feature {name!r} of view {view.name!r} is {kinds.get(name, 'missing')}; a vector "
            f"holds {', '.join(NUMBERS)}, and String as codes"
        )
    index = numbers.index(name)
    if kinds[name] == "UnixTimestamp":
        return lambda numbers, _, at: (
            np.nan if (then := numbers[index]) is None else (at - then * 1_000_000) / 1e6)
    return lambda numbers, _, at: np.nan if (value := numbers[index]) is None else value


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
