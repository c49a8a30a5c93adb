"""Whether a model is worth more than the simplest ones, on rows that none of them saw."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml_assets.core.model import Model
from ml_assets.core.target import Floats as Codes
from ml_assets.training.fit import fit_linear
from ml_assets.training.hashed_text.bags import Floats
from ml_assets.training.scored import TrainedScorer

Rows = tuple[Mapping[str, Sequence[str]], Floats, Codes]
"""Texts and categories by column, dense (N, D) and the labels' codes (N,)."""


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
    model: Model, scorer: TrainedScorer, trained_on: Rows, held_out: Rows, *,
    coded: Collection[str] = (),
) -> HeldOut:
    """Fit the simplest models to the rows that `scorer` was trained on, and compare."""
    target = scorer.target
    texts, dense, codes = trained_on
    unseen_texts, unseen_dense, unseen_codes = held_out

    own_N = target.losses(unseen_codes, scorer.outputs(unseen_texts, unseen_dense))
    constant_N = target.losses(
        unseen_codes, np.tile(target.constant(codes), (len(unseen_codes), 1)))

    linear = None
    if model.categories or dense.shape[1]:
        plain = fit_linear(model, target, texts, dense, codes, feature_names=scorer.feature_names,
                           coded=coded)
        outputs = plain.outputs(unseen_texts, unseen_dense)
        linear = float(target.losses(unseen_codes, outputs).mean())
    error = float((constant_N - own_N).std() / np.sqrt(len(own_N)))
    return HeldOut(model=float(own_N.mean()), constant=float(constant_N.mean()),
                   chance=1.645 * error, linear=linear)
