"""The entities that one event counts for, as one run of bytes: each behind its size."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

_SIZE = Struct("<I")
_NOBODY = _SIZE.pack(0)


def joined(entities: Sequence[bytes | None]) -> bytes:
    """One after the other; no entity is empty."""
    return b"".join([_SIZE.pack(len(each)) + each if each else _NOBODY for each in entities])


def entity_at(joined: bytes, place: int) -> bytes:
    """One of `joined`; empty where there is none."""
    entities, _ = split(joined, 0, place + 1)
    return entities[place] or b""


def split(run: bytes, place: int, count: int) -> tuple[list[bytes | None], int]:
    """So many entities from `place` on, and where they end."""
    entities: list[bytes | None] = []
    for _ in range(count):
        end = place + 4 + _SIZE.unpack_from(run, place)[0]
        entities.append(run[place + 4 : end] or None)
        place = end
    return entities, place
