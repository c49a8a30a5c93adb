"""What a reader does with the blobs of one view: from bytes to numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any, Protocol

import numpy as np

from ml_assets.core.errors import unknown
from ml_assets.features.engine import state
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import View
from ml_assets.features.online_store.versions import NUMBERS, VERSION, PlainView, versions_of

Pick = Callable[[Sequence[Any]], Sequence[Any]]

_FEW = 24
"""Entities up to which plain Python unpacks a plain view faster than arrays."""


class Part(Protocol):
    """Some features of a view.

    alike: parts that are equal in this may be given each other's blobs
    width: numbers that `values` gives for a blob
    places: which of them are the part's features
    """

    @property
    def view(self) -> View: ...

    @property
    def alike(self) -> object: ...

    @property
    def width(self) -> int: ...

    @property
    def places(self) -> Sequence[int]: ...

    def oldest(self, blob: bytes | None) -> int:
        """The earliest instant that can be answered exactly."""
        ...

    def values(self, blobs: Sequence[bytes | None], instants: Sequence[int]) -> Floats:
        """(blobs, width), each as of its instant."""
        ...


class Windows:
    """Some features of a windowed view."""

    def __init__(self, view: WindowedView, columns: tuple[str, ...]) -> None:
        self.view = view
        self.alike: object = view.nameless
        for name in columns:
            if name not in view.columns:
                raise unknown("column", name, view.columns,
                              f"Feature view {view.name!r} is asked for it.")
        self.width = len(view.columns)
        self.places: Sequence[int] = [view.columns.index(name) for name in columns]

    def oldest(self, blob: bytes | None) -> int:
        return state.oldest(blob)

    def values(self, blobs: Sequence[bytes | None], instants: Sequence[int]) -> Floats:
        as_of = self.view.as_of(np.array(instants, dtype=np.int64))
        return state.read(self.view, blobs, as_of)


class Rows:
    """Some numbers of a plain view."""

    def __init__(self, view: PlainView, columns: tuple[str, ...]) -> None:
        self.view = view
        self._places = view.number_places(columns)
        self.width, self.places = len(columns), range(len(columns))
        formats = [NUMBERS[each.type] for each in view.numbers]
        nulls = (len(view.columns) + 7) // 8
        self._struct = Struct(f"<qqI{nulls}s{''.join(_CODES[each] for each in formats)}")
        self._no_nulls = bytes(nulls)
        places = [4 + place for place in self._places]
        # Of one place it would give the bare item.
        self._pick: Pick = itemgetter(*places) if len(places) > 1 else _single(places[0])
        # Numbers of one type are read as a matrix.
        self._same = len(set(formats)) == 1
        numbers = [("numbers", formats[0], (len(formats),))] if self._same else [
            (f"n{place}", each, ()) for place, each in enumerate(formats)
        ]
        self._version = np.dtype([
            ("at", "<i8"), ("created", "<i8"), ("size", "<u4"), ("nulls", "u1", (nulls,)), *numbers
        ])
        self.alike: object = (*formats, nulls, view.ttl, *self._places)

    def oldest(self, blob: bytes | None) -> int:
        """Since when the oldest version holds that is kept: nobody knows what was before."""
        if blob is None:
            return state.NEVER
        at, place = 0, 0
        while place < len(blob):
            at, _, size = VERSION.unpack_from(blob, place)
            place += VERSION.size + int(size)
        return int(at)

    def values(self, blobs: Sequence[bytes | None], instants: Sequence[int]) -> Floats:
        if len(blobs) > _FEW:
            return self._many(blobs, np.array(instants, dtype=np.int64))
        values: list[Any] = []
        for blob, t in zip(blobs, instants, strict=True):
            values += self._one(blob, t)
        return np.array(values, dtype=np.float64).reshape(len(blobs), self.width)

    def _one(self, blob: bytes | None, t: int) -> Sequence[Any]:
        if blob is not None:
            items = self._struct.unpack_from(blob)
            if items[0] > t:
                blob = _before(blob, t)
                if blob is None:
                    return self._nothing
                items = self._struct.unpack_from(blob)
            if not self.view.ttl or t <= items[0] + self.view.ttl:
                values: Sequence[Any] = self._pick(items)
                return values if items[3] == self._no_nulls else self._with_nulls(values, items[3])
        return self._nothing

    @property
    def _nothing(self) -> list[float]:
        return [np.nan] * self.width

    def _with_nulls(self, values: Sequence[Any], nulls: bytes) -> list[Any]:
        return [
            np.nan if nulls[place // 8] >> place % 8 & 1 else value
            for place, value in zip(self._places, values, strict=True)
        ]

    def _many(self, blobs: Sequence[bytes | None], as_of: Ints) -> Floats:
        size = self._struct.size
        nothing = VERSION.pack(state.NEVER, 0, 0).ljust(size, b"\0")
        parts = [nothing if blob is None else blob[:size] for blob in blobs]
        versions = np.frombuffer(b"".join(parts), self._version)
        future = versions["at"] > as_of
        if future.any():
            for place in np.flatnonzero(future).tolist():
                older = _before(blobs[place] or b"", int(as_of[place]))
                parts[place] = nothing if older is None else older[:size]
            versions = np.frombuffer(b"".join(parts), self._version)
        if self._same:
            found: Floats = versions["numbers"][:, self._places].astype(np.float64)
        else:
            found = np.stack([versions[f"n{place}"] for place in self._places], axis=1).astype(
                np.float64
            )
        if versions["nulls"].any():
            nulls = np.unpackbits(versions["nulls"], axis=1, bitorder="little")
            found[nulls[:, self._places].astype(bool)] = np.nan
        visible = self.view.visible(versions["at"], as_of) & (versions["at"] > state.NEVER)
        if not visible.all():
            found[~visible] = np.nan
        return found


_CODES = {"<f4": "f", "<f8": "d", "<i4": "i", "<i8": "q", "?": "?"}


def _single(place: int) -> Pick:
    return lambda items: (items[place],)


def _before(blob: bytes, t: int) -> bytes | None:
    """From the latest version at or before `t` on."""
    place = 0
    for at, _, payload in versions_of(blob):
        if at <= t:
            return blob[place:]
        place += VERSION.size + len(payload)
    return None
