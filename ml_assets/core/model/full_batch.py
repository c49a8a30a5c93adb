"""Fitting to all rows at once."""

from __future__ import annotations

from datetime import timedelta

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require


@declaration
class FullBatch:
    """L-BFGS on the mean loss of all rows: exact, without a learning rate, in memory.

    iterations: steps, at most
    half_life: a row that happened so long before the latest counts half as much; None for 1 each
    refit: whether rows that were left out to learn an interval of are then fitted to as well. The
        interval stays that of a model of the rows before them
    """

    iterations: int = 100
    half_life: timedelta | None = None
    refit: bool = True

    def __post_init__(self) -> None:
        require(self.iterations >= 1, self, "iterations", self.iterations, "at least 1")
        require_half_life(self, self.half_life)


def require_half_life(fit: object, found: timedelta | None) -> None:
    """Raise DeclarationError unless `found` is a positive time, or none."""
    require(found is None or (isinstance(found, timedelta) and found > timedelta(0)), fit,
            "half_life", found, "none, or a positive time, such as timedelta(days=30)")
