"""Margins as probabilities: a line that gives log-odds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import NotReady
from ml_assets.core.target import Scale
from ml_assets.targets.logistic import sigmoid
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import Fitted, TrainedScorer

Floats = npt.NDArray[np.float64]

FLATTEST = 1e-3
"""A margin that says nothing, or the opposite, keeps its direction: which way is True is known."""
STEPS, CLOSE = 100, 1e-10


def calibrated_on(fitted: Fitted[TrainedScorer], rows: TrainingRows) -> Scale:
    """The scale with the line that makes the most of what `fitted` says of rows that it has not
    seen. Raises NotReady if there are none.
    """
    if not len(rows):
        raise NotReady("no row is left to calibrate margins on; expected at least 5 rows: ingest "
                       "more days first")
    margins, codes, weights = [], [], []
    for block in rows.blocks():
        margins.append(fitted.logits(block.texts, block.dense)[:, 0])
        codes.append(block.codes)
        weights.append(np.ones(len(block)) if block.weights is None else block.weights)
    slope, offset = line_of(np.concatenate(margins), np.concatenate(codes),
                            np.concatenate(weights).astype(np.float64))
    return replace(fitted.scorer.scale, slope=slope, offset=offset)


def line_of(margins_N: Floats, codes_N: Floats, weights_N: Floats) -> tuple[float, float]:
    """(slope, offset) of log-odds, the slope at least `FLATTEST`: those of least log loss against
    the labels (0 or 1), each label pulled a little towards its opposite.

    Sources: Platt, "Probabilistic outputs for support vector machines" (1999), for the line and
    what labels are pulled to; Lin, Lin and Weng, "A note on Platt's probabilistic outputs" (2007),
    for Newton's method with halved steps.
    """
    true = float((weights_N * codes_N).sum())
    false = float((weights_N * (1 - codes_N)).sum())
    wanted_N = np.where(codes_N > 0, (true + 1) / (true + 2), 1 / (false + 2))
    features_N2 = np.stack([margins_N, np.ones_like(margins_N)], axis=1)
    line = np.array([0.0, np.log((true + 1) / (false + 1))])
    lost = _lost(features_N2, wanted_N, weights_N, line)
    for _ in range(STEPS):
        shares_N = sigmoid(features_N2 @ line)
        gradient = features_N2.T @ (weights_N * (shares_N - wanted_N))
        curvature = (features_N2.T * (weights_N * shares_N * (1 - shares_N))) @ features_N2
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        length = 1.0
        while length > CLOSE:
            tried = line - length * step
            now = _lost(features_N2, wanted_N, weights_N, tried)
            if now < lost:
                break
            length /= 2
        else:
            break
        gained, line, lost = lost - now, tried, now
        if gained < CLOSE * max(1.0, lost):
            break
    return max(float(line[0]), FLATTEST), float(line[1])


def _lost(
    features_N2: Floats, wanted_N: Floats, weights_N: Floats, line: Floats
) -> float:
    """The weighted sum of log losses."""
    odds_N = features_N2 @ line
    return float((weights_N * (np.logaddexp(0, odds_N) - wanted_N * odds_N)).sum())
