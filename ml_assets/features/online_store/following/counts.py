"""What an event counts in the online state, packed once for all views that it feeds.

A blob of a prediction is the id of a list of views, then for each view of the list the entity for
which it counts (a size and bytes, size 0 for nobody), then the event as a row in each packing
that the list has: most views pack the same values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate, pairwise
from struct import Struct
from typing import NamedTuple

from ml_assets.core.errors import ContractViolation
from ml_assets.features.engine.columns import event_values, instant
from ml_assets.features.engine.events import entity_key, uid
from ml_assets.features.engine.state import pack_row
from ml_assets.features.engine.state.layout import layout_of
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import Row, View, digest_of

_SIZE = Struct("<I")
_NOBODY = _SIZE.pack(0)
_ROW = Struct("<qQ")
"""What every row of an event begins with: `at` and `uid`."""
LIST_ID = 8
"""Bytes of a list's id."""


class Counted(NamedTuple):
    """One event for the V views of a list, in their order.

    entities: (V) whom it counts for; None if a key is missing
    rows: the event in each packing of the list
    """

    entities: list[bytes | None]
    rows: list[bytes]

    def row(self, index: int, packing: int) -> Row | None:
        """As `Backend.append` takes it for the view at `index`; None if a key is missing."""
        entity, row = self.entities[index], self.rows[packing]
        return None if entity is None else (entity, *_ROW.unpack_from(row), row)


@dataclass(frozen=True)
class ViewList:
    """How what predictions count is packed.

    views: name, `digest_of` and the index of the packing, -1 for a plain view
    sizes: bytes of a row in each packing
    """

    views: tuple[tuple[str, str, int], ...]
    sizes: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> ViewList:
        """The inverse of `text`."""
        views, sizes = json.loads(text)
        return cls(tuple((name, digest, packing) for name, digest, packing in views), tuple(sizes))

    @cached_property
    def text(self) -> str:
        return json.dumps([self.views, self.sizes])

    @cached_property
    def id(self) -> bytes:
        return blake2b(self.text.encode(), digest_size=LIST_ID).digest()

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate(self.sizes, initial=0))

    def index(self, view: View) -> tuple[int, int] | None:
        """Where the view lies in the list, and its packing; None if it is not in it."""
        wanted = view.name, digest_of(view)
        return next(((index, packing) for index, (name, digest, packing) in enumerate(self.views)
                     if (name, digest) == wanted), None)

    def pack(self, counted: Counted) -> bytes:
        return b"".join([
            self.id, *[_SIZE.pack(len(each)) + each if each else _NOBODY
                       for each in counted.entities], *counted.rows,
        ])

    def unpack(self, blob: bytes) -> Counted:
        entities: list[bytes | None] = []
        at = LIST_ID
        for _ in self.views:
            end = at + 4 + _SIZE.unpack_from(blob, at)[0]
            entities.append(blob[at + 4 : end] or None)
            at = end
        starts = self._starts
        return Counted(entities, [blob[at + start : at + end]
                                  for start, end in pairwise(starts)])


class Stream:
    """The views that one event feeds: what they read of it is read once for all."""

    def __init__(self, views: Sequence[View]) -> None:
        """views: windowed ones have the same `timestamp` and `event_id`; of plain ones only the
        keys are read
        """
        self.views = tuple(views)
        windowed = [view for view in views if isinstance(view, WindowedView)]
        shapes = {view: tuple((kept.slot, kept.limit) for kept in layout_of(view).kept
                              if kept.item >= 0) for view in windowed}
        distinct = list(dict.fromkeys(shapes.values()))
        self._packing = [next(view for view in windowed if shapes[view] == shape)
                         for shape in distinct]
        self.packed_as = [distinct.index(shapes[view]) if isinstance(view, WindowedView) else -1
                          for view in views]
        self.list = ViewList(
            tuple((view.name, digest_of(view), packing)
                  for view, packing in zip(views, self.packed_as, strict=True)),
            tuple(layout_of(view).row_struct.size for view in self._packing),
        )
        self._keys = [view.keys for view in views]

    def counted(self, event: Mapping[str, object]) -> Counted:
        """What an event counts. Raises ContractViolation if a view cannot count it."""
        entities = [entity_key([event.get(name) for name in keys]) for keys in self._keys]
        if not self._packing:
            return Counted(entities, [])
        first = self._packing[0]
        owner = f"feature view {first.name!r}"
        at = instant(event.get(first.timestamp), first.timestamp, owner)
        name = event.get(first.event_id)
        if name is None:
            raise ContractViolation(f"{owner}: {first.event_id!r} is null; every event needs an id")
        number = uid(str(name))
        return Counted(entities, [
            pack_row(view, at, number, event_values(view, event)) for view in self._packing
        ])


def pack_rows(rows: Sequence[Row]) -> bytes:
    """Rows of one view, of a load, as one blob."""
    return b"".join([part for entity, _, _, row in rows
                     for part in (_SIZE.pack(len(entity)), entity, row)])


def unpack_rows(view: WindowedView, blob: bytes) -> list[Row]:
    """The inverse of `pack_rows`."""
    rows: list[Row] = []
    size, at = layout_of(view).row_struct.size, 0
    while at < len(blob):
        start = at + 4 + _SIZE.unpack_from(blob, at)[0]
        entity, row = blob[at + 4 : start], blob[start : start + size]
        rows.append((entity, *_ROW.unpack_from(row), row))
        at = start + size
    return rows
