"""Blobs of entities that were asked for lately, within a limit of memory."""

from __future__ import annotations

from typing import Final

from ml_assets.features.engine import state

Key = tuple[int, bytes]
"""A view's number and an entity."""

BYTES = 64 * 2**20
"""So much is kept at most, twice: of entities asked for lately, and of those before them."""

_PLACE = 250
"""What an entry takes beside its blob, about."""


class Unknown:
    """Nothing is known of a key; None says that the store has nothing of it."""


UNKNOWN: Final = Unknown()


class BlobCache:
    """Two generations: when the young one is full, it becomes the old one, and that is let go."""

    def __init__(self, limit: int = BYTES) -> None:
        self._limit, self._size = limit, 0
        self._young: dict[Key, bytes | None] = {}
        self._old: dict[Key, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: Key) -> bytes | Unknown | None:
        found = self._young.get(key, UNKNOWN)
        if found is UNKNOWN:
            found = self._old.pop(key, UNKNOWN)
            if not isinstance(found, Unknown):
                self.put(key, found)
        return found

    def put(self, key: Key, blob: bytes | None) -> None:
        """Keep what is in the store of a key that is not here."""
        self._size += _PLACE + len(blob or b"")
        if self._size > self._limit:
            self._old, self._young = self._young, {}
            self._size = _PLACE + len(blob or b"")
        self._young[key] = blob

    def grow(self, key: Key, row: bytes) -> None:
        """Add a row to the blob of a key, if that is here."""
        for part in (self._young, self._old):
            found = part.get(key, UNKNOWN)
            if not isinstance(found, Unknown):
                part[key] = state.fresh(row) if found is None else found + row
                self._size += len(row)
                return

    def drop(self, key: Key) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        self._young, self._old, self._size = {}, {}, 0
