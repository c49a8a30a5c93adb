"""The online store on a SQLite connection that somebody else has opened.

Everything happens inside whatever transaction is open there: so the prediction API writes its
log and the state of its windows in one transaction of one file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.stores.backend import (
    NO_FLOOR,
    OWN,
    Registered,
    Row,
    View,
    expiry,
    floor_entry,
    floor_of,
)
from ml_assets.features.stores.plain import version_of
from ml_assets.features.stores.sqlite_ids import EventIds
from ml_assets.features.stores.sqlite_tables import TABLES
from ml_assets.features.stores.stream import Counted, Stream

# `||` makes text of two blobs, so it is cast back.
APPEND = """
insert into online_state (view, entity, state) values (?, ?, ?)
on conflict (view, entity) do update set state = cast(state || ? as blob)
"""

SIZE = f"""
select length(state), substr(state, 1, {state.HEADER_SIZE}) from online_state
where view = ? and entity = ?
"""

PUT = """
insert into online_state (view, entity, at, created, size, state) values (?, ?, ?, ?, ?, ?)
on conflict (view, entity) do update set
    state = cast(case
        when excluded.at > at then excluded.state || substr(state, 1, size)
        when excluded.at = at then excluded.state || substr(state, size + 1)
        else substr(state, 1, size) || excluded.state
    end as blob),
    at0 = iif(excluded.at > at, at, iif(excluded.at = at, at0, excluded.at)),
    created0 = iif(excluded.at > at, created, iif(excluded.at = at, created0, excluded.created)),
    size = iif(excluded.at >= at, excluded.size, size),
    created = iif(excluded.at >= at, excluded.created, created),
    at = max(at, excluded.at)
where (excluded.at, excluded.created) >= (at, created)
    or excluded.at < at and (at0 is null or (excluded.at, excluded.created) >= (at0, created0))
