"""Blobs of entities that were asked for lately, within a limit of memory."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from ml_assets.features.engine import state

BYTES = 64 * 2**20
"""So much is kept at most, twice: of entities asked for lately, and of those before them."""

_PLACE = 250
"""What an entry takes beside its blob, about."""


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

    def grow(self, view: int, entities: list[bytes], rows: list[bytes]) -> None:
        """Add a row to the blob of each entity, where it is here."""
        young, old = self._young[view], self._old[view]
        for entity, row in zip(entities, rows, strict=True):
            part = young if entity in young else old
            if entity in part:
                found = part[entity]
                part[entity] = state.fresh(row) if found is None else found + row
                self._size += len(row)

    def drop(self, view: int, entity: bytes) -> None:
        self._young[view].pop(entity, None)
        self._old[view].pop(entity, None)

    def clear(self) -> None:
        self._young, self._old, self._size = defaultdict(dict), defaultdict(dict), 0
