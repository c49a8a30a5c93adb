"""Views in a store, as a projection of the event log.

Every process catches up before it reads: it applies what the log has behind the watermark, in the
order of positions. Who has logged a batch applies it at once, from memory if nobody else came in
between. State and watermark change in one transaction of the store.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

import pyarrow as pa

from ml_assets.core.errors import StateDamaged
from ml_assets.core.storage.database import Database, writing
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import OWN, Backend, Row, digest_of, floor_of
from ml_assets.features.online_store.counting import event_rows
from ml_assets.features.online_store.following.counts import (
    pack_rows,
)
from ml_assets.features.online_store.following.kept import Versions, pack_versions
from ml_assets.features.online_store.following.lake_stream import Origins
from ml_assets.features.online_store.following.portions import Portion
from ml_assets.features.online_store.following.stretches import Followed, LogRows
from ml_assets.features.online_store.lmdb.events import Applied, Counted, Read, Stretch, Viewed
from ml_assets.features.online_store.lmdb.keys import mark_entry, mark_of
from ml_assets.ingest.log.positions import (
    forget_counts,
    identity_of,
    last_position,
    note_load,
)

log = logging.getLogger(__name__)

_DAY = 24 * 3600 * 1_000_000


class FollowingStore(Backend, Protocol):
    """A store that notes of each source of events how much of it was applied; see `LmdbBackend`.

    path: what people call it
    """

    @property
    def path(self) -> object: ...

    def apply(
        self, source: bytes, views: Sequence[Viewed], read: Read, *, ends: float | None = None
    ) -> Applied: ...

    def watermark(self, source: bytes, view_ids: Sequence[int]) -> int: ...

    def append(
        self, view: WindowedView, view_id: int, rows: Sequence[Row],
        counted: Counted | None = None,
    ) -> int: ...


class Projection:
    """Some views, of one system or of several. For one thread, as its connection.

    log: a connection to the event log
    """

    def __init__(
        self, log: Database, store: FollowingStore, views: Sequence[Followed],
        origins: Origins,
    ) -> None:
        self.views = tuple(views)
        self._log, self._store = log, store
        self._source = identity_of(log)
        self._numbers = [each.id for each in views]
        self._applied = [(each.view, each.id) for each in views]
        self._origins = origins
        self._rows = self._log_rows()
        self._applied_to: tuple[int, int] | None = None
        """`_changes` when all that was in the log was applied."""
        self._reached = 0
        """The watermark, as far as is known here."""
        self.marks = [(number, [key]) for number, key in
                      (mark_entry(each.id, self._source) for each in views)]
        """For `FeatureReader.read_marked`: what `position` makes a position of."""

    def position(self, marks: Sequence[bytes | None]) -> int | None:
        """The position of the log at which all views are; None if they are not at the same."""
        if len(set(marks)) > 1:
            return None
        return mark_of(marks[0]) if marks else 0

    def catch_up(
        self, *, ends: float | None = None, step: Callable[[int], object] = lambda reached: None
    ) -> int:
        """Apply all that is in the log; returns how many events of loads were new.

        ends: raise TimeoutError if it takes longer, on `time.monotonic`; to go on later is fine.
            Unless it is given, only other writers are not waited for without end
        step: called with each position that was reached
        Raises StateDamaged if the views have counted what this log does not have.
        """
        changes = self._changes()
        if changes == self._applied_to or not self.views:
            return 0
        # In this order: others go on logging and applying meanwhile.
        reached, new = self._watermark(), 0
        head = last_position(self._log)
        if reached > head:
            raise StateDamaged(
                f"the online store {self._store.path} has counted up to position {reached} of the "
                f"event log, which ends at {head}: it belongs to a later state of the log")
        while reached < head:
            if ends is not None and monotonic() > ends:
                raise TimeoutError(
                    f"the online store is at position {reached} of {head} of the event log")
            reached, some = self._store.apply(
                self._source, self._applied, self._rows.read, ends=ends)
            new += some
            step(reached)
        self._applied_to, self._reached = changes, reached
        return new

    def behind(self) -> int:
        """How many positions of the log are not applied."""
        if not self.views:
            return 0
        return last_position(self._log) - self._watermark()

    def bound(self, followed: Followed) -> int:
        """What was filed before it is in no window that a reader may ask about."""
        view = followed.view
        if not isinstance(view, WindowedView):
            return 0
        floor = floor_of(self._store.get(followed.id, [OWN])[0], view.name)
        return floor - view.horizon - _DAY

    def follow(
        self, first: int, upto: int, rows: Sequence[Sequence[Row]], *, ends: float | None = None
    ) -> None:
        """Apply what was just logged at positions from `first` to `upto`.

        rows: for each of the views those of the events; ends: as of `catch_up`
        """
        def read(after: int, until: int | None) -> Stretch:
            if after == first - 1 and until is None:
                return Stretch(upto, rows)
            return self._rows.read(after, until)

        if not self.views:
            return
        before, self._applied_to = self._applied_to, None
        while self._store.apply(self._source, self._applied, read, ends=ends).upto < upto:
            pass
        if before is not None:
            # All that this connection has logged comes before the end of what was applied.
            self._applied_to = before[0], self._log.changed()[1]

    def load(self, followed: Followed, portion: Portion) -> int:
        """Log a portion of the lake, and apply it; returns how many of its events were new.

        To repeat is safe: the ids of what was loaded are kept.
        """
        with writing(self._log):
            rows = self._rows.unserved(followed, portion.rows, portion.event_ids)
            note_load(self._log, followed.view.name, digest_of(followed.view), portion.since,
                      portion.until, pack_rows(rows))
        new = self.catch_up()
        forget_counts(self._log, followed.view.name,
                      self._store.watermark(self._source, [followed.id]))
        return new

    def load_versions(self, followed: Followed, versions: Versions) -> int:
        """Log some rows of a table, and apply them; returns how many there are."""
        rows, since, until = versions
        with writing(self._log):
            note_load(self._log, followed.view.name, digest_of(followed.view), since, until,
                      pack_versions(rows))
        self._version = None
        self.catch_up()
        forget_counts(self._log, followed.view.name,
                      self._store.watermark(self._source, [followed.id]))
        return len(rows)

    def push(self, table: pa.Table) -> int:
        """Count the rows of `table` as events of the only view; returns how many were new.

        They take no position: only their ids are kept. One that the log counts is left out.
        """
        [followed] = self.views
        view = followed.view
        assert isinstance(view, WindowedView)
        names = table[view.event_id].to_pylist()

        def counted(_: WindowedView, rows: Sequence[Row]) -> set[tuple[bytes, int]]:
            left = {row[:3] for row in self._rows.unserved(followed, list(rows), names)}
            return {(row[0], row[2]) for row in rows if row[:3] not in left}

        return self._store.append(view, followed.id, event_rows(view, table), counted)

    def _watermark(self) -> int:
        reached = self._store.watermark(self._source, self._numbers)
        if reached < self._reached:  # a server that has lost what it had, or some of it
            self._applied_to, self._rows = None, self._log_rows()
        self._reached = reached
        return reached

    def _log_rows(self) -> LogRows:
        return LogRows(
            self._log, self.views, [self.bound(each) for each in self.views], self._origins)

    def _changes(self) -> tuple[int, int]:
        """Others' changes of the log, and those of this connection."""
        return self._log.changed()
