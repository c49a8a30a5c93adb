"""The declared network, fitted as a training of the product fits it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from benchmarks.systems_load.fraud.protocol import judged, trained_on
from benchmarks.systems_load.fraud.vectors import Vectors
from ml_assets.core.model import Minibatch
from ml_assets.core.target import Floats
from ml_assets.systems.fraud import FRAUD
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows

DAYS = 60
STEADY = replace(FRAUD.model, history=timedelta(days=DAYS),
                 fit=Minibatch(batch=1024, epochs=6, rate=3e-3))
"""In the published weeks frauds stay what they are, so no row fades, and the latest choose the
epoch. The system itself declares what suits frauds that change."""


def scores(rows: Vectors, week: date) -> Floats:
    """(N,) of the rows that are judged."""
    fitted = trained_on(rows, week, DAYS)
    scorer = fit(STEADY, FRAUD.target, LabelledRows(
        texts={}, dense=rows.dense[fitted], codes=rows.is_fraud[fitted].astype(np.float64),
        feature_names=rows.names)).scorer
    return scorer.outputs({}, rows.dense[judged(rows, week)])[:, 0]
