"""Views that count the same events, and one event as a row of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ml_assets.core.errors import ContractViolation
from ml_assets.features.engine.columns import event_values, instant
from ml_assets.features.engine.events import entity_key, uid
from ml_assets.features.engine.state import pack_row
from ml_assets.features.engine.state.layout import layout_of
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import Row
from ml_assets.features.online_store.sqlite.joined import joined


class Counted(NamedTuple):
    """One event for the V views of a stream, in their order.

    at, uid: its instant and `uid` of its id
    entities: (V) whom it counts for; None where a key is missing; joined: the same, `joined`
    rows: (V) the event as the view packs it
    """

    at: int
    uid: int
    entities: list[bytes | None]
    joined: bytes
    rows: list[bytes]

    def row(self, place: int) -> Row | None:
        """As `Backend.append` takes it for one of the views; None where a key is missing."""
        entity = self.entities[place]
        return None if entity is None else (entity, self.at, self.uid, self.rows[place])


class Stream:
    """The views that read the instant and the id of an event from the same columns.

    What they read of an event is read once for all: most of them pack the same values.

    packed_as: for each view the packing that it has; firsts: of each the first view that has it
    """

    def __init__(self, views: Sequence[WindowedView]) -> None:
        """views: at least one; all have the same `timestamp` and `event_id`"""
        self.views = tuple(views)
        self._keys = tuple(view.keys for view in views)
        self._owner = f"feature view {views[0].name!r}"
        self._timestamp, self._event_id = views[0].timestamp, views[0].event_id
        shapes = [
            tuple((kept.slot, kept.limit) for kept in layout_of(view).kept if kept.item >= 0)
            for view in views
        ]
        distinct = list(dict.fromkeys(shapes))
        self.firsts = [shapes.index(shape) for shape in distinct]
        self.packed_as = [distinct.index(shape) for shape in shapes]
        self._packing = [views[first] for first in self.firsts]

    def counted(self, event: Mapping[str, object]) -> Counted | None:
        """None where no view has an entity for it. Raises as `event_row`."""
        entities = [entity_key([event.get(name) for name in keys]) for keys in self._keys]
        if not any(entities):
            return None
        at = instant(event.get(self._timestamp), self._timestamp, self._owner)
        name = event.get(self._event_id)
        if name is None:
            raise ContractViolation(
                f"{self._owner}: {self._event_id!r} is null; every event needs an id"
            )
        number = uid(str(name))
        packed = [
            pack_row(view, at, number, event_values(view, event)) for view in self._packing
        ]
        rows = [packed[place] for place in self.packed_as]
        return Counted(at, number, entities, joined(entities), rows)


def streams_of(views: Sequence[tuple[WindowedView, int]]) -> list[tuple[Stream, list[int]]]:
    """These views, each with its number, as streams and the numbers of their views."""
    found: dict[tuple[str, str], list[tuple[WindowedView, int]]] = {}
    for view, number in views:
        found.setdefault((view.timestamp, view.event_id), []).append((view, number))
    return [
        (Stream([view for view, _ in some]), [number for _, number in some])
        for some in found.values()
    ]
