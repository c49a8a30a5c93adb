"""Blobs of entities that were asked for lately, within a limit of memory."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView

BYTES = 64 * 2**20
"""So much is kept at most, twice: of entities asked for lately, and of those before them."""

_PLACE = 250
"""What an entry takes beside its blob, about."""

SMALL = 1024
"""Bytes: a smaller blob has no old tiles worth folding away."""


def is_grown(view: WindowedView, blob: bytes) -> bool:
    """Whether it wants to be folded."""
    return state.grown(view, len(blob), blob[: state.HEADER_SIZE])


class Unknown:
    """Nothing is known of an entity; None says that the store has nothing of it."""


UNKNOWN: Final = Unknown()

Blobs = dict[bytes, bytes | None]


class BlobCache:
    """By view and entity. When the young generation is full it is the old one, which is let go."""

    def __init__(self, limit: int = BYTES) -> None:
        self._limit, self._size = limit, 0
        self._young: defaultdict[int, Blobs] = defaultdict(dict)
        self._old: defaultdict[int, Blobs] = defaultdict(dict)

    def get(self, view: int, entities: list[bytes]) -> list[bytes | Unknown | None]:
        young, old = self._young[view], self._old[view]
        found: list[bytes | Unknown | None] = [young.get(each, UNKNOWN) for each in entities]
        if UNKNOWN in found and old:
            for place, entity in enumerate(entities):
                if found[place] is UNKNOWN and entity in old:
                    blob = found[place] = old.pop(entity)
                    self.put(view, entity, blob)
        return found

    def put(self, view: int, entity: bytes, blob: bytes | None) -> None:
        """Keep what is in the store of an entity that is not here."""
        self._size += _PLACE + len(blob or b"")
        if self._size > self._limit:
            self._old, self._young = self._young, defaultdict(dict)
            self._size = _PLACE + len(blob or b"")
        self._young[view][entity] = blob

    def peek(self, view: int, entity: bytes) -> bytes | None:
        """The blob of an entity, if it is here."""
        return self._young[view].get(entity) or self._old[view].get(entity)

    def grow(
        self, view: int, entities: list[bytes], rows: list[bytes],
        shape: WindowedView | None = None,
    ) -> None:
        """Add a row to the blob of each entity, where it is here.

        shape: of the view, where it is known: what has grown is folded, long before it is in the
        tables, or each reader of an entity that is everybody's would look through all of it
        """
        young, old = self._young[view], self._old[view]
        for entity, row in zip(entities, rows, strict=True):
            part = young if entity in young else old
            if entity in part:
                found = part[entity]
                blob = state.fresh(row) if found is None else found + row
                if shape is not None and len(blob) > SMALL and is_grown(shape, blob):
                    blob = state.fold(shape, blob)
                part[entity] = blob
                self._size += len(blob) - len(found or b"")

    def drop(self, view: int, entity: bytes) -> None:
        self._young[view].pop(entity, None)
        self._old[view].pop(entity, None)

    def clear(self) -> None:
        self._young, self._old, self._size = defaultdict(dict), defaultdict(dict), 0
