"""Which events had arrived: the first of each id, and for every question those known by then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.events import Events
from ml_assets.features.engine.exact import Floats
from ml_assets.features.engine.history import aggregate
from ml_assets.features.engine.windows import WindowedView, tail
from ml_assets.features.history.relations.as_of import Ints, last_not_after, pack

AT_ONCE = 4_000_000
"""How many events are copied at a time for questions that must not see some of them."""

_MIX = np.uint64(0x9E3779B97F4A7C15)


def first_arrivals(events: Events, created: Ints | None, place: Ints) -> Ints | None:
    """Which of the events count: of one entity's with one id the first to arrive.

    created: (n) microseconds; of equals the earliest event counts
    place: (n) where they lie in the source; of equals the first counts

    Returns their indices; None where all count.
    """
    mixed = events.uid ^ (events.entity.astype(np.uint64) * _MIX)
    ordered = np.sort(mixed)
    doubled = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(doubled):
        return None
    # Different ids may share `mixed`, so that these are candidates only.
    some = np.flatnonzero(np.isin(mixed, doubled))
    keys = [place[some], events.at[some], events.uid[some], events.entity[some]]
    if created is not None:
        keys.insert(2, created[some])
    some = some[np.lexsort(keys)]
    entity, uid = events.entity[some], events.uid[some]
    again = np.append(False, (entity[1:] == entity[:-1]) & (uid[1:] == uid[:-1]))
    counts = np.ones(len(events), dtype=bool)
    counts[some[again]] = False
    return np.flatnonzero(counts)


def aggregate_known(
    view: WindowedView, events: Events, created: Ints, *, entity: Ints, as_of: Ints,
    known_by: Ints,
) -> Floats:
    """As `aggregate`, but a question does not see events with `created > known_by`.

    created: (n) of the events, each id once; known_by: (m) of the questions

    The few questions before which something arrived late get the events they may see copied
    for them alone. Returns float64 (m, features).
    """
    values = np.full((len(as_of), len(view.columns)), np.nan)

    def put(places: Ints, seen: Events, whose: npt.NDArray[Any]) -> None:
        values[places] = aggregate(view, seen, entity=whose, as_of=as_of[places])

    if not len(events):
        put(np.arange(len(as_of)), events, entity)
        return values
    packing, packed = pack(events.entity, events.at)
    order = np.argsort(packed)
    packed = packed[order]
    before = last_not_after(packed, packing.of(entity, as_of - 1)) + 1
    late = _arrived_later(events.entity[order], created[order], before, entity, known_by)
    rest, some = np.flatnonzero(~late), np.flatnonzero(late)
    put(rest, events, entity[rest])
    start = np.min([tail(as_of[some], span) for span in view.spans], axis=0)
    first = last_not_after(packed, packing.of(entity[some], start - 1)) + 1
    length = before[some] - first
    for piece in np.split(np.arange(len(some)), _cuts(length)):
        whose = np.repeat(np.arange(len(piece)), length[piece])
        within = np.arange(len(whose)) - np.repeat(
            np.cumsum(length[piece]) - length[piece], length[piece]
        )
        copied = order[first[piece][whose] + within]
        seen = created[copied] <= known_by[some[piece]][whose]
        alone = replace(events.take(copied[seen]), entity=whose[seen])
        put(some[piece], alone, np.arange(len(piece)))
    return values


def _arrived_later(
    entity: Ints, created: Ints, before: Ints, asked: Ints, known_by: Ints
) -> npt.NDArray[np.bool_]:
    """(m) whether one of the entity's first `before` events was created after `known_by`.

    entity, created: (n) of the events, by entity and time
    """
    packing, arrived = pack(entity, created)
    # Entities are in order, so that the largest so far is never another one's.
    arrived = np.maximum.accumulate(arrived)
    last = np.maximum(before - 1, 0)
    theirs = (before > 0) & (entity[last] == asked)
    late: npt.NDArray[np.bool_] = theirs & (arrived[last] > packing.of(asked, known_by))
    return late


def _cuts(length: Ints) -> Ints:
    """Where to cut so that the lengths of a piece add up to about `AT_ONCE`."""
    ends = np.cumsum(length)
    total = int(ends[-1]) if len(ends) else 0
    return np.unique(np.searchsorted(ends, np.arange(AT_ONCE, total, AT_ONCE)) + 1)
