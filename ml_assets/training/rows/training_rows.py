"""The one value that carries rows through a training, wherever they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from ml_assets.training.loop.blocks import BlockSource, RowBlock
from ml_assets.training.scored import Floats

if TYPE_CHECKING:
    from ml_assets.training.rows.labelled import LabelledRows

Codes = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Encode = Callable[["LabelledRows"], RowBlock]
"""From some rows to what a network takes of them. Each row alone decides. It must be picklable to
train on several devices."""


class TrainingRows(Protocol):
    """N rows with labels, in the order of time. `LabelledRows` are in memory."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The D columns of `dense`, in order."""
        ...

    @property
    def coded(self) -> frozenset[str]:
        """Those of them that are codes of texts or ids."""
        ...

    @property
    def ids(self) -> frozenset[str]:
        """Columns of `texts` that hold ids: whole numbers, written out."""
        ...

    @property
    def codes(self) -> Codes:
        """(N,) of all labels."""
        ...

    @property
    def weights(self) -> Floats | None:
        """(N,) how much each row counts; None for 1 each."""
        ...

    @property
    def shown(self) -> Bools | None:
        """(N,) which rows stood on a page, where others were put together of what was taken and
        what was drawn; None if all are of one kind."""
        ...

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> TrainingRows:
        """The rows `start` to `stop` (half-open)."""
        ...

    def counting(self, which: Bools) -> TrainingRows:
        """The same rows, of which all but these (N,) count nothing."""
        ...

    def divided(self, share: float) -> tuple[TrainingRows, TrainingRows]:
        """The earlier rows, and the latest `share` of them, which may be none."""
        ...

    def blocks(self) -> Iterator[LabelledRows]:
        """All rows in order, a portion at a time."""
        ...

    def sample(self, most: int) -> LabelledRows:
        """At most so many, evenly spread, in order; all if there are no more."""
        ...

    def whole(self) -> LabelledRows:
        """All rows, in memory."""
        ...

    def source(self, encode: Encode, *, buffer: int, shuffle: bool) -> BlockSource:
        """The rows as the training loop takes them.

        buffer: how many are in memory, and shuffled, at a time, unless all are in memory anyway
        """
        ...
