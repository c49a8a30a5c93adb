"""Going through all that a view has in the LMDB file, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ml_assets.features.online_store.lmdb.keys import (
    NUMBER,
    is_short,
    mark_entry,
    names_start,
    short,
    state_start,
)

if TYPE_CHECKING:
    from ml_assets.features.online_store.lmdb.environment import Transaction

AT_ONCE = 1000


def items(txn: Transaction, start: bytes, after: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys behind `start + after` that begin with `start`, in order, with their values."""
    cursor = txn.cursor()
    if not cursor.set_range(start + after):
        return
    for key, value in cursor.iternext():
        if not key.startswith(start):
            return
        if key[len(start) :] != after:
            yield key, value


def entities(txn: Transaction, view_id: int, after: bytes) -> tuple[list[bytes], bytes | None]:
    """Some entities of the view behind `after`, and the last of them, None at the end."""
    found: list[bytes] = []
    start = state_start(view_id)
    for key, _ in items(txn, start, short(after)):
        if len(found) == AT_ONCE:
            return found, found[-1]
        found.append(whole(txn, view_id, key[len(start) :]))
    return found, None


def whole(txn: Transaction, view_id: int, entity: bytes) -> bytes:
    """The entity that stands so in a key."""
    if not is_short(entity):
        return entity
    found = txn.get(names_start(view_id) + entity)
    assert found is not None
    return found


def count(txn: Transaction, view_id: int) -> int:
    """How many entities the view has."""
    start, cursor, found = state_start(view_id), txn.cursor(), 0
    if cursor.set_range(start):
        for key in cursor.iternext(values=False):
            if not key.startswith(start):
                break
            found += len(key) > len(start)
    return found


def sources(txn: Transaction, view_ids: Sequence[int]) -> set[bytes]:
    """What the views have marks of."""
    starts = [NUMBER.pack(mark_entry(each, b"")[0]) for each in view_ids]
    return {key[len(start):] for start in starts for key, _ in items(txn, start, b"")}
