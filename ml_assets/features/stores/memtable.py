"""What the journal of the online store holds, in memory, beside the blobs it is read with.

The journal and this are what log-structured stores call a write-ahead log and a memtable
(O'Neil et al., "The log-structured merge-tree", 1996): an event is written once, in order, and
reaches the tables later, together with many others (`flushing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil

from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.stores.blob_cache import BlobCache, Key
from ml_assets.features.stores.journal import Section, unpack
from ml_assets.features.stores.stream import Counted

Groups = dict[int, list[int | None]]
"""The views of each group by place; None for one that is gone."""

FLUSH_EVENTS = 8192
"""So many events are collected before they go to the tables; half as many later they are there.

More are fewer pages to write for each, as entities come again and share pages, and more to read
for a process that starts: 8192 events of four views take some 50 ms and 10 MB."""
SMALLEST_STEP = 64
"""Entities that are written in one transaction, at least."""


@dataclass(kw_only=True)
class Stretch:
    """The events of some batches of the journal that follow each other.

    rows: for each view and entity the number of the batch and the row; ids: by group and uid
    """

    rows: dict[Key, list[tuple[int, bytes]]] = field(default_factory=dict)
    ids: dict[tuple[int, int], Counted] = field(default_factory=dict)


@dataclass(kw_only=True)
class Flush:
    """How far a stretch is on its way into the tables; `upto` is its last batch."""

    upto: int
    keys: list[Key]
    ids: list[tuple[int, int]]
    keys_done: int = 0
    ids_done: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """A part of a flush: what one transaction writes."""

    flush: Flush
    keys: Sequence[Key]
    ids: Sequence[tuple[int, int]]

    @property
    def is_last(self) -> bool:
        return (self.flush.keys_done + len(self.keys) == len(self.flush.keys)
                and self.flush.ids_done + len(self.ids) == len(self.flush.ids))


class Memtable:
    """One process's memory of the journal. Whoever shares it calls it one at a time.

    seq: the last batch that is in it; change: the store's, as of which all of it holds
    recent: events behind those of a flush; older: those that are being flushed
    """

    def __init__(self) -> None:
        self.change: bytes | None = b"not looked yet"
        self.groups: Groups = {}
        self.watched: dict[tuple[int, ...], tuple[int, list[int]]] = {}
        self.views: dict[int, WindowedView] = {}
        self.blobs = BlobCache()
        self.streams: frozenset[int] = frozenset()
        self._written: tuple[bytes, Sequence[Section]] = b"", ()
        self.forget()

    def forget(self) -> None:
        """Begin anew, with the first batch that the journal still has."""
        self.seq = 0
        self.recent, self.older = Stretch(), Stretch()
        self.flush: Flush | None = None
        self.blobs.clear()

    def changed(self, change: bytes | None, groups: Groups) -> None:
        """Views, floors or blobs were changed by others than the journal."""
        self.change = change
        self.watched.clear()
        self.blobs.clear()
        self.learn(groups)

    def learn(self, groups: Groups) -> None:
        self.groups = groups
        self.streams = frozenset(
            view for views in groups.values() for view in views if view is not None
        )

    def expect(self, batch: bytes, sections: Sequence[Section]) -> None:
        """This is about to be committed: when it comes out of the journal, it is known already."""
        self._written = batch, sections

    def follow(self, batches: Iterable[tuple[int, bytes]], groups: Callable[[], Groups]) -> bool:
        """Take in what the journal has behind `seq`; `groups` looks at them anew.

        False where some of it is there no more, since another process has flushed it.
        """
        for seq, batch in batches:
            if self.seq and seq != self.seq + 1:
                return False
            known, sections = self._written
            if batch != known:
                sections = unpack(batch)
            if any(each.group not in self.groups for each in sections):
                self.learn(groups())
            self._add(seq, sections)
        return True

    @property
    def is_too_large(self) -> bool:
        """Whether it has grown in a process that flushes nothing."""
        return len(self.recent.ids) > 4 * FLUSH_EVENTS

    def has_id(self, groups: Iterable[int], uid: int) -> bool:
        """Whether the event is here, counted by one of these groups."""
        return any(
            (group, uid) in self.recent.ids or (group, uid) in self.older.ids for group in groups
        )

    def has(self, view_id: int, entity: bytes, uid: int) -> bool:
        """Whether the event is here, counted by this view for this entity."""
        return any(
            found.entities[views.index(view_id)] == entity
            for group, views in self.groups.items() if view_id in views
            for stretch in (self.recent, self.older)
            if (found := stretch.ids.get((group, uid))) is not None
        )

    def entities(self, view_id: int) -> set[bytes]:
        """Those that events are here of."""
        return {entity for stretch in (self.recent, self.older)
                for view, entity in stretch.rows if view == view_id}

    def merged(self, key: Key, blob: bytes | None, seq: int) -> bytes | None:
        """`blob`, which the tables have as of batch `seq`, with what came later."""
        rows = [
            row for stretch in (self.older, self.recent)
            for number, row in stretch.rows.get(key, ()) if number > seq
        ]
        if not rows:
            return blob
        return state.fresh(b"".join(rows)) if blob is None else b"".join((blob, *rows))

    def due(self) -> int:
        """How many entities should be written now; so that a flush is done when half as many
        events have come anew."""
        if self.flush is None:
            return SMALLEST_STEP if len(self.recent.ids) >= FLUSH_EVENTS else 0
        left = len(self.flush.keys) - self.flush.keys_done
        target = len(self.flush.keys) * 2 * len(self.recent.ids) // FLUSH_EVENTS
        behind = target - self.flush.keys_done
        return behind if behind >= min(SMALLEST_STEP, left) else 0

    def step(self, most: int) -> Step | None:
        """Of the flush, or of a new one of all that is recent, so many entities at most."""
        if self.flush is None:
            if not self.recent.ids:
                return None
            self.older, self.recent = self.recent, Stretch()
            self.flush = Flush(upto=self.seq, keys=sorted(self.older.rows),
                               ids=sorted(self.older.ids))
        flush = self.flush
        keys = flush.keys[flush.keys_done : flush.keys_done + most]
        left = len(flush.keys) - flush.keys_done
        share = len(keys) / left if left else 1.0
        ids = ceil(share * (len(flush.ids) - flush.ids_done))
        return Step(flush=flush, keys=keys, ids=flush.ids[flush.ids_done : flush.ids_done + ids])

    def done(self, step: Step) -> None:
        """The step was committed."""
        if step.is_last:
            self.older, self.flush = Stretch(), None
        else:
            step.flush.keys_done += len(step.keys)
            step.flush.ids_done += len(step.ids)

    def _add(self, seq: int, sections: Sequence[Section]) -> None:
        rows, ids, grow = self.recent.rows, self.recent.ids, self.blobs.grow
        for group, events in sections:
            views = self.groups.get(group, ())
            for event in events:
                ids[group, event.uid] = event
                for view_id, entity, row in zip(views, event.entities, event.rows, strict=False):
                    if entity is None or view_id is None:
                        continue
                    key = view_id, entity
                    if key in rows:
                        rows[key].append((seq, row))
                    else:
                        rows[key] = [(seq, row)]
                    grow(key, row)
        self.seq = seq
