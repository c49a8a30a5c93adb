"""A stretch of the online store's journal on its way into the tables, in steps."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from ml_assets.features.stores.stream import Counted


@dataclass(kw_only=True)
class Stretch:
    """The events of some batches of the journal that follow each other.

    rows: by view and entity, each with the number of its batch; ids: by group and uid
    """

    rows: defaultdict[int, dict[bytes, list[tuple[int, bytes]]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    ids: defaultdict[int, dict[int, Counted]] = field(default_factory=lambda: defaultdict(dict))

    def __len__(self) -> int:
        """How many events."""
        return sum(map(len, self.ids.values()))


class Flush:
    """A stretch on its way into the tables: a view after the other, in the order of the keys.

    upto: its last batch; size: how many entities and ids it has; done: how many are there
    """

    def __init__(self, stretch: Stretch, upto: int) -> None:
        self.upto, self.done = upto, 0
        self.size = sum(map(len, stretch.rows.values())) + len(stretch)
        self._stretch = stretch
        self._left = [
            *(("rows", view) for view, entities in stretch.rows.items() if entities),
            *(("ids", group) for group, uids in stretch.ids.items() if uids),
        ]
        self._sorted: list[Any] = []

    def next(self, most: int) -> Step:
        """So many entities of a view, or ids of a group, at most."""
        while self._left:
            what, number = self._left[0]
            if not self._sorted:
                self._sorted = sorted(getattr(self._stretch, what)[number], reverse=True)
            if self._sorted:
                some = self._sorted[: -most - 1 : -1]
                return Step(
                    flush=self, view=number, entities=some if what == "rows" else [],
                    group=number, uids=some if what == "ids" else [],
                    is_last=len(self._left) == 1 and len(some) == len(self._sorted),
                )
            self._left.pop(0)
        return Step(flush=self, view=0, entities=[], group=0, uids=[], is_last=True)

    def finish(self, step: Step) -> None:
        """The step was committed: what it wrote is let go."""
        rows, ids = self._stretch.rows[step.view], self._stretch.ids[step.group]
        for entity in step.entities:
            del rows[entity]
        for uid in step.uids:
            del ids[uid]
        count = len(step.entities) + len(step.uids)
        self.done += count
        if count:
            del self._sorted[-count:]
        if not self._sorted and self._left:
            self._left.pop(0)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A part of a flush, which one transaction writes: entities of a view or ids of a group."""

    flush: Flush
    view: int
    entities: list[bytes]
    group: int
    uids: list[int]
    is_last: bool
