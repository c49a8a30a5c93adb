"""A stretch of the online store's journal on its way into the tables, in steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from ml_assets.features.online_store.stream import Counted

_NUMBER = Struct("<q")


@dataclass(kw_only=True)
class Stretch:
    """The events of some batches of the journal that follow each other.

    Bytes alone: a hundred thousand small lists would stop the process for a tenth of a second
    whenever Python looks for garbage among them.

    rows: by view and entity, one after the other, each behind the number of its batch;
        what grows on is a bytearray, since an entity may be everybody's
    ids: by group and uid, the instant of the event and its entities, `joined`
    """

    rows: defaultdict[int, dict[bytes, bytes | bytearray]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    ids: defaultdict[int, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    _widths: dict[int, int] = field(default_factory=dict)
    """By view: what a row takes in `rows`."""

    def __len__(self) -> int:
        """How many events."""
        return sum(map(len, self.ids.values()))

    def note(self, group: int, events: Sequence[Counted]) -> None:
        ids = self.ids[group]
        for event in events:
            ids[event.uid] = _NUMBER.pack(event.at) + event.joined

    def noted(self, group: int, uid: int) -> tuple[int, bytes]:
        """The instant of the event and its entities, `joined`."""
        kept = self.ids[group][uid]
        return _NUMBER.unpack_from(kept)[0], kept[_NUMBER.size :]

    def add(
        self, view: int, seq: int, entities: Sequence[bytes], packed: Sequence[bytes]
    ) -> None:
        """For each entity a row, of one size, in batch `seq`."""
        rows, number = self.rows[view], _NUMBER.pack(seq)
        for entity, row in zip(entities, packed, strict=True):
            if entity not in rows:
                rows[entity] = number + row
            elif isinstance(kept := rows[entity], bytearray):
                kept += number + row
            else:
                rows[entity] = bytearray(kept + number + row)
        if packed:
            self._widths[view] = len(number) + len(packed[0])

    def behind(self, view: int, entity: bytes, seq: int) -> tuple[int, bytes]:
        """The rows of the entity in batches behind `seq`, and the number of their first."""
        kept = self.rows[view].get(entity, b"")
        if not kept:
            return 0, b""
        width, first = self._widths[view], 0
        while first < len(kept) and _NUMBER.unpack_from(kept, first)[0] <= seq:
            first += width
        rows = [kept[place + _NUMBER.size : place + width]
                for place in range(first, len(kept), width)]
        return _NUMBER.unpack_from(kept, first)[0] if rows else 0, b"".join(rows)


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
