"""Which row of a table was the latest for an entity at an instant: sorting and searching.

An entity's number and an instant are packed into one int64, so that one sort orders the
table and one search answers every question. That is cheaper than an ASOF JOIN, which
carries columns through its sort, and it settles ties exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]



@dataclass(frozen=True, kw_only=True)
class Rows:
    """n rows in any order.

    entity:  (n) dense numbers from 0
    at:      (n) their instants in microseconds
    created: (n) when they were written, of unknown ones an instant before all others; None
        where none is known
    place:   (n) where they lie in the source; of equals the last counts
    """

    entity: Ints
    at: Ints
    created: Ints | None
    place: Ints


def latest(
    rows: Rows, entity: Ints, as_of: Ints, *, ttl: int = 0, known: bool = False
) -> Ints:
    """For each question the index in `rows` of its answer, -1 where it has none.

    entity, as_of: (m) what is asked; a negative entity has no rows
    ttl: microseconds; a row counts as long as `at + ttl >= as_of`; 0 for ever
    known: only rows with `created <= as_of` count

    The answer is the entity's row with the largest (at, created, place) and `at <= as_of`.
    """
    if not len(rows.at):
        return np.full(len(as_of), -1, dtype=np.int64)
    packing, packed = pack(rows.entity, rows.at)
    order = np.argsort(packed)
    packed = packed[order]
    _settle_ties(order, packed, rows)
    if known and rows.created is not None:
        # A row is seen from when it has both happened and been written. Of the rows seen by
        # then, the one that stands last in the order is the answer: a running maximum.
        packing, packed = pack(rows.entity, np.maximum(rows.at, rows.created))
        packed = packed[order]
        by_seen = np.argsort(packed)
        packed = packed[by_seen]
        order = order[np.maximum.accumulate(by_seen)]
    found = last_not_after(packed, packing.of(entity, as_of))
    row = order[np.maximum(found, 0)]
    right = (found >= 0) & (rows.entity[row] == entity)
    if ttl:
        right &= as_of - rows.at[row] <= ttl
    return np.where(right, row, -1)


@dataclass(frozen=True)
class Packing:
    """How (entity, instant) becomes an int64 that orders like the pair, for some n rows.

    low: the first instant; bits: what an instant takes; entities: above all of theirs
    times: all instants in order, where their places stand for them
    """

    low: int
    high: int
    bits: int
    entities: int
    times: Ints | None

    def of(self, entity: Ints, at: Ints) -> Ints:
        """Pairs packed like the rows, so that they compare with them.

        An instant before all rows' packs below them, one after all rows' like the last one;
        an entity beyond theirs packs above all of them, a negative one below.
        """
        if self.times is not None:
            at = last_not_after(self.times, at)
        packed = np.clip(entity, -1, self.entities) << self.bits
        packed += np.clip(at, self.low - 1, self.high)
        packed -= self.low - 1
        return packed


def pack(entity: Ints, at: Ints) -> tuple[Packing, Ints]:
    """How n rows can be packed, and they packed. Neither may be empty."""
    low, high, entities = int(at.min()), int(at.max()), int(entity.max()) + 1
    bits, times = (high - low + 1).bit_length(), None
    if bits + entities.bit_length() > 62:
        # Too long a time in too small a unit: let the distinct instants be counted instead.
        order = np.argsort(at)
        ordered = at[order]
        new = np.append(True, ordered[1:] != ordered[:-1])
        times, place = ordered[new], np.empty_like(at)
        place[order] = np.cumsum(new) - 1
        low, high, at = 0, len(times) - 1, place
        bits = (high + 1).bit_length()
    packed = entity << bits
    packed += at
    packed -= low - 1
    return Packing(low, high, bits, entities, times), packed


def last_not_after(ordered: Ints, asked: Ints) -> Ints:
    """(m) the last place in `ordered` with a value at most the asked one, else -1."""
    # Searching in order reads memory in order, which is four times as quick.
    order = np.argsort(asked)
    found = np.empty(len(asked), dtype=np.int64)
    found[order] = np.searchsorted(ordered, asked[order], side="right") - 1
    return found


def _settle_ties(order: Ints, packed: Ints, rows: Rows) -> None:
    """Order those of one entity and instant by (created, place), in `order` itself."""
    same = packed[1:] == packed[:-1]
    if not same.any():
        return
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    members = order[tied]
    keys = [rows.place[members], packed[tied]]
    if rows.created is not None:
        keys.insert(1, rows.created[members])
    order[tied] = members[np.lexsort(keys)]
