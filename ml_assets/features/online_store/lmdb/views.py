"""What the LMDB file says of its views: which are registered, their own entries, what is gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ml_assets.features.online_store.backend import (
    FLOOR_SIZE,
    NO_FLOOR,
    Registered,
    floor_entry,
    floor_of,
)
from ml_assets.features.online_store.lmdb.keys import NUMBER, OWN_NUMBER, ranges_of, state_start

if TYPE_CHECKING:
    from ml_assets.features.online_store.lmdb.environment import Transaction

AT_ONCE = 1000
_NEXT = OWN_NUMBER + b"next"
_GONE = OWN_NUMBER + b"gone "
_VIEWS = OWN_NUMBER + b"views "


class ViewTable:
    """The views of one project, in whatever transaction is given.

    change: the key, without its number, of what is another entry after every change
    """

    def __init__(self, project: str) -> None:
        self.change = b"change " + project.encode()
        self._key = _VIEWS + project.encode()

    def registered(self, txn: Transaction) -> dict[str, Registered]:
        text = txn.get(self._key)
        return {} if text is None else {
            name: Registered(*found) for name, found in json.loads(text).items()
        }

    def register(
        self, txn: Transaction, name: str, digest: str, note: bytes, *, keep: bool
    ) -> int:
        """See `Backend.register`; the old data is left to `sweep`."""
        views = self.registered(txn)
        if (old := views.get(name)) is not None:
            if old.digest == digest:
                return old.id
            if not keep:
                self._forget(txn, old.id)
        number = NUMBER.unpack(txn.get(_NEXT, NUMBER.pack(1)))[0]
        txn.put(_NEXT, NUMBER.pack(number + 1))
        views[name] = Registered(number, digest)
        self._put(txn, views)
        txn.put(state_start(number), floor_entry(NO_FLOOR) + note)
        self.note_change(txn)
        return int(number)

    def drop(self, txn: Transaction, view_id: int) -> None:
        """Nobody finds the view any more; its data is left to `sweep`."""
        views = self.registered(txn)
        left = {name: found for name, found in views.items() if found.id != view_id}
        if len(left) < len(views):
            self._put(txn, left)
        self._forget(txn, view_id)
        self.note_change(txn)

    def raise_floor(self, txn: Transaction, view_id: int, floor: int) -> None:
        own = txn.get(state_start(view_id))
        if floor > floor_of(own, str(view_id)):
            assert own is not None
            txn.put(state_start(view_id), floor_entry(floor) + own[FLOOR_SIZE:])
            self.note_change(txn)

    def set_note(self, txn: Transaction, view_id: int, note: bytes) -> None:
        own = txn.get(state_start(view_id))
        floor_of(own, str(view_id))
        assert own is not None
        txn.put(state_start(view_id), own[:FLOOR_SIZE] + note)
        self.note_change(txn)

    def note_change(self, txn: Transaction) -> None:
        number = NUMBER.unpack(txn.get(OWN_NUMBER + self.change, NUMBER.pack(0)))[0]
        txn.put(OWN_NUMBER + self.change, NUMBER.pack((number + 1) % 2**32))

    def _put(self, txn: Transaction, views: dict[str, Registered]) -> None:
        txn.put(self._key, json.dumps(views).encode())

    def _forget(self, txn: Transaction, view_id: int) -> None:
        txn.delete(state_start(view_id))
        txn.put(_GONE + NUMBER.pack(view_id), b"")


def sweep(txn: Transaction) -> bool:
    """Delete some of what dropped views have left; False once there is nothing."""
    cursor = txn.cursor()
    if not cursor.set_range(_GONE) or not cursor.key().startswith(_GONE):
        return False
    gone = cursor.key()
    left = AT_ONCE
    for start in ranges_of(NUMBER.unpack(gone[len(_GONE) :])[0]):
        while left and cursor.set_range(start) and cursor.key().startswith(start):
            cursor.delete()
            left -= 1
    if left:
        txn.delete(gone)
    return True
