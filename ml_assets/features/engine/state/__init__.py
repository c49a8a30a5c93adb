"""The online state of one entity: bytes to which events are appended, and how to read them.

A blob is what an online store keeps for each (view, entity). `layout.py` says how it lies in
bytes. To add an event is to append its row, with no read; when the rows have grown, `fold`
makes them short again. A blob answers exactly for any instant from `oldest(blob)` on: at most
`lateness` and a tile before the newest event that it holds.

All instants are microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml_assets.features.engine.events import Events
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.state import fold_rows
from ml_assets.features.engine.state.layout import HEADER, NEVER, header_of, layout_of
from ml_assets.features.engine.state.read_scalar import read_scalar
from ml_assets.features.engine.state.read_vectorised import read_vectorised
from ml_assets.features.engine.windows import WindowedView, tail

__all__ = [
    "FOLD_ROWS", "HEADER_SIZE", "NEVER", "fold", "fresh", "grown", "is_idle", "oldest", "pack",
    "pack_row", "read", "read_one", "row_dtype",
]

FOLD_ROWS = 128
"""A blob is folded when it has so many rows, and twice as many as the last fold left."""

HEADER_SIZE = HEADER.size

_FEW, _BLOB = 17_000, 700
"""Bytes up to which plain Python beats arrays, measured between other work; a blob itself costs
like so many."""


def row_dtype(view: WindowedView) -> np.dtype[Any]:
    """One packed event: at (i8), uid (u8), then 8 bytes for each of the view's `slots`."""
    return layout_of(view).row


def pack(view: WindowedView, events: Events) -> list[bytes]:
    """Each event as a row, in order. Infinite values become missing ones."""
    layout = layout_of(view)
    rows = np.empty(len(events), layout.row)
    rows["at"], rows["uid"] = events.at, events.uid
    for kept in layout.kept:
        if kept.item >= 0:
            values = events.values[kept.slot]
            if kept.slot.form != "hash":
                values = np.where(np.isfinite(values), values, np.nan)
            rows[kept.name] = values
    whole, size = rows.tobytes(), layout.row.itemsize
    return [whole[place : place + size] for place in range(0, len(whole), size)]


def pack_row(view: WindowedView, at: int, uid: int, values: Sequence[float]) -> bytes:
    """One event as a row; `values` are those of the view's `slots`, finite or NaN."""
    return layout_of(view).row_struct.pack(at, uid, *values)


def fresh(rows: bytes) -> bytes:
    """A new blob that holds these rows."""
    return HEADER.pack(NEVER, 0, 0, 0, 0) + rows


def oldest(blob: bytes | None) -> int:
    """The earliest instant that can be answered exactly; NEVER where every one can."""
    return NEVER if blob is None else header_of(blob).cut


def grown(view: WindowedView, size: int, header: bytes) -> bool:
    """Whether a blob of `size` bytes, whose first `HEADER_SIZE` are given, wants to be folded."""
    found = header_of(header)
    rows = (size - HEADER.size - found.folded) // layout_of(view).row.itemsize
    return rows >= max(FOLD_ROWS, 2 * found.kept)


def fold(view: WindowedView, blob: bytes, newest: int | None = None) -> bytes:
    """The same state with rows older than `lateness` folded away.

    The new cut lies `lateness` before the newest row, or before `newest` where that is later,
    at the boundary of a tile. What no window that ends at or after it can reach is dropped.
    """
    return fold_rows.fold(layout_of(view), blob, newest)


def is_idle(view: WindowedView, blob: bytes, since: int) -> bool:
    """Whether all events in `blob` are before `since`."""
    return fold_rows.newest_of(layout_of(view), blob) <= since


def read_one(view: WindowedView, blob: bytes | None, as_of: int) -> list[float]:
    """The features of one entity, as `read` gives them."""
    layout = layout_of(view)
    if blob is None:
        return layout.never_seen
    if len(blob) + _BLOB > _FEW:
        at = np.array([as_of], dtype=np.int64)
        values: list[float] = read_vectorised(layout, [blob], at, at)[0].tolist()
        return values
    return read_scalar(layout, blob, as_of, as_of, [tail(as_of, span) for span in view.spans])


def read(
    view: WindowedView, blobs: Sequence[bytes | None], as_of: Ints, head: Ints | None = None
) -> Floats:
    """The features (m, columns) of m entities as of `as_of` (m), which `view.as_of` has mapped.

    Events count where they lie in `[tail(as_of, span), min(as_of, head))`. Exact where that
    upper bound is at or after `oldest(blob)`; before it the folded past counts as a whole.
    None is an entity never seen: it has the values of an empty window.
    """
    layout = layout_of(view)
    upper = as_of if head is None else np.minimum(as_of, head)
    there = [blob for blob in blobs if blob is not None]
    if sum(map(len, there)) + _BLOB * len(there) > _FEW:
        if len(there) == len(blobs):
            return read_vectorised(layout, there, as_of, upper)
        found = np.empty((len(blobs), len(layout.never_seen)))
        found[:] = layout.never_seen
        known = [place for place, blob in enumerate(blobs) if blob is not None]
        found[known] = read_vectorised(layout, there, as_of[known], upper[known])
        return found
    values: list[list[float]] = []
    starts: dict[int, list[int]] = {}
    for blob, t, end in zip(blobs, as_of.tolist(), upper.tolist(), strict=True):
        if t not in starts:
            starts[t] = [tail(t, span) for span in view.spans]
        values.append(
            layout.never_seen if blob is None else read_scalar(layout, blob, t, end, starts[t])
        )
    return np.array(values).reshape(len(blobs), len(layout.never_seen))
