"""The online store in an LMDB file that any number of processes may read and write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import time_ns

from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import (
    NO_FLOOR,
    OWN,
    Registered,
    Row,
    View,
    expiry,
    floor_of,
)
from ml_assets.features.online_store.lmdb import events, expiring, walk
from ml_assets.features.online_store.lmdb.environment import (
    Environment,
    environment,
    leave,
)
from ml_assets.features.online_store.lmdb.events import Applied, Counted, Read, Viewed
from ml_assets.features.online_store.lmdb.keys import (
    LONGEST,
    NUMBER,
    mark_entry,
    mark_of,
    short,
)
from ml_assets.features.online_store.lmdb.mapped_file import FIRST_SIZE
from ml_assets.features.online_store.lmdb.views import ViewTable, sweep

AT_ONCE = 1000
"""Rows that are written in one transaction: some milliseconds, in which nobody else can write."""


class LmdbBackend:
    """A `Backend` in the file `path`, for any thread and process of this machine.

    To make one is cheap: those of a process share what they have open.
    """

    def __init__(
        self, path: Path, project: str = "ml_assets", *, first_size: int = FIRST_SIZE,
    ) -> None:
        """Open `path`, creating it if it is missing. Raises StateDamaged."""
        self.path = path
        self._first_size = first_size
        self._views = ViewTable(project)
        self.changes = 0, self._views.change
        self._opened: Environment | None = None
        self._env()

    def register(
        self, name: str, digest: str, *, note: bytes = b"", keep: bool = False
    ) -> int:
        found = self.views().get(name)
        if found is not None and found.digest == digest:
            return found.id
        view_id = self._env().write(
            lambda txn: self._views.register(txn, name, digest, note, keep=keep)
        )
        self._sweep()
        return view_id

    def set_note(self, view_id: int, note: bytes) -> None:
        self._env().write(lambda txn: self._views.set_note(txn, view_id, note))

    def views(self) -> dict[str, Registered]:
        return self._env().read(self._views.registered)

    def drop(self, view_id: int) -> None:
        self._env().write(lambda txn: self._views.drop(txn, view_id))
        self._sweep()

    def entities(self, view_id: int) -> Iterator[list[bytes]]:
        last: bytes | None = OWN
        while last is not None:
            some, last = self._env().read(partial(walk.entities, view_id=view_id, after=last))
            if some:
                yield some

    def get(self, view_id: int, entities: Sequence[bytes]) -> list[bytes | None]:
        return self.get_many([(view_id, entities)])[0]

    def get_many(
        self, asked: Sequence[tuple[int, Sequence[bytes]]]
    ) -> list[list[bytes | None]]:
        keys = [
            [start + entity if len(entity) <= LONGEST else start + short(entity)
             for entity in entities]
            for start, entities in ((NUMBER.pack(view_id), some) for view_id, some in asked)
        ]
        return self._env().read(lambda txn: [[*map(txn.get, some)] for some in keys])

    def append(
        self, view: WindowedView, view_id: int, rows: Sequence[Row],
        counted: Counted | None = None,
    ) -> int:
        """See `Backend`. counted: asked in each transaction, so that no event counts twice that
        comes by `apply` too
        """
        return sum(
            self._env().write(partial(
                events.append, view=view, view_id=view_id, counted=counted,
                rows=rows[start : start + AT_ONCE],
            ))
            for start in range(0, len(rows) or 1, AT_ONCE)
        )

    def apply(
        self, source: bytes, views: Sequence[Viewed], read: Read, *, ends: float | None = None
    ) -> Applied:
        """Count what comes next in `source`, each event once, in one transaction.

        read: called in it, at most for what the views have not applied; it must not use this
            store, nor wait for anybody who waits for it. Called again if the file has to grow
        Marks are kept for each view: where they differ, only those that have applied the least
        go on, up to the next.
        Rows that came by `append` before are left out, as are those too old for any window.
        ends: as of `Environment.write`
        Raises NotReady if a view is no longer registered, StoreHeld if others write for too long.
        """
        return self._env().write(lambda txn: events.apply(txn, source, views, read), ends=ends)

    def watermark(self, source: bytes, view_ids: Sequence[int]) -> int:
        """The position in `source` up to which all of the views have counted; 0 at first."""
        asked = ((number, [key]) for number, key in (mark_entry(each, source) for each in view_ids))
        return min(mark_of(value) for [value] in self.get_many(list(asked)))

    def sources(self, view_ids: Sequence[int]) -> set[bytes]:
        """The sources that something of these views comes from."""
        return self._env().read(partial(walk.sources, view_ids=view_ids))

    def put(self, view_id: int, rows: Iterable[Row], now: int | None = None) -> None:
        """In the order of the keys, in short transactions, so that others can write in between."""
        now = time_ns() // 1000 if now is None else now
        ordered = sorted(rows, key=lambda row: row[0])
        # Also for no row at all: it says whether the view is registered.
        for start in range(0, len(ordered) or 1, AT_ONCE):
            self._env().write(partial(
                events.put, view_id=view_id, rows=ordered[start : start + AT_ONCE], now=now
            ))

    def holds_much(self, view: WindowedView, view_id: int, now: int) -> bool:
        """Whether it is time for `expire`, which walks through all entities: not until windows have
        moved on by an eighth of their reach. So much more than needed is kept at most.
        """
        floor = floor_of(self.get(view_id, [OWN])[0], view.name)
        return floor == NO_FLOOR or expiry(view, now)[0] - floor >= view.horizon // 8

    def expire(self, view: View, view_id: int, now: int) -> int:
        """In many short transactions, so that others can write in between."""
        env = self._env()
        floor_of(self.get(view_id, [OWN])[0], view.name)
        if isinstance(view, WindowedView):
            floor, bound = expiry(view, now)
            env.write(lambda txn: self._views.raise_floor(txn, view_id, floor))
            expiring.forget_ids(env, view_id, bound)
        return expiring.forget_entities(env, view, view_id, now)

    def count(self, view_id: int) -> int:
        return self._env().read(lambda txn: walk.count(txn, view_id))

    def close(self) -> None:
        """Done with the file. What is asked afterwards opens it again."""
        if self._opened is not None:
            leave(self._opened, self)
            self._opened = None

    def _env(self) -> Environment:
        """What is open in this process, opened at its first use and after a fork."""
        found = self._opened
        if found is None or not found.is_open:
            found = self._opened = environment(self.path, self, first_size=self._first_size)
        return found

    def _sweep(self) -> None:
        """Delete what dropped views have left, also if the one who dropped them was killed."""
        while self._env().write(sweep):
            pass

