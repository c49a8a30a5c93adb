"""How much rows count by their age."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import numpy.typing as npt

from ml_assets.training.scored import Floats


def fading_weights(happened_N: npt.NDArray[np.int64], half_life: timedelta) -> Floats:
    """(N,) 2^(-age / half_life), by how long before the latest row each row happened.

    happened_N: event timestamps, microseconds

    A fit minimises a weighted mean, so only ratios matter: counted from the training set's as-of,
    all weights would be smaller by one factor. From the latest row none vanishes because nothing
    has happened for long.
    """
    if not len(happened_N):
        return np.empty(0, np.float32)
    ages_N = (happened_N.max() - happened_N) / (half_life / timedelta(microseconds=1))
    weights: Floats = np.exp2(-ages_N).astype(np.float32)
    return weights


def effective_rows(weights_N: Floats) -> float:
    """How many rows of equal weight would give as sure a mean.

    Source: Kish, "Survey Sampling" (1965): the square of the sum over the sum of squares.
    """
    weights_N = weights_N.astype(np.float64)
    squares = float(np.square(weights_N).sum())
    return float(weights_N.sum()) ** 2 / squares if squares else 0.0
