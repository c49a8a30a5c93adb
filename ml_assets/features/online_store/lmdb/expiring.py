"""What no reader can need any more goes from the LMDB file, while others go on writing.

It is looked for without keeping anybody from writing; then, in a short transaction, goes what is
still as it was. What has changed meanwhile is in use, or stays until the next time.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import OWN, View, expiry
from ml_assets.features.online_store.lmdb.environment import Environment
from ml_assets.features.online_store.lmdb.keys import (
    INSTANT,
    ids_start,
    is_short,
    names_start,
    state_start,
)
from ml_assets.features.online_store.lmdb.walk import items
from ml_assets.features.online_store.versions import VERSION

if TYPE_CHECKING:
    from ml_assets.features.online_store.lmdb.environment import Transaction

AT_ONCE = 1000
SMALL = 2048
"""A blob below this is not folded: it takes its place in a page either way."""

Changed = tuple[bytes, bytes, bytes | None]
"""A key, what it has, and what it shall have: None for nothing."""


def forget_ids(env: Environment, view_id: int, bound: int) -> None:
    """Forget the ids of events before `bound`."""
    start, after = ids_start(view_id), b""
    while True:
        found = env.read(partial(_some, start=start, after=after))
        old: list[Changed] = [
            (key, at, None) for key, at in found if INSTANT.unpack(at)[0] < bound
        ]
        if old:
            env.write(partial(_change, changed=old))
        if len(found) < AT_ONCE:
            return
        after = found[-1][0][len(start) :]


def forget_entities(env: Environment, view: View, view_id: int, now: int) -> int:
    """Drop idle entities and fold old tiles away. Returns how many entities went."""
    start, after, dropped = state_start(view_id), OWN, 0
    while True:
        found = env.read(partial(_some, start=start, after=after))
        changed = [
            (key, blob, kept) for key, blob in found if (kept := _kept(view, blob, now)) != blob
        ]
        if changed:
            dropped += env.write(partial(_change, changed=changed, view_id=view_id))
        if len(found) < AT_ONCE:
            return dropped
        after = found[-1][0][len(start) :]


def _some(txn: Transaction, start: bytes, after: bytes) -> list[tuple[bytes, bytes]]:
    return list(islice(items(txn, start, after), AT_ONCE))


def _kept(view: View, blob: bytes, now: int) -> bytes | None:
    """What is left of an entity; None if nothing is."""
    if not isinstance(view, WindowedView):
        return None if view.ttl and VERSION.unpack_from(blob)[0] < now - view.ttl else blob
    if state.is_idle(view, blob, expiry(view, now)[1]):
        return None
    if len(blob) < SMALL:
        return blob
    folded = state.fold(view, blob, now)
    return folded if len(folded) < len(blob) else blob


def _change(txn: Transaction, changed: list[Changed], view_id: int | None = None) -> int:
    """Returns how many keys went."""
    dropped = 0
    for key, before, kept in changed:
        if txn.get(key) != before:
            continue
        if kept is not None:
            txn.put(key, kept)
            continue
        txn.delete(key)
        dropped += 1
        if view_id is not None and is_short(key[4:]):
            txn.delete(names_start(view_id) + key[4:])
    return dropped
