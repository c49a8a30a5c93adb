"""What a scorer says of rows, wherever they lie."""

from __future__ import annotations

import numpy as np

from ml_assets.training.rows.training_rows import Codes, TrainingRows
from ml_assets.training.scored import Outputs, TrainedScorer


def outputs_of_rows(scorer: TrainedScorer, rows: TrainingRows) -> Outputs:
    """(N, W) of N rows."""
    return np.concatenate([
        np.empty((0, len(scorer.target.outputs))),
        *(scorer.outputs(block.texts, block.dense) for block in rows.blocks())])


def losses_of(scorer: TrainedScorer, rows: TrainingRows) -> Codes:
    """(N,) what each row loses."""
    return scorer.target.losses(rows.codes, outputs_of_rows(scorer, rows))
