"""What a view knew at each of many instants: one walk through its stream as it arrived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_assets.core.settings import Settings
from ml_assets.features.engine import state
from ml_assets.features.engine.columns import instants, key_column, nulls_of, slot_column
from ml_assets.features.engine.events import Events, uids
from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.offline import first_day
from ml_assets.features.online_store.following.lake_stream import read_stream
from ml_assets.features.service import View
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.served import from_us

AT_ONCE = 32 << 20
"""Bytes of state that are held to be read together."""
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True)
class Readers:
    """n readers of a view.

    keys: who is asked about; None where a reader names no entity
    as_of: the instants strictly before which events count; known_by: strictly before which they
    had to have arrived. Microseconds since 1970 UTC
    """

    keys: list[bytes | None]
    as_of: Ints
    known_by: Ints


@dataclass(kw_only=True)
class _Entity:
    """The state of one entity, and what of its future matters.

    blob: the events that have arrived, as an online store keeps them
    refused: its size as it last could not be folded without loss for a later reader
    waiting: its readers, those who come next last: (known_by, reader, the earliest `as_of` from
        this one on)
    """

    blob: bytearray
    waiting: list[tuple[int, int, int]]
    refused: int = 0
    counted: set[int] = field(default_factory=set)


def read_from_the_past(
    settings: Settings, view: View, readers: Readers
) -> npt.NDArray[np.float64]:
    """The features (n, F) that each reader sees, from what had happened and arrived before.

    The online engine alone is asked: events are added to the state of their entity as they
    arrive, and each reader reads the state of that moment. In memory are a day of the stream and
    the state of the entities that are still asked about. Raises NotReady if the stream is not in
    the lake.
    """
    windowed = view.windowed
    found = state.read(windowed, [None] * len(readers.keys), readers.as_of)
    found[[key is None for key in readers.keys]] = np.nan
    entities = _entities(readers)
    due: list[tuple[int, bytes]] = []
    size = 0
    lake = Lake(settings.lake)
    for day in _days(settings, view, readers):
        rows = read_stream(lake, windowed, view.system, view.table, [day])
        for reader, blob in _walk(windowed, entities, rows):
            due.append((reader, blob))
            size += len(blob)
            if size > AT_ONCE:
                _read(windowed, readers, due, found)
                due, size = [], 0
    for entity in entities.values():
        due += [(reader, bytes(entity.blob)) for _, reader, _ in entity.waiting]
    _read(windowed, readers, due, found)
    return found


def _entities(readers: Readers) -> dict[bytes, _Entity]:
    entities: dict[bytes, _Entity] = {}
    latest_first = np.argsort(-readers.known_by, kind="stable").tolist()
    for reader in latest_first:
        key, known_by = readers.keys[reader], int(readers.known_by[reader])
        if key is None:
            continue
        entity = entities.setdefault(key, _Entity(blob=bytearray(state.fresh(b"")), waiting=[]))
        earliest = entity.waiting[-1][2] if entity.waiting else NEVER
        entity.waiting.append((known_by, reader, min(earliest, int(readers.as_of[reader]))))
    return entities


def _days(settings: Settings, view: View, readers: Readers) -> list[date]:
    """The days of the stream whose rows some reader can see."""
    first, last = first_day(view.windowed, readers.as_of), from_us(int(readers.known_by.max()))
    there = Lake(settings.lake).days(view.system, view.table)
    # Without any the stream is asked anyway, which says what is wrong.
    return [day for day in there if first is None or first <= day <= last.date()] or [last.date()]


def _walk(
    view: WindowedView, entities: dict[bytes, _Entity], stream: pa.Table
) -> Iterator[tuple[int, bytes]]:
    """Let a day's events arrive; yield each reader whose time has come, with the state it sees."""
    keys = key_column(stream, view.keys, view.name)
    there = np.array([key in entities for key in keys], dtype=bool)
    there &= ~nulls_of(stream[view.timestamp])
    known = [key for key, kept in zip(keys, there.tolist(), strict=True) if kept and key]
    stream = stream.filter(pa.array(there))
    happened = instants(stream[view.timestamp], view.timestamp, view.name)
    arrived = instants(stream[view.created], view.created, view.name) if view.created else happened
    names = uids(stream[view.event_id].to_pylist())
    packed = state.pack(view, Events(
        entity=np.zeros(len(known), np.int64), at=happened, uid=names,
        values={slot: slot_column(view, slot, stream[slot.column]) for slot in view.slots},
    ))
    for place in np.lexsort((happened, arrived)).tolist():
        entity = entities.get(known[place])
        if entity is None:
            continue  # nobody asks about it any more
        since = int(arrived[place])
        while entity.waiting and entity.waiting[-1][0] <= since:
            yield entity.waiting.pop()[1], bytes(entity.blob)
        if not entity.waiting:
            del entities[known[place]]
        elif (name := int(names[place])) not in entity.counted:
            entity.counted.add(name)
            entity.blob += packed[place]
            _fold(view, entity)


def _fold(view: WindowedView, entity: _Entity) -> None:
    """As a store does, but never so that a later reader could not be answered exactly."""
    size = len(entity.blob)
    header = bytes(entity.blob[: state.HEADER_SIZE])
    if size < 2 * entity.refused or not state.grown(view, size, header):
        return
    folded = state.fold(view, bytes(entity.blob))
    if state.oldest(folded) <= entity.waiting[-1][2]:
        entity.blob, entity.refused = bytearray(folded), 0
    else:
        entity.refused = size


def _read(
    view: WindowedView, readers: Readers, due: list[tuple[int, bytes]],
    found: npt.NDArray[np.float64],
) -> None:
    if due:
        places = [reader for reader, _ in due]
        found[places] = state.read(view, [blob for _, blob in due], readers.as_of[places])
