"""How keys lie in the LMDB file.

Each begins with a number of four bytes: a view's number, in one of four ranges, and behind it

    state    an entity, or nothing: the view's own entry           -> what is kept of it
    ids      an entity and the id of an event that was appended    -> the event's instant
    marks    a source of events                                    -> how much of it is applied
    names    the short form of a long entity                       -> the entity

Number 0 is no view's: under it lie the format, the registered views and changes, see `views`.
LMDB's keys have 511 bytes at most, so an entity longer than `LONGEST` has a short form: how it
begins and its SHA-256. That is one byte longer than any entity that stands for itself.
"""

from __future__ import annotations

import hashlib
from struct import Struct

NUMBER = Struct(">I")
ID = Struct("<Q")
INSTANT = Struct("<q")

LONGEST = 480
"""Bytes of an entity that stands for itself; what follows it in a key has 12 bytes in all."""

_DIGEST = 32
_IDS, _MARKS, _NAMES = 1 << 30, 2 << 30, 3 << 30

OWN_NUMBER = NUMBER.pack(0)


def short(entity: bytes) -> bytes:
    """The entity as it stands in keys."""
    if len(entity) <= LONGEST:
        return entity
    return entity[: LONGEST + 1 - _DIGEST] + hashlib.sha256(entity).digest()


def is_short(entity: bytes) -> bool:
    """Whether what stands in a key is the short form of a longer entity."""
    return len(entity) > LONGEST


def state_start(view_id: int) -> bytes:
    return NUMBER.pack(view_id)


def ids_start(view_id: int) -> bytes:
    return NUMBER.pack(_IDS | view_id)


def names_start(view_id: int) -> bytes:
    return NUMBER.pack(_NAMES | view_id)


def mark_entry(view_id: int, source: bytes) -> tuple[int, bytes]:
    """Of how much of `source` the view has applied: a (view, key) for `get_many`.

    So the mark is read in the same snapshot as the state.
    """
    return _MARKS | view_id, source


def mark_of(value: bytes | None) -> int:
    """The position of the last event that was applied; 0 before the first."""
    return 0 if value is None else int(INSTANT.unpack(value)[0])


def ranges_of(view_id: int) -> tuple[bytes, ...]:
    """What the keys of a view begin with."""
    return tuple(NUMBER.pack(each | view_id) for each in (0, _IDS, _MARKS, _NAMES))
