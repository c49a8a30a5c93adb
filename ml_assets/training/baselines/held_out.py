"""Whether a model is worth more than the simplest ones, on rows that none of them saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.model import Model
from ml_assets.training.baselines.linear import fit_linear
from ml_assets.training.rows.scoring import outputs_of_rows
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import Outputs, TrainedScorer

ROWS = 2**17
"""Training rows, at most, that the linear model is fitted to, all at once."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Mean losses of held-out cases, see `Target.cases`: of rows, or of the orders of slates.

    constant: of the best answer that is the same for all training rows
    chance: how much less than the constant the model could lose by luck: 1.645 standard errors
        of the cases' differences
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
    model: Model, scorer: TrainedScorer, trained_on: TrainingRows, held_out: TrainingRows,
    subjects: Subjects,
) -> HeldOut | None:
    """Fit the simplest models to the rows that `scorer` was trained on, and compare.

    subjects: of the rows held out. None if these make no case: nothing of their slates was taken
    """
    target, codes_N = scorer.target, held_out.codes

    def lost(outputs_NW: Outputs) -> Outputs:
        return target.cases(codes_N, outputs_NW, subjects).losses

    own_C = lost(outputs_of_rows(scorer, held_out))
    if not len(own_C):
        return None
    constant_C = lost(np.tile(target.constant(trained_on.codes), (len(held_out), 1)))
    plain = fit_linear(model, target, trained_on.sample(ROWS))
    linear = None if plain is None else float(lost(plain.outputs(held_out)).mean())
    error = float((constant_C - own_C).std() / np.sqrt(len(own_C)))
    return HeldOut(model=float(own_C.mean()), constant=float(constant_C.mean()),
                   chance=1.645 * error, linear=linear)
