"""How a fit ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLAT = 1e-4
"""Of the gradient's largest entry: a step in any direction gains next to nothing."""
LAST, LITTLE = 0.2, 0.02
"""A fit has settled if the last fifth of it gained less than this share of all that it gained."""


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """What an optimiser did.

    losses: the mean loss of a row, penalty included, at each evaluation
    steps: that it took, of at most `most_steps`
    gradient: the size of the largest entry at the end, of the mean loss
    """

    losses: tuple[float, ...]
    steps: int
    most_steps: int
    gradient: float

    @property
    def ended(self) -> str:
        """Why it ended."""
        return "all steps were taken" if self.steps >= self.most_steps else "steps became small"

    @property
    def settled(self) -> bool:
        """Whether more steps would have gained little."""
        if self.gradient <= FLAT:
            return True
        best = np.minimum.accumulate(self.losses)
        late = best[-1 - max(1, int(LAST * len(best)))] if len(best) > 1 else np.inf
        return bool(late - best[-1] <= LITTLE * (best[0] - best[-1]))

    @property
    def said(self) -> str:
        """In half a sentence."""
        return (f"{self.ended} after {self.steps} steps and {len(self.losses)} evaluations, "
                f"mean loss {self.losses[0]:.4g} to {min(self.losses):.4g}, largest gradient "
                f"{self.gradient:.1g}")
