"""Whether a model is worth more than the simplest ones, on rows that none of them saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml_assets.core.model import Model
from ml_assets.training.baselines.linear import fit_linear
from ml_assets.training.rows.scoring import losses_of
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import TrainedScorer

ROWS = 2**17
"""Training rows, at most, that the linear model is fitted to, all at once."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Mean losses on held-out rows.

    constant: of the best answer that is the same for all training rows
    chance: how much less than the constant the model could lose by luck: 1.645 standard errors
        of the rows' differences
    linear: of logistic or ridge regression on the same numbers and categories; None if there
        are none of these
    """

    model: float
    constant: float
    chance: float
    linear: float | None

    @property
    def worth_it(self) -> bool:
        """Whether the model is surely better than the constant, and no worse than the linear."""
        return self.constant - self.model > self.chance and (
            self.linear is None or self.model <= self.linear)

    def named(self) -> dict[str, float]:
        """By names for a reader."""
        named = {"heldout_loss": self.model, "heldout_loss_of_constant": self.constant}
        return named if self.linear is None else {**named, "heldout_loss_of_linear": self.linear}


def compared(
    model: Model, scorer: TrainedScorer, trained_on: TrainingRows, held_out: TrainingRows
) -> HeldOut:
    """Fit the simplest models to the rows that `scorer` was trained on, and compare."""
    target = scorer.target
    own_N = losses_of(scorer, held_out)
    constant_N = target.losses(
        held_out.codes, np.tile(target.constant(trained_on.codes), (len(held_out), 1)))

    plain = fit_linear(model, target, trained_on.sample(ROWS))
    linear = None if plain is None else float(plain.losses(held_out).mean())
    error = float((constant_N - own_N).std() / np.sqrt(len(own_N)))
    return HeldOut(model=float(own_N.mean()), constant=float(constant_N.mean()),
                   chance=1.645 * error, linear=linear)
