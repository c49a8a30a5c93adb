"""Events into the blobs of a windowed view, in the write transaction that is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import NO_FLOOR, Row, View, floor_of
from ml_assets.features.online_store.lmdb.keys import (
    ID,
    INSTANT,
    LONGEST,
    NUMBER,
    ids_start,
    mark_entry,
    mark_of,
    names_start,
    short,
    state_start,
)
from ml_assets.features.online_store.versions import PlainView, merged, version_of

if TYPE_CHECKING:
    from ml_assets.features.online_store.lmdb.environment import Transaction

NEVER_AHEAD = 2**62
"""As `now`: no version of what a prediction says is ahead of its time."""

Viewed = tuple[View, int]
"""A view and the number of its data."""

Counted = Callable[[WindowedView, Sequence[Row]], set[tuple[bytes, int]]]
"""Of some rows the (entity, uid) that the log counts for the view, applied already or not."""


class Applied(NamedTuple):
    """upto: how much of the source is applied to all of the views; new: events that counted"""

    upto: int
    new: int


class Stretch(NamedTuple):
    """Events that follow each other in a source.

    upto: the position of the last one that was looked at
    rows: for each of the views its rows, in order: events of a windowed one, versions of a plain
    noted: whether their ids are noted, since they may come again from elsewhere; if not, the
        source alone says that each comes once
    """

    upto: int
    rows: Sequence[Sequence[Row]]
    noted: bool = False


Read = Callable[[int, int | None], Stretch]
"""The events of a source behind one position, and up to another one if that is given: a few
hundred at most, since nobody else can write meanwhile."""


def append(
    txn: Transaction, view: WindowedView, view_id: int, rows: Sequence[Row],
    counted: Counted | None,
) -> int:
    """Count the rows whose (entity, id) is neither known here nor `counted`, and note it."""
    rows = _new_enough(txn, view, view_id, rows)
    elsewhere = counted(view, rows) if counted is not None and rows else ()
    if elsewhere:
        rows = [row for row in rows if (row[0], row[2]) not in elsewhere]
    new = _note(txn, view_id, rows)
    _add(txn, view, view_id, new)
    return len(new)


def apply(txn: Transaction, source: bytes, views: Sequence[Viewed], read: Read) -> Applied:
    """Count what comes next in `source` for those of the views that have applied the least."""
    marks = [_mark(txn, view_id, source) for _, view_id in views]
    after = min(marks)
    upto, rows, noted = read(after, min((mark for mark in marks if mark > after), default=None))
    new = 0
    if upto <= after:
        return Applied(after, new)
    mark_value = INSTANT.pack(upto)
    for mark, (view, view_id), some in zip(marks, views, rows, strict=True):
        if mark > after:
            continue
        if isinstance(view, PlainView):
            put(txn, view_id, some, None if noted else NEVER_AHEAD)
        else:
            some = _new_enough(txn, view, view_id, some)
            some = (_note if noted else _not_noted)(txn, view_id, some)
            _add(txn, view, view_id, some)
            new += len(some)
        number, key = mark_entry(view_id, source)
        txn.put(NUMBER.pack(number) + key, mark_value)
    return Applied(upto, new)


def put(txn: Transaction, view_id: int, rows: Sequence[Row], now: int | None) -> None:
    """Rows of a plain view, see `Backend.put`.

    now: None for the instant at which each was created
    """
    start = state_start(view_id)
    floor_of(txn.get(start), str(view_id))
    for entity, at, created, payload in rows:
        key, version = start + short(entity), version_of(at, created, payload)
        if txn.put(key, version, overwrite=False):
            note_name(txn, view_id, entity)
            continue
        before = txn.get(key)
        assert before is not None
        if (after := merged(
            before, version, created if now is None else now)) != before:
            txn.put(key, after)


def _mark(txn: Transaction, view_id: int, source: bytes) -> int:
    number, key = mark_entry(view_id, source)
    return mark_of(txn.get(NUMBER.pack(number) + key))


def _new_enough(
    txn: Transaction, view: WindowedView, view_id: int, rows: Sequence[Row]
) -> Sequence[Row]:
    """Those that a window can reach. Raises NotReady if the view is no longer registered."""
    floor = floor_of(txn.get(state_start(view_id)), view.name)
    if floor == NO_FLOOR:
        return rows
    return [row for row in rows if row[1] >= floor - view.horizon]


def _note(txn: Transaction, view_id: int, rows: Sequence[Row]) -> Sequence[Row]:
    """Note the ids; returns the rows whose id was not there yet."""
    ids = ids_start(view_id)
    return [
        row for row in rows
        if txn.put(ids + short(row[0]) + ID.pack(row[2]), INSTANT.pack(row[1]), overwrite=False)
    ]


def _not_noted(txn: Transaction, view_id: int, rows: Sequence[Row]) -> Sequence[Row]:
    ids = ids_start(view_id)
    cursor = txn.cursor()
    if not rows or not cursor.set_range(ids) or not cursor.key().startswith(ids):
        return rows
    return [row for row in rows if txn.get(ids + short(row[0]) + ID.pack(row[2])) is None]


def _add(txn: Transaction, view: WindowedView, view_id: int, rows: Iterable[Row]) -> None:
    packed: dict[bytes, list[bytes]] = {}
    for entity, _, _, row in rows:
        packed.setdefault(entity, []).append(row)
    start = state_start(view_id)
    # Below this many bytes no blob wants to be folded.
    small = state.HEADER_SIZE + state.FOLD_ROWS * state.row_dtype(view).itemsize
    for entity, some in packed.items():
        text = some[0] if len(some) == 1 else b"".join(some)
        key = start + (entity if len(entity) <= LONGEST else short(entity))
        blob = txn.get(key)
        if blob is None:
            blob = state.fresh(text)
            note_name(txn, view_id, entity)
        else:
            blob += text
        if len(blob) >= small and state.grown(view, len(blob), blob):
            blob = state.fold(view, blob)
        txn.put(key, blob)


def note_name(txn: Transaction, view_id: int, entity: bytes) -> None:
    """Keep an entity whose key does not say it whole."""
    if len(entity) > LONGEST:
        txn.put(names_start(view_id) + short(entity), entity)
