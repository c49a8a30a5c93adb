"""The direct way from an online store to a model's inputs: what serving reads with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import unknown
from ml_assets.features.engine import state
from ml_assets.features.engine.events import entity_key
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.stores.backend import ALONE, OWN, Backend, View, floor_of, number_of
from ml_assets.features.stores.plain import NUMBERS, VERSION, PlainView, versions_of

Pick = Callable[[Sequence[Any]], Sequence[Any]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_FEW = 24
"""Entities up to which plain Python unpacks a plain view faster than arrays."""


@dataclass(frozen=True)
class Wanted:
    """Some features of a view: `columns` of a windowed view, numbers of a plain one.

    keys: the request's columns that hold the view's keys, in their order; the keys' own names
    where this is empty
    """

    view: View
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()


class FeatureReader:
    """Reads the `plan`'s features, F in all, in its order. For one thread, as the backend.

    Raises NotReady where a view is not in the store as the plan knows it, UnknownName for a
    column that a view lacks and DeclarationError for one that is no number.
    """

    def __init__(self, backend: Backend, plan: Sequence[Wanted]) -> None:
        self._backend = backend
        self._parts = [
            _Windows(backend, wanted, wanted.view) if isinstance(wanted.view, WindowedView)
            else _Rows(backend, wanted, wanted.view)
            for wanted in plan
        ]
        self._keys = tuple(dict.fromkeys(part.keys for part in self._parts))
        self.names = tuple(name for wanted in plan for name in wanted.columns)
        view, own = backend.changes
        self._changes = view, [own]
        self._last_change: bytes | None = b"not looked yet"

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime] | Ints
    ) -> tuple[npt.NDArray[np.float32], Ints]:
        """The features (B, F) of B requests and the instant (B) as of which they are.

        keys: for each request its columns; more columns do no harm
        at: when it is, aware, or microseconds since 1970 UTC

        The instant is that of the request, or the earliest that the store still answers
        exactly where that is later. NaN is a feature that has no value or whose entity has a
        missing key. Raises NotReady where a view was deleted or redefined meanwhile.
        """
        instants = at.tolist() if isinstance(at, np.ndarray) else [
            (instant - _EPOCH) // _US for instant in at
        ]
        entities: dict[tuple[str, ...], list[bytes | None]] = {
            names: [entity_key([row.get(name) for name in names]) for row in keys] if names
            else [ALONE] * len(keys)
            for names in self._keys
        }
        change, *answers = self._backend.get_many([self._changes, *(
            (part.view_id, [each or OWN for each in entities[part.keys]]) for part in self._parts
        )])
        if change[0] != self._last_change:
            self._look_at_views()
            self._last_change = change[0]
        earliest = min(instants, default=0)
        for part, blobs in zip(self._parts, answers, strict=True):
            mine = entities[part.keys]
            if None in mine:
                blobs[:] = [blob if key else None for blob, key in zip(blobs, mine, strict=True)]
            if part.floor > earliest or _starts(blobs) > earliest:
                for place, entity in enumerate(mine):
                    if entity is not None:
                        instants[place] = max(
                            instants[place], part.oldest(blobs[place]), part.floor
                        )
        as_of = np.array(instants, dtype=np.int64)
        found = np.empty((len(keys), len(self.names)))
        first = 0
        for part, blobs in zip(self._parts, answers, strict=True):
            last = first + part.width
            found[:, first:last] = part.values(blobs, as_of)
            mine = entities[part.keys]
            if None in mine:
                found[[place for place, entity in enumerate(mine) if entity is None],
                      first:last] = np.nan
            first = last
        with np.errstate(over="ignore"):
            return found.astype(np.float32), as_of

    def _look_at_views(self) -> None:
        """Are they still there, and from when on can they answer?"""
        own = self._backend.get_many([(part.view_id, [OWN]) for part in self._parts])
        for part, (entry,) in zip(self._parts, own, strict=True):
            part.floor = floor_of(entry, part.view.name)


def _starts(blobs: Sequence[bytes | None]) -> int:
    """The latest of the instants that the blobs begin with; `oldest` of none is later.

    A state begins with its cut, a row with the instant of its latest version.
    """
    starts = [blob[:8] for blob in blobs if blob is not None]
    if len(starts) == 1:
        return int.from_bytes(starts[0], "little", signed=True)
    return int(np.frombuffer(b"".join(starts), "<i8").max(initial=state.NEVER))


class _Windows:
    """Some features of a windowed view."""

    def __init__(self, backend: Backend, wanted: Wanted, view: WindowedView) -> None:
        self.view = view
        self.view_id = number_of(backend, view)
        self.floor = state.NEVER
        self.keys = wanted.keys or self.view.keys
        self.width = len(wanted.columns)
        for name in wanted.columns:
            if name not in self.view.columns:
                raise unknown("column", name, self.view.columns,
                              f"Feature view {self.view.name!r} is asked for it.")
        self._all = wanted.columns == self.view.columns
        self._places = [self.view.columns.index(name) for name in wanted.columns]

    def oldest(self, blob: bytes | None) -> int:
        return state.oldest(blob)

    def values(self, blobs: Sequence[bytes | None], as_of: Ints) -> Floats:
        found = state.read(self.view, blobs, self.view.as_of(as_of))
        return found if self._all else found[:, self._places]


class _Rows:
    """Some numbers of a plain view."""

    def __init__(self, backend: Backend, wanted: Wanted, view: PlainView) -> None:
        self.view = view
        self.view_id = number_of(backend, view)
        self.floor = state.NEVER
        self.keys = wanted.keys or view.keys
        self.width = len(wanted.columns)
        self._places = view.number_places(wanted.columns)
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

    def oldest(self, blob: bytes | None) -> int:
        """Since when the oldest version holds that is kept: nobody knows what was before."""
        if blob is None:
            return state.NEVER
        at, _, size = VERSION.unpack_from(blob)
        place = VERSION.size + int(size)
        return int(at if place == len(blob) else VERSION.unpack_from(blob, place)[0])

    def values(self, blobs: Sequence[bytes | None], as_of: Ints) -> Floats:
        if len(blobs) > _FEW:
            return self._many(blobs, as_of)
        return np.array([
            self._one(blob, t) for blob, t in zip(blobs, as_of.tolist(), strict=True)
        ], dtype=np.float64).reshape(len(blobs), self.width)

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
