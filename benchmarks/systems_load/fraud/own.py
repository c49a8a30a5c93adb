"""The declared model, fitted as a training of the product fits it."""

from __future__ import annotations

from datetime import date

import numpy as np

from benchmarks.systems_load.fraud.protocol import judged, trained_on
from benchmarks.systems_load.fraud.vectors import Vectors
from ml_assets.core.target import Floats
from ml_assets.systems.fraud import FRAUD
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows


def scores(rows: Vectors, week: date) -> Floats:
    """(N,) of the rows that are judged; fitted to as many days as the system declares."""
    history = FRAUD.model.history
    assert history is not None, "fraud declares how far back it looks"
    fitted = trained_on(rows, week, history.days)
    scorer = fit(FRAUD.model, FRAUD.target, LabelledRows(
        texts={}, dense=rows.dense[fitted], codes=rows.is_fraud[fitted].astype(np.float64),
        feature_names=rows.names)).scorer
    return scorer.outputs({}, rows.dense[judged(rows, week)])[:, 0]
