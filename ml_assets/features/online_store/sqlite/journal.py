"""Events as the journal of the online store keeps them: a batch packed, and unpacked again.

A batch is one section for each stream that counted its events:

    group | views | packings | events || which packing each view has | sizes | the events

and an event is its row in each packing, then the entities of the views, `joined`.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from ml_assets.features.online_store.sqlite.joined import split
from ml_assets.features.online_store.stream import Counted, Stream

_HEAD = Struct("<IBBI")
_SIZE = Struct("<I")
_ROW = Struct("<qQ")
"""What every row begins with: `at` and `uid`."""


class Section(NamedTuple):
    """Events that a group of views counted, each with an entity and a row for every view."""

    group: int
    events: Sequence[Counted]


def pack(group: int, stream: Stream, events: Sequence[Counted]) -> bytes:
    """The section of these events, of one at least.

    The group's views are those of `stream`, in their order.
    """
    firsts = stream.firsts
    sizes = [len(events[0].rows[place]) for place in firsts]
    parts = [
        _HEAD.pack(group, len(stream.views), len(firsts), len(events)),
        bytes(stream.packed_as), *map(_SIZE.pack, sizes),
    ]
    for event in events:
        parts += [event.rows[place] for place in firsts]
        parts.append(event.joined)
    return b"".join(parts)


def unpack(batch: bytes) -> list[Section]:
    """The sections that were packed one behind the other."""
    sections, place = [], 0
    while place < len(batch):
        group, views, packings, count = _HEAD.unpack_from(batch, place)
        place += _HEAD.size
        packed_as = batch[place : place + views]
        place += views
        sizes = [_SIZE.unpack_from(batch, place + 4 * n)[0] for n in range(packings)]
        place += 4 * packings
        events = []
        for _ in range(count):
            at, uid = _ROW.unpack_from(batch, place)
            rows = []
            for size in sizes:
                rows.append(batch[place : place + size])
                place += size
            entities, end = split(batch, place, views)
            events.append(Counted(
                at, uid, entities, batch[place:end], [rows[each] for each in packed_as]
            ))
            place = end
        sections.append(Section(group, events))
    return sections
