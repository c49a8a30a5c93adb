"""What the journal of the online store holds, in memory, beside the blobs it is read with.

The journal and this are what log-structured stores call a write-ahead log and a memtable
(O'Neil et al., "The log-structured merge-tree", 1996): an event is written once, in order, and
reaches the tables later, together with many others (`flushing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.sqlite.blob_cache import BlobCache
from ml_assets.features.online_store.sqlite.event_ids import Alone
from ml_assets.features.online_store.sqlite.flushing import Flush, Step, Stretch
from ml_assets.features.online_store.sqlite.joined import entity_at
from ml_assets.features.online_store.sqlite.journal import Section, unpack

Groups = dict[int, list[int | None]]
"""The views of each group by place; None for one that is gone."""

FLUSH_EVENTS = 32_768
"""So many events are collected before they go to the tables; half as many later they are there.

The more, the fewer entities are written for each event, as some come again, and the more has to
be read by a process that starts."""
SMALLEST_STEP = 256
"""Entities that are written in one transaction, at least: some milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What decides whether some views count an event that comes.

    since: none of them counts older ones; groups: that have one of them, theirs first
    alone: the ids that were noted for them one by one, None where the tables must be asked
    """

    since: int
    groups: list[int]
    alone: Alone | None


class Memtable:
    """One process's memory of the journal. Whoever shares it calls it one at a time.

    seq: the last batch that is in it; change: the store's, as of which all of it holds
    recent: events behind those of a flush; older: those that are being flushed
    """

    def __init__(self) -> None:
        self.change: bytes | None = b"not looked yet"
        self.groups: Groups = {}
        self.watched: dict[tuple[int, ...], Watched] = {}
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
        return len(self.recent) > 4 * FLUSH_EVENTS

    def has_id(self, groups: Iterable[int], uid: int) -> bool:
        """Whether the event is here, counted by one of these groups."""
        recent, older = self.recent.ids, self.older.ids
        return any(uid in recent[group] or uid in older[group] for group in groups)

    def has(self, view: int, entity: bytes, uid: int) -> bool:
        """Whether the event is here, counted by this view for this entity."""
        return any(
            entity_at(stretch.noted(group, uid)[1], views.index(view)) == entity
            for group, views in self.groups.items() if view in views
            for stretch in (self.recent, self.older) if uid in stretch.ids[group]
        )

    def entities(self, view: int) -> set[bytes]:
        """Those that events are here of."""
        return {*self.recent.rows[view], *self.older.rows[view]}

    def merged(self, view: int, entity: bytes, blob: bytes | None, seq: int) -> bytes | None:
        """`blob`, which the tables have as of batch `seq`, with what came later."""
        rows = b"".join([
            stretch.behind(view, entity, seq)[1] for stretch in (self.older, self.recent)
        ])
        if not rows:
            return blob
        return state.fresh(rows) if blob is None else blob + rows

    def due(self) -> int:
        """How many entities or ids should be written now; so that a flush is done when half as
        many events have come anew."""
        if self.flush is None:
            return SMALLEST_STEP if len(self.recent) >= FLUSH_EVENTS else 0
        behind = self.flush.size * 2 * len(self.recent) // FLUSH_EVENTS - self.flush.done
        return behind if behind >= min(SMALLEST_STEP, self.flush.size - self.flush.done) else 0

    def step(self, most: int) -> Step | None:
        """Of the flush, or of a new one of all that is recent, so much at most."""
        if self.flush is None:
            if not self.recent:
                return None
            self.older, self.recent = self.recent, Stretch()
            self.flush = Flush(self.older, self.seq)
        return self.flush.next(most)

    def done(self, step: Step) -> None:
        """The step was committed."""
        step.flush.finish(step)
        if step.is_last:
            self.older, self.flush = Stretch(), None

    def _add(self, seq: int, sections: Sequence[Section]) -> None:
        for group, events in sections:
            self.recent.note(group, events)
            for place, view in enumerate(self.groups.get(group, ())):
                if view is None:
                    continue
                there = [event for event in events if event.entities[place] is not None]
                entities = [event.entities[place] or b"" for event in there]
                packed = [event.rows[place] for event in there]
                self.recent.add(view, seq, entities, packed)
                self.blobs.grow(view, entities, packed, self.views.get(view))
        self.seq = seq
