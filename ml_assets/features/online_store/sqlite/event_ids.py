"""Which event ids were counted, in SQLite: so that each counts once for a view and an entity.

An id is noted in one of two ways. `online_seen` has it for one view and one entity. Where an
event is counted by several views at once, which is what a prediction does, `online_together`
has it once for the group of these views, with the entity of each: a fourth of the pages of
four views. It comes there from the journal; all three are asked before an id counts as new.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from random import getrandbits

import numpy as np
import numpy.typing as npt

from ml_assets.core.storage.sqlite import padded
from ml_assets.features.online_store.backend import NO_FLOOR, Row
from ml_assets.features.online_store.sqlite.joined import entity_at
from ml_assets.features.online_store.stream import Counted

MOST_ALONE = 250_000
"""So many ids of a view are kept in memory: a tenth of a second to read."""
_ASKED_AT_ONCE = 512
_KNOWN_TOGETHER = """
with asked (group_id, uid) as (values {})
select 1 from asked cross join online_together using (group_id, uid) limit 1
"""
_KNOWN_ALONE = """
with asked (view, entity, uid) as (values {})
select 1 from asked cross join online_seen using (view, entity, uid) limit 1
"""


class Alone:
    """The ids of some views in `online_seen`, in memory: four views ask the table four times."""

    def __init__(self, uids: npt.NDArray[np.int64]) -> None:
        """uids: sorted"""
        self._uids = uids

    def has_any(self, uids: Sequence[int]) -> bool:
        asked = np.array(uids, dtype=np.int64)
        places = self._uids.searchsorted(asked)
        places[places == len(self._uids)] = 0
        return bool(len(self._uids)) and bool((self._uids[places] == asked).any())


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

    def knows(
        self, groups: Sequence[int], view_ids: Sequence[int], events: Sequence[Counted],
        alone: Alone | None,
    ) -> bool:
        """Whether one of these events is noted for one of these groups or views.

        alone: of these views, None to ask the table
        """
        uids = [_signed(each.uid) for each in events]
        if self._any(_KNOWN_TOGETHER, [(group, uid) for group in groups for uid in uids]):
            return True
        if alone is not None and not alone.has_any(uids):
            return False
        return self._any(_KNOWN_ALONE, [
            (view_id, entity, uid) for uid, event in zip(uids, events, strict=True)
            for view_id, entity in zip(view_ids, event.entities, strict=True) if entity
        ])

    def alone(self, view_ids: Sequence[int]) -> Alone | None:
        """The ids that were noted for these views one by one; None where they are too many."""
        found: list[npt.NDArray[np.int64]] = []
        for view_id in view_ids:
            uids = self._db.execute(
                "select uid from online_seen where view = ? limit ?", (view_id, MOST_ALONE + 1)
            ).fetchall()
            if len(uids) > MOST_ALONE:
                return None
            found.append(np.fromiter(chain.from_iterable(uids), np.int64, len(uids)))
        return Alone(np.unique(np.concatenate(found)))

    def note_together(self, group: int, events: Iterable[tuple[int, int, bytes]]) -> None:
        """Note these ids, each for all views of the group at once.

        events: of each its uid, its instant, its entities as `joined` packs them
        """
        self._db.executemany(
            "insert or ignore into online_together (group_id, uid, at, entities)"
            " values (?, ?, ?, ?)",
            [(group, _signed(uid), at, entities) for uid, at, entities in events],
        )

    def groups(self) -> dict[int, list[int | None]]:
        """The views of each group by place; None for one that is gone."""
        found: dict[int, list[int | None]] = {}
        for group, place, view in self._db.execute(
            "select group_id, place, view from online_groups"
        ):
            views = found.setdefault(group, [])
            views += [None] * (place + 1 - len(views))
            views[place] = view
        return found

    def new_group(self, view_ids: Sequence[int]) -> None:
        """Make the group of just these views in this order.

        Its number is drawn: the journal may still name a group whose views are all gone.
        """
        group = getrandbits(31)
        self._db.executemany("insert into online_groups values (?, ?, ?, ?)", [
            (view, group, place, NO_FLOOR) for place, view in enumerate(view_ids)
        ])

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

    def _any(self, query: str, rows: Sequence[tuple[object, ...]]) -> bool:
        """Whether the query finds something for one of `rows`."""
        for start in range(0, len(rows), _ASKED_AT_ONCE):
            some = rows[start : start + _ASKED_AT_ONCE]
            values = [value for row in some for value in row]
            size = padded(len(some))
            values += [None] * (len(some[0]) * (size - len(some)))
            if self._db.execute(_asking(query, len(some[0]), size), values).fetchone():
                return True
        return False

    def _not_together(self, view_id: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Those whose id no group of the view has for their entity."""
        groups = self._db.execute(
            "select group_id, place from online_groups where view = ?", (view_id,)
        ).fetchall()
        if not groups:
            return rows
        asked = json.dumps([_signed(uid) for _, _, uid, _ in rows])
        there = {
            (entity_at(entities, place), uid)
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


@lru_cache(maxsize=64)
def _asking(query: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return query.format(", ".join([row] * count))
