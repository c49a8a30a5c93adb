"""How much the rows of slates count in a fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml_assets.targets.metrics.order import slates_of
from ml_assets.training.rows.training_rows import Codes
from ml_assets.training.scored import Floats


def slate_weights(event_ids: Sequence[str], codes: Codes) -> Floats:
    """(N,) 1 / how many of its slate were taken, of N rows; 1 if none was.

    So all slates of which something was taken count alike, as they do in metrics of the order: a
    long visit does not drown the short ones.
    """
    slate_N, _ = slates_of(np.array(event_ids, dtype=object))
    taken_S = np.bincount(slate_N, codes > 0)
    weights: Floats = (1 / np.maximum(taken_S[slate_N], 1)).astype(np.float32)
    return weights
