"""Whether rows fit in memory, for who needs all of them at once."""

from __future__ import annotations

import logging
import sys

from ml_assets.core.errors import NotReady
from ml_assets.training.rows.training_rows import TrainingRows

LOOKED_AT = 1_000
"""Rows, at most, whose size stands for all."""
MUCH = 4
"""Rows that take more than this part of what is free are worth a warning: what a fit makes of
them takes several times as much."""
log = logging.getLogger(__name__)


def require_room(rows: TrainingRows, free: int | None = None) -> None:
    """Raise NotReady if the rows alone, before anything is made of them, do not fit in memory;
    warn if they hardly do.

    free: bytes; None for what this machine has
    """
    if not len(rows):
        return
    some = rows.sample(LOOKED_AT)
    texts = sum(sys.getsizeof(value) for values in some.texts.values() for value in values)
    needed = (some.dense.nbytes + texts) // len(some) * len(rows)
    free = _free() if free is None else free
    said = (f"FullBatch takes all {len(rows):,} rows at once, which are {needed / 1e9:,.1f} GB "
            f"before anything is made of them, and {free / 1e9:,.1f} GB of memory are free: "
            "declare Minibatch(), or a shorter Model.history")
    if needed > free:
        raise NotReady(said)
    if needed > free // MUCH:
        log.warning(said)


def _free() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
