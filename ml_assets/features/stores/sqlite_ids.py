"""Which event ids were counted, in SQLite: so that each counts once for a view and an entity.

An id is noted in one of two ways. `online_seen` has it for one view and one entity. Where an
event is counted by several views at once, which is what a prediction does, `online_together`
has it once for the group of these views, with the entity of each: a fourth of the pages of
four views. Both are asked before an id counts as new.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from ml_assets.features.stores.backend import NO_FLOOR, Row
from ml_assets.features.stores.stream import Counted

_SIZE = Struct("<I")
_NOBODY = _SIZE.pack(0)


class EventIds:
    """The ids on a connection whose caller begins and commits transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def note(self, view_id: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Note these ids for one view; returns the rows whose id was not there yet."""
        rows = self._not_together(view_id, rows)
        insert = "insert or ignore into online_seen values (?, ?, ?, ?)"
        noted = [(view_id, entity, _signed(uid), at) for entity, at, uid, _ in rows]
        if len(noted) > 8:
            # One call for all is several times faster, but does not say which were new.
            self._db.execute("savepoint online_ids")
            added = self._db.executemany(insert, noted).rowcount
            if added == len(noted):
                self._db.execute("release online_ids")
                return rows
            self._db.execute("rollback to online_ids")
            self._db.execute("release online_ids")
        return [
            row for row, values in zip(rows, noted, strict=True)
            if self._db.execute(insert, values).rowcount
        ]

    def note_together(self, view_ids: Sequence[int], events: Sequence[Counted]) -> bool:
        """Note these ids for all of the views at once, if none of them is there for any.

        False where one is there, or twice in `events`: then nothing was noted.
        """
        group, others = self._group(view_ids)
        insert = _insert_together(group, tuple(others), tuple(view_ids))
        # No savepoint: SQLite would copy each page before it changes.
        for place, each in enumerate(events):
            if not self._db.execute(
                insert, (_signed(each.uid), each.at, _joined(each.entities), *each.entities)
            ).rowcount:
                self._db.executemany(
                    "delete from online_together where group_id = ? and uid = ?",
                    [(group, _signed(noted.uid)) for noted in events[:place]],
                )
                return False
        return True

    def expire(self, view_id: int, bound: int) -> None:
        """Forget the ids of events before `bound`; those of a group once no view needs them."""
        self._db.execute("delete from online_seen where view = ? and at < ?", (view_id, bound))
        groups = self._bounds(view_id)
        self._db.execute("update online_groups set bound = max(bound, ?) where view = ?",
                         (bound, view_id))
        for group, before in groups.items():
            now = self._bounds(view_id)[group]
            if now > before:
                self._db.execute("delete from online_together where group_id = ? and at < ?",
                                 (group, now))

    def drop(self, view_id: int) -> None:
        """Forget what was noted for the view."""
        self._db.execute("delete from online_seen where view = ?", (view_id,))
        self._db.execute("delete from online_groups where view = ?", (view_id,))
        self._db.execute("delete from online_together where group_id not in"
                         " (select group_id from online_groups)")

    def _bounds(self, view_id: int) -> dict[int, int]:
        """Of each of the view's groups: no view of it needs ids of events before this."""
        return dict(self._db.execute(
            "select group_id, min(bound) from online_groups where group_id in"
            " (select group_id from online_groups where view = ?) group by group_id", (view_id,),
        ))

    def _group(self, view_ids: Sequence[int]) -> tuple[int, list[int]]:
        """The group of just these views in this order, and others that have one of them."""
        views: dict[int, dict[int, int]] = {}
        for group, view, place in self._db.execute(
            "select group_id, view, place from online_groups"
        ):
            views.setdefault(group, {})[place] = view
        wanted = dict(enumerate(view_ids))
        mine = next((group for group, found in views.items() if found == wanted), None)
        if mine is None:
            mine = max(views, default=0) + 1
            self._db.executemany("insert into online_groups values (?, ?, ?, ?)", [
                (view, mine, place, NO_FLOOR) for place, view in wanted.items()
            ])
        shared = set(view_ids)
        return mine, [group for group, found in views.items()
                      if group != mine and not shared.isdisjoint(found.values())]

    def _not_together(self, view_id: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Those whose id no group of the view has for their entity."""
        groups = self._db.execute(
            "select group_id, place from online_groups where view = ?", (view_id,)
        ).fetchall()
        if not groups:
            return rows
        asked = json.dumps([_signed(uid) for _, _, uid, _ in rows])
        there = {
            (_entity(entities, place), uid)
            for group, place in groups
            for uid, entities in self._db.execute(
                "select uid, entities from json_each(?) cross join online_together"
                " on group_id = ? and uid = value", (asked, group),
            )
        }
        return [row for row in rows if (row[0], _signed(row[2])) not in there]


def _signed(uid: int) -> int:
    """SQLite's integers have a sign."""
    return uid - 2**64 if uid >= 2**63 else uid


def _joined(entities: Sequence[bytes | None]) -> bytes:
    """One after the other, each behind its size; no entity is empty."""
    return b"".join([_SIZE.pack(len(each)) + each if each else _NOBODY for each in entities])


def _entity(joined: bytes, place: int) -> bytes:
    """One of `_joined`."""
    start = 0
    for _ in range(place):
        start += _SIZE.size + _SIZE.unpack_from(joined, start)[0]
    size = _SIZE.unpack_from(joined, start)[0]
    return joined[start + _SIZE.size : start + _SIZE.size + size]


@lru_cache(maxsize=64)
def _insert_together(group: int, others: tuple[int, ...], view_ids: tuple[int, ...]) -> str:
    """Adds a row unless its id is there: in the group, in another one or for a single view.

    Parameters: uid, at, entities; the entity of each view.
    """
    there = [
        *(f"select 1 from online_together where group_id = {other} and uid = ?1"
          for other in others),
        *(f"select 1 from online_seen where view = {view_id} and entity = ?{4 + place}"
          " and uid = ?1" for place, view_id in enumerate(view_ids)),
    ]
    return (
        "insert or ignore into online_together (group_id, uid, at, entities)"
        f" select {group}, ?1, ?2, ?3 where "
        + " and ".join(f"not exists ({each})" for each in there)
    )
