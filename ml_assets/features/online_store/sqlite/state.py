"""The online store on a SQLite connection that somebody else has opened.

Everything happens inside whatever transaction is open there: so the prediction API writes its
log and the state of its windows in one transaction of one file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from time import time_ns
from typing import Any

from ml_assets.core.storage.sqlite import in_passing, writing
from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import (
    FLOOR_SIZE,
    NO_FLOOR,
    OWN,
    Registered,
    Row,
    View,
    expiry,
    floor_entry,
    floor_of,
)
from ml_assets.features.online_store.sqlite.blob_cache import UNKNOWN
from ml_assets.features.online_store.sqlite.entities import entities_after, expire_some
from ml_assets.features.online_store.sqlite.event_ids import EventIds
from ml_assets.features.online_store.sqlite.journal_table import SqliteJournal, Together
from ml_assets.features.online_store.sqlite.memtable import Memtable
from ml_assets.features.online_store.sqlite.tables import (
    APPEND,
    GROWTH,
    PUT,
    Key,
    make_tables,
    own_entry,
    replace_blob,
    stored,
)
from ml_assets.features.online_store.versions import merged, version_of

LOOK = 8
"""One append in so many looks whether its blob has grown: looking costs like appending."""

_LARGEST_STEP = 1000
"""Entities that are written in one transaction at most: some milliseconds, others wait."""


class SqliteState:
    """A `Backend` on a connection of the caller, who begins and commits transactions.

    What `append_together` counts goes into a journal, which every reader knows (`memtable`);
    `settle` brings it to the tables.
    """

    def __init__(
        self, connection: sqlite3.Connection, project: str = "ml_assets",
        memory: Memtable | None = None,
    ) -> None:
        """Makes the tables where they are missing.

        memory: one that other connections to the same file share, each in its turn
        """
        self._db, self._project = connection, project
        self.changes = 0, project.encode()
        make_tables(connection)
        connection.create_function("merged_versions", 3, merged, deterministic=True)
        self._ids = EventIds(connection)
        self._memory = Memtable() if memory is None else memory
        self._journal = SqliteJournal(connection, self.changes, self._ids, self._memory)

    def register(
        self, name: str, digest: str, *, note: bytes = b"", keep: bool = False
    ) -> int:
        found = self._db.execute(
            "select id, digest from online_views where project = ? and name = ?",
            (self._project, name),
        ).fetchone()
        if found is not None:
            if found[1] == digest:
                return int(found[0])
            if keep:
                self._db.execute("delete from online_views where id = ?", (found[0],))
            else:
                self.drop(found[0])
        view_id = self._db.execute(
            "insert into online_views (project, name, digest) values (?, ?, ?)",
            (self._project, name, digest),
        ).lastrowid
        assert view_id is not None
        self._set_floor(view_id, NO_FLOOR, note)
        return view_id

    def set_note(self, view_id: int, note: bytes) -> None:
        own = own_entry(self._db, view_id)
        floor_of(own, str(view_id))
        assert own is not None
        replace_blob(self._db, view_id, OWN, own[:FLOOR_SIZE] + note)
        self._journal.note_change()

    def views(self) -> dict[str, Registered]:
        return {name: Registered(*found) for name, *found in self._db.execute(
            "select name, id, digest from online_views where project = ?", (self._project,)
        )}

    def drop(self, view_id: int) -> None:
        for table, column in (("online_state", "view"), ("online_views", "id")):
            self._db.execute(f"delete from {table} where {column} = ?", (view_id,))
        self._ids.drop(view_id)
        self._journal.note_change()

    def get(self, view_id: int, entities: Sequence[bytes]) -> list[bytes | None]:
        return self.get_many([(view_id, entities)])[0]

    def get_many(
        self, asked: Sequence[tuple[int, Sequence[bytes]]]
    ) -> list[list[bytes | None]]:
        self._journal.look()
        memory = self._memory
        if not memory.streams.isdisjoint([view_id for view_id, _ in asked]):
            self._journal.follow()
        found: list[list[bytes | None]] = []
        missing: list[tuple[list[bytes | None], int, Key]] = []
        for view_id, entities in asked:
            if (view_id, *entities) == self.changes:
                found.append([memory.change])
                continue
            known: list[Any] = [UNKNOWN] * len(entities)
            if view_id in memory.streams:
                known = memory.blobs.get(view_id, list(entities))
            if UNKNOWN in known:
                missing += [
                    (known, place, (view_id, entity))
                    for place, (entity, blob) in enumerate(zip(entities, known, strict=True))
                    if blob is UNKNOWN
                ]
            found.append(known)
        there = stored(self._db, "state, seq", [key for _, _, key in missing])
        for (blobs, place, (view_id, entity)), (blob, seq) in zip(missing, there, strict=True):
            if view_id in memory.streams:
                blob = memory.merged(view_id, entity, blob, seq or 0)
                # What was flushed beyond it comes out of the journal once more.
                if (seq or 0) <= memory.seq:
                    memory.blobs.put(view_id, entity, blob)
            blobs[place] = blob
        return found

    def append(self, view: WindowedView, view_id: int, rows: Sequence[Row]) -> int:
        self._journal.look()
        floor = floor_of(own_entry(self._db, view_id), view.name)
        if floor > NO_FLOOR:
            rows = [row for row in rows if row[1] >= floor - view.horizon]
        streamed = view_id in self._memory.streams
        if streamed:
            self._journal.follow()
            rows = [row for row in rows if not self._memory.has(view_id, row[0], row[2])]
        new = self._ids.note(view_id, rows)
        if streamed and new:
            self._journal.note_change()
        self._add(((view_id, entity), row, view) for entity, _, _, row in new)
        return len(new)

    def append_together(self, counted: Sequence[Together]) -> None:
        """`append` of events for each view of some streams, at a fraction of the cost.

        They are written once, into the journal. Where one may have been counted before, those
        of its stream are counted view by view. At most once in a transaction.
        """
        new, rest = self._journal.sift(counted)
        for stream, view_ids, events in rest:
            for place, (view, view_id) in enumerate(zip(stream.views, view_ids, strict=True)):
                rows = (each.row(place) for each in events)
                self.append(view, view_id, [row for row in rows if row is not None])
        self._journal.write(new)

    def settle(self, *, whole: bool = False) -> None:
        """Bring some of the journal to the tables, where it is time for it: see `memtable`.

        In a transaction of its own: for whoever appends together, behind each one. Where
        another process is writing, the next call does it.
        whole: all of it, now
        """
        memory = self._memory
        if whole:
            self._journal.look()
            self._journal.follow()
        most = _LARGEST_STEP if whole else min(memory.due(), _LARGEST_STEP)
        with suppress(sqlite3.OperationalError):
            while most and (step := memory.step(most)) is not None:
                with in_passing(self._db), writing(self._db):
                    for entity in self._journal.flush(step):
                        self._fold(memory.views[step.view], step.view, entity)
                        memory.blobs.drop(step.view, entity)
                memory.done(step)
                if not whole:
                    break

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
        growth = stored(self._db, GROWTH, list(looked))
        for (place, view), (size, header) in zip(looked.items(), growth, strict=True):
            if state.grown(view, size, header):
                self._fold(view, *place)

    def _fold(self, view: WindowedView, view_id: int, entity: bytes) -> None:
        [(blob,)] = stored(self._db, "state", [(view_id, entity)])
        assert blob is not None
        replace_blob(self._db, view_id, entity, state.fold(view, blob))

    def put(self, view_id: int, rows: Iterable[Row], now: int | None = None) -> None:
        now = time_ns() // 1000 if now is None else now
        floor_of(own_entry(self._db, view_id), str(view_id))
        # In the order of the keys, pages fill one after the other.
        self._db.executemany(PUT, (
            (view_id, entity, at, created, len(version), version, now)
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
        floor_before = floor_of(own_entry(self._db, view_id), view.name)
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
        return expire_some(self._db, view, view_id, now, after)

    def entities(self, view_id: int) -> Iterator[list[bytes]]:
        after: bytes | None = OWN
        while after is not None:
            some, after = self.entities_after(view_id, after)
            if some:
                yield some

    def entities_after(self, view_id: int, after: bytes) -> tuple[list[bytes], bytes | None]:
        """Some entities behind `after`, in order, and the last of them, None at the end.

        Those in the tables: what only the journal has is of windowed views.
        """
        return entities_after(self._db, view_id, after)

    def count(self, view_id: int) -> int:
        self._journal.look()
        if view_id in self._memory.streams:
            self._journal.follow()
        (found,) = self._db.execute(
            "select count(*) from online_state where view = ? and entity > ?", (view_id, OWN)
        ).fetchone()
        fresh = [(view_id, entity) for entity in self._memory.entities(view_id)]
        sizes = [size for (size,) in stored(self._db, "length(state)", fresh)]
        return int(found) + sizes.count(None)

    def close(self) -> None:
        """Nothing to do: the connection is the caller's."""

    def _set_floor(self, view_id: int, floor: int, note: bytes = b"") -> None:
        own = own_entry(self._db, view_id)
        note = note if own is None else own[FLOOR_SIZE:]
        self._db.execute(
            "insert or replace into online_state (view, entity, state) values (?, ?, ?)",
            (view_id, OWN, floor_entry(floor) + note),
        )
        self._journal.note_change()