"""

LOOK = 8
"""One append in so many looks whether its blob has grown: looking costs like appending."""

CHANGED = """
insert into online_state (view, entity, state) values (?, ?, cast('1' as blob))
on conflict (view, entity) do update set state = cast(cast(state as integer) + 1 as blob)
"""

_KEYS_AT_ONCE = 512
_EXPIRED_AT_ONCE = 1000
_SMALL = 1024
"""Bytes: a smaller blob has no old tiles worth folding away."""


class SqliteState:
    """A `Backend` on a connection of the caller, who begins and commits transactions."""

    def __init__(self, connection: sqlite3.Connection, project: str = "ml_assets") -> None:
        """Makes the tables where they are missing."""
        self._db, self._project = connection, project
        self.changes = 0, project.encode()
        for table in TABLES:
            # Not executescript, which would commit.
            connection.execute(table)
        self._ids = EventIds(connection)

    def register(self, name: str, digest: str) -> int:
        found = self._db.execute(
            "select id, digest from online_views where project = ? and name = ?",
            (self._project, name),
        ).fetchone()
        if found is not None:
            if found[1] == digest:
                return int(found[0])
            self.drop(found[0])
        view_id = self._db.execute(
            "insert into online_views (project, name, digest) values (?, ?, ?)",
            (self._project, name, digest),
        ).lastrowid
        assert view_id is not None
        self._set_floor(view_id, NO_FLOOR)
        return view_id

    def views(self) -> dict[str, Registered]:
        return {name: Registered(*found) for name, *found in self._db.execute(
            "select name, id, digest from online_views where project = ?", (self._project,)
        )}

    def drop(self, view_id: int) -> None:
        for table, column in (("online_state", "view"), ("online_views", "id")):
            self._db.execute(f"delete from {table} where {column} = ?", (view_id,))
        self._ids.drop(view_id)
        self._note_change()

    def get(self, view_id: int, entities: Sequence[bytes]) -> list[bytes | None]:
        return self.get_many([(view_id, entities)])[0]

    def get_many(
        self, asked: Sequence[tuple[int, Sequence[bytes]]]
    ) -> list[list[bytes | None]]:
        wanted: list[object] = []
        for view_id, entities in asked:
            for entity in entities:
                wanted += (view_id, entity)
        blobs: list[bytes | None] = []
        for start in range(0, len(wanted), 2 * _KEYS_AT_ONCE):
            some = wanted[start : start + 2 * _KEYS_AT_ONCE]
            blobs += [blob for (blob,) in self._db.execute(_select(len(some) // 2), some)]
        found, place = [], 0
        for _, entities in asked:
            end = place + len(entities)
            found.append(blobs[place:end])
            place = end
        return found

    def append(self, view: WindowedView, view_id: int, rows: Sequence[Row]) -> int:
        floor = floor_of(self.get(view_id, [OWN])[0], view.name)
        if floor > NO_FLOOR:
            rows = [row for row in rows if row[1] >= floor - view.horizon]
        new = self._ids.note(view_id, rows)
        self._add(((view_id, entity), row, view) for entity, _, _, row in new)
        return len(new)

    def append_together(
        self, stream: Stream, view_ids: Sequence[int], events: Sequence[Counted]
    ) -> None:
        """`append` of these events for each view of the stream, at a fraction of the cost.

        view_ids: of `stream.views`
        """
        if not events:
            return
        views = list(zip(stream.views, view_ids, strict=True))
        floors = self.get_many([(view_id, [OWN]) for view_id in view_ids])
        since = max(
            floor_of(own, view.name) - view.horizon
            for view, (own,) in zip(stream.views, floors, strict=True)
        )
        if len(views) > 1 and all(each.at >= since for each in events) and (
            self._ids.note_together(view_ids, events)
        ):
            self._add(
                ((view_id, entity), row, view) for each in events
                for (view, view_id), entity, row in zip(
                    views, each.entities, each.rows, strict=True
                ) if entity is not None
            )
            return
        for place, (view, view_id) in enumerate(views):
            rows = (each.row(place) for each in events)
            self.append(view, view_id, [row for row in rows if row is not None])

    def _add(self, rows: Iterable[tuple[tuple[int, bytes], bytes, WindowedView]]) -> None:
        """Append each row to the blob of its (view, entity)."""
        packed: dict[tuple[int, bytes], list[bytes]] = {}
        looked: dict[tuple[int, bytes], WindowedView] = {}
        for place, row, view in rows:
            packed.setdefault(place, []).append(row)
            # By the last byte of the row's id, which is as good as chance.
            if row[8] % LOOK == 0:
                looked[place] = view
        joined = ((place, b"".join(some)) for place, some in packed.items())
        self._db.executemany(APPEND, [(*place, state.fresh(some), some) for place, some in joined])
        for place, view in looked.items():
            ((size, header),) = self._db.execute(SIZE, place).fetchall()
            if state.grown(view, size, header):
                self._fold(view, *place)

    def _fold(self, view: WindowedView, view_id: int, entity: bytes) -> None:
        (blob,) = self.get(view_id, [entity])
        assert blob is not None
        self._replace(view_id, entity, state.fold(view, blob))

    def _replace(self, view_id: int, entity: bytes, blob: bytes) -> None:
        self._db.execute(
            "update online_state set state = ? where view = ? and entity = ?",
            (blob, view_id, entity),
        )

    def put(self, view_id: int, rows: Iterable[Row]) -> None:
        floor_of(self.get(view_id, [OWN])[0], str(view_id))
        # In the order of the keys, pages fill one after the other.
        self._db.executemany(PUT, (
            (view_id, entity, at, created, len(version), version)
            for entity, at, created, version in (
                (entity, at, created, version_of(at, created, payload))
                for entity, at, created, payload in sorted(rows, key=lambda row: row[0])
            )
        ))

    def expire(self, view: View, view_id: int, now: int) -> int:
        dropped, after = 0, OWN
        self.expire_ids(view, view_id, now)
        while True:
            some, last = self.expire_some(view, view_id, now, after)
            dropped += some
            if last is None:
                return dropped
            after = last

    def expire_ids(self, view: View, view_id: int, now: int) -> None:
        """The first step of `expire`: raise the floor and forget old event ids."""
        floor_before = floor_of(self.get(view_id, [OWN])[0], view.name)
        if isinstance(view, WindowedView):
            floor, bound = expiry(view, now)
            self._set_floor(view_id, max(floor, floor_before))
            self._ids.expire(view_id, bound)

    def expire_some(
        self, view: View, view_id: int, now: int, after: bytes
    ) -> tuple[int, bytes | None]:
        """A further step: entities behind `after`, in order.

        Returns how many were dropped and the last one looked at, None at the end.
        """
        rows = self._db.execute(
            "select entity, at, state from online_state where view = ? and entity > ?"
            " order by entity limit ?", (view_id, after, _EXPIRED_AT_ONCE),
        ).fetchall()
        idle = []
        for entity, at, blob in rows:
            if not isinstance(view, WindowedView):
                if view.ttl and at < now - view.ttl:
                    idle.append(entity)
            elif state.is_idle(view, blob, expiry(view, now)[1]):
                idle.append(entity)
            elif len(blob) >= _SMALL:
                folded = state.fold(view, blob, now)
                if len(folded) < len(blob):
                    self._replace(view_id, entity, folded)
        self._db.executemany(
            "delete from online_state where view = ? and entity = ?",
            [(view_id, entity) for entity in idle],
        )
        return len(idle), rows[-1][0] if len(rows) == _EXPIRED_AT_ONCE else None

    def count(self, view_id: int) -> int:
        (found,) = self._db.execute(
            "select count(*) from online_state where view = ? and entity > ?", (view_id, OWN)
        ).fetchone()
        return int(found)

    def close(self) -> None:
        """Nothing to do: the connection is the caller's."""

    def _set_floor(self, view_id: int, floor: int) -> None:
        self._db.execute(
            "insert or replace into online_state (view, entity, state) values (?, ?, ?)",
            (view_id, OWN, floor_entry(floor)),
        )
        self._note_change()

    def _note_change(self) -> None:
        self._db.execute(CHANGED, self.changes)


@lru_cache(maxsize=_KEYS_AT_ONCE)
def _select(count: int) -> str:
    """One row for each of `count` (view, entity) parameters, in their order.

    SQLite never reorders an outer join, so rows come in the order of the values.
    """
    values = ", ".join(["(?, ?)"] * count)
    return (
        f"with asked (view, entity) as (values {values}) select state from asked"
        " left join online_state using (view, entity)"
    )
