"""Whether blobs can be read, as of when, and how long what is read of them stays the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.state.layout import HEADER, NEVER, layout_of
from ml_assets.features.engine.state.unpacked import Unpacked
from ml_assets.features.engine.windows import WindowedView

_HEADERS = np.dtype([("cut", "<i8"), ("folded", "<u4"), ("records", "<u4"), ("rest", "<u8")])
_NOTHING = HEADER.pack(NEVER, 0, 0, 0, 0)


def cut_of(view: WindowedView, blob: bytes | None) -> int | None:
    """The earliest instant that can be answered exactly, NEVER if all can; None if damaged.

    A blob is damaged if its parts are not as long as its header says.
    """
    if blob is None:
        return NEVER
    if len(blob) < HEADER.size:
        return None
    layout = layout_of(view)
    cut, folded, records, _, _ = HEADER.unpack_from(blob)
    rows = len(blob) - HEADER.size - folded
    if (rows < 0 or rows % layout.row_struct.size or folded % 8
            or folded < records * layout.record_struct.size):
        return None
    return int(cut)


def cuts_of(
    view: WindowedView, blobs: Sequence[bytes | None]
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """(m) `cut_of` m blobs, anything if damaged, and (m) whether each is damaged."""
    layout = layout_of(view)
    there = [_NOTHING if blob is None else blob for blob in blobs]
    size = np.fromiter(map(len, there), np.int64, len(there))
    start = b"".join([blob[: HEADER.size].ljust(HEADER.size, b"\0") for blob in there])
    headers = np.frombuffer(start, _HEADERS)
    folded = headers["folded"].astype(np.int64)
    rows = size - HEADER.size - folded
    damaged = ((rows < 0) | (rows % layout.row_struct.size != 0) | (folded % 8 != 0)
               | (folded < headers["records"] * np.int64(layout.record_struct.size)))
    return headers["cut"], damaged


def held_between(
    view: WindowedView, blobs: Sequence[bytes | None], at: int
) -> tuple[Ints, Ints]:
    """The first and the last instant, (m) each, at which m sound blobs give what they give `at`
    some instant: all their events are in the past, and windows start where they start now.

    Except for what is the seconds since an event. Of a blob with events at or after `at` they do
    not hold `at` itself.
    """
    if view.refresh == "slide":
        end = view.as_of(at)
        first, last = end, end + view.tile - 1
    else:
        end = at
        first = max((at - 1) // slide * slide + 1 for _, slide in view.spans)
        last = min((at - 1) // slide * slide + slide for _, slide in view.spans)
    unpacked = Unpacked(layout_of(view), [_NOTHING if blob is None else blob for blob in blobs])
    row, owner = unpacked.rows()
    newest = np.full(unpacked.m, NEVER)
    np.maximum.at(newest, owner, unpacked.words[row])
    cuts, _ = cuts_of(view, blobs)
    least = np.maximum(np.maximum(newest + 1, cuts), first)
    if view.refresh == "slide":
        least[newest >= end] = last + 1
    return least, np.full(unpacked.m, last)
