"""How a fit in mini-batches went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

LAST, LITTLE = 0.2, 0.02
"""A fit has settled if the last fifth of it gained less than this share of all that it gained."""


@dataclass(frozen=True, kw_only=True)
class EpochLosses:
    """Mean losses of a row, by its weight.

    fitted: of the training rows, each as the network was when it saw it
    validated: of the validation rows, after the epoch; None if there are none
    """

    fitted: float
    validated: float | None

    @property
    def judged(self) -> float:
        """The one that says which epoch is best."""
        return self.fitted if self.validated is None else self.validated


@dataclass(frozen=True, kw_only=True)
class FitHistory:
    """What a training did.

    epochs: that were taken, of at most `most_epochs`
    best: the one whose weights were kept, from 1
    ended: why there was no other
    steps: in all
    resumed: the steps that an earlier process had taken; 0 if none had
    again: the fit to all rows that followed, if one did; its weights are the network's
    """

    epochs: tuple[EpochLosses, ...]
    most_epochs: int
    best: int
    ended: str
    steps: int
    resumed: int = 0
    again: FitHistory | None = None

    @property
    def losses(self) -> tuple[float, ...]:
        """What each epoch was judged by."""
        return tuple(epoch.judged for epoch in self.epochs)

    @property
    def settled(self) -> bool:
        """Whether more epochs would have gained little."""
        if self.best < len(self.epochs):
            return True
        least = list(accumulate(self.losses, min))
        late = least[-1 - max(1, int(LAST * len(least)))] if len(least) > 1 else math.inf
        return late - least[-1] <= LITTLE * (least[0] - least[-1])

    @property
    def said(self) -> str:
        """In half a sentence."""
        best = self.epochs[self.best - 1]
        judged = "" if best.validated is None else f", validation loss {best.validated:.4g}"
        kept, again = "kept", ""
        if self.again is not None:
            kept, last = "best was", self.again.epochs[-1]
            again = (f"; then {len(self.again.epochs)} epochs and {self.again.steps} steps of all "
                     f"rows: mean loss {last.fitted:.4g}")
        return (f"{self.ended} after {len(self.epochs)} epochs and {self.steps} steps, {kept} "
                f"epoch {self.best}: mean loss {best.fitted:.4g}{judged}{again}")
