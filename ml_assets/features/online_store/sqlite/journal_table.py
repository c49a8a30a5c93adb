"""The online store's journal in SQLite, and what a process knows of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ml_assets.features.engine import state
from ml_assets.features.online_store.backend import floor_of
from ml_assets.features.online_store.sqlite.blob_cache import SMALL
from ml_assets.features.online_store.sqlite.event_ids import EventIds
from ml_assets.features.online_store.sqlite.flushing import Step
from ml_assets.features.online_store.sqlite.journal import Section, pack
from ml_assets.features.online_store.sqlite.memtable import Memtable, Watched
from ml_assets.features.online_store.sqlite.tables import GROWTH, Key, own_entry, stored
from ml_assets.features.online_store.stream import Counted, Stream

Together = tuple[Stream, Sequence[int], Sequence[Counted]]
"""Events of a stream, and the numbers of its views."""
New = tuple[int, Stream, Sequence[Counted]]
"""Events of a stream, and the group of its views."""

LOOK = """
select (select state from online_state where view = ? and entity = ?),
    (select max(seq) from online_journal)
"""
FLUSH = """
insert into online_state (view, entity, state, seq) values (?1, ?2, ?3, ?5)
on conflict (view, entity) do update set state = cast(state || ?4 as blob), seq = ?5
where seq < ?6
"""
# By chance, not by counting: what was undone with a transaction must not come again.
CHANGED = "insert or replace into online_state (view, entity, state) values (?, ?, randomblob(8))"


class SqliteJournal:
    """On a connection whose caller begins and commits transactions.

    changes: the (view, key) of an entry that is another one after every change that did not
    come through the journal
    """

    def __init__(
        self, connection: sqlite3.Connection, changes: Key, ids: EventIds, memory: Memtable
    ) -> None:
        self._db, self._changes, self._ids, self._memory = connection, changes, ids, memory
        self._last: int | None = None
        """The journal's last batch, at the last look."""

    def look(self) -> None:
        """Notice what anybody has changed otherwise than through the journal."""
        memory = self._memory
        change, self._last = self._db.execute(LOOK, self._changes).fetchone()
        if change != memory.change:
            memory.changed(change, self._ids.groups())

    def note_change(self) -> None:
        """Let every process look anew."""
        self._db.execute(CHANGED, self._changes)

    def follow(self) -> None:
        """Take in what this and other processes had committed to it at the last `look`."""
        memory = self._memory
        if (self._last or 0) <= memory.seq:
            return
        if not memory.follow(self._behind(), self._ids.groups) or memory.is_too_large:
            memory.forget()
            memory.follow(self._behind(), self._ids.groups)

    def sift(self, counted: Sequence[Together]) -> tuple[list[New], list[Together]]:
        """What is surely new of these events; and the rest, whole streams."""
        new: list[New] = []
        rest: list[Together] = []
        for stream, view_ids, events in counted:
            if not events:
                continue
            watched = self._watched(stream, tuple(view_ids))
            if self._are_new(events, watched, view_ids):
                new.append((watched.groups[0], stream, events))
            else:
                rest.append((stream, view_ids, events))
        return new, rest

    def write(self, new: Sequence[New]) -> None:
        """Write them. The last step of a transaction: `follow` takes in what it finds."""
        if new:
            batch = b"".join([pack(*each) for each in new])
            self._memory.expect(batch, [Section(group, events) for group, _, events in new])
            self._db.execute("insert into online_journal (events) values (?)", (batch,))

    def flush(self, step: Step) -> list[bytes]:
        """Bring a step to the tables, in the transaction that is open.

        Returns the entities whose blobs there want to be folded.
        """
        memory, upto = self._memory, step.flush.upto
        entities = step.entities if self._is_registered(step.view) else []
        if not self._write(step.view, entities, [0] * len(entities), upto):
            # Some of it another process has brought there; which, the tables say.
            self._db.execute("rollback")
            self._db.execute("begin immediate")
            there = stored(self._db, "seq", [(step.view, entity) for entity in entities])
            self._write(step.view, entities, [seq or 0 for (seq,) in there], upto)
        self._ids.note_together(step.group, [
            (uid, *memory.older.noted(step.group, uid)) for uid in step.uids
        ])
        if step.is_last:
            self._db.execute("delete from online_journal where seq < ?", (upto,))
        view, rows = memory.views.get(step.view), memory.older.rows[step.view]
        if view is None:
            return []
        # The blob in memory may have been folded since; that in the table was not.
        large = [
            entity for entity in entities
            if len(memory.blobs.peek(step.view, entity) or b"") > SMALL
            or len(rows[entity]) > SMALL
        ]
        return [
            entity for entity, (size, header) in zip(
                large, stored(self._db, GROWTH, [(step.view, entity) for entity in large]),
                strict=True,
            ) if state.grown(view, size, header)
        ]

    def _write(
        self, view_id: int, entities: Sequence[bytes], after: Sequence[int], upto: int
    ) -> bool:
        """Add the rows of each entity behind a batch; False where some were there before."""
        written = []
        for entity, before in zip(entities, after, strict=True):
            first, rows = self._memory.older.behind(view_id, entity, before)
            if rows:
                written.append((view_id, entity, state.fresh(rows), rows, upto, first))
        return not written or self._db.executemany(FLUSH, written).rowcount == len(written)

    def _is_registered(self, view_id: int) -> bool:
        return self._db.execute(
            "select 1 from online_views where id = ?", (view_id,)
        ).fetchone() is not None

    def _behind(self) -> list[tuple[int, bytes]]:
        """The batches of the journal that are not in memory."""
        return self._db.execute(
            "select seq, events from online_journal where seq > ? order by seq",
            (self._memory.seq,),
        ).fetchall()

    def _watched(self, stream: Stream, view_ids: tuple[int, ...]) -> Watched:
        """Of these views, whose group is made where it is missing.

        Raises NotReady where a view is gone.
        """
        self.look()
        memory = self._memory
        if view_ids not in memory.watched:
            since = max(
                floor_of(own_entry(self._db, view_id), view.name) - view.horizon
                for view, view_id in zip(stream.views, view_ids, strict=True)
            )
            if list(view_ids) not in memory.groups.values():
                self._ids.new_group(view_ids)
                self.note_change()
                self.look()
            mine = [group for group, views in memory.groups.items() if views == list(view_ids)]
            shared = set(view_ids)
            others = [group for group, views in memory.groups.items()
                      if group not in mine and not shared.isdisjoint(views)]
            memory.watched[view_ids] = Watched(
                since=since, groups=mine + others, alone=self._ids.alone(view_ids)
            )
            memory.views.update(zip(view_ids, stream.views, strict=True))
        self.follow()
        return memory.watched[view_ids]

    def _are_new(
        self, events: Sequence[Counted], watched: Watched, view_ids: Sequence[int]
    ) -> bool:
        """Whether no event is too old, was counted by any of these views, or comes twice."""
        groups, has_id = watched.groups, self._memory.has_id
        return (
            len({each.uid for each in events}) == len(events)
            and not any(each.at < watched.since or has_id(groups, each.uid) for each in events)
            and not self._ids.knows(groups, view_ids, events, watched.alone)
        )
