"""Before a model is published: what will be served is what torch trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ml_assets.core.errors import ModelRefused
from ml_assets.training.artifact import TOLERANCE
from ml_assets.training.scored import Fitted, Floats, TrainedScorer


def largest_difference(
    fitted: Fitted[TrainedScorer], texts: Mapping[str, Sequence[str]], dense: Floats
) -> float:
    """How far the scorer and the network are apart on these rows: at most 1e-5.

    In deviations of the labels, if the target scales them. texts by column and dense (B, D), of
    at least one row. Raises ModelRefused if they are
    farther apart, or if one of them gives no number.
    """
    served, trained = fitted.scorer.outputs(texts, dense), fitted.trained(texts, dense)
    differences = np.nan_to_num(
        fitted.scorer.target.apart(served, trained, fitted.scorer.scale), nan=np.inf)
    row, place = np.unravel_index(int(np.argmax(differences)), differences.shape)
    if differences[row, place] > TOLERANCE:
        raise ModelRefused(
            f"the model is not published: on row {row} of {len(dense)} its serving form says "
            f"{fitted.scorer.target.outputs[place]} {served[row, place]:.6f}, torch "
            f"{trained[row, place]:.6f}; expected at most {TOLERANCE} between them. "
            "What was exported computes something else, as a layer does that depends on the other "
            "rows of a batch, or on chance: correct it, and train again"
        )
    return float(differences[row, place])
