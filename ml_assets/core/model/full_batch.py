"""Fitting to all rows at once."""

from __future__ import annotations

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require


@declaration
class FullBatch:
    """L-BFGS on the mean loss of all rows: exact, without a learning rate, in memory.

    iterations: steps, at most
    """

    iterations: int = 100

    def __post_init__(self) -> None:
        require(self.iterations >= 1, self, "iterations", self.iterations, "at least 1")
