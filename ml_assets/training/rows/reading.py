"""The rows of a training set, as a system's model reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ml_assets.core.model import Minibatch
from ml_assets.core.slates.propensity import shown_evenly
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.features.training_sets.training_set import TrainingSet
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.slate_weights import slate_weights
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import Floats

if TYPE_CHECKING:
    import pandas as pd


def rows_of(
    system: System, training_set: TrainingSet, split: Literal["train", "holdout"]
) -> TrainingRows:
    """Those that are trained on, or those that are held out."""
    rows = training_set.rows[training_set.rows["split"] == split]
    return LabelledRows(
        texts={column: [key_text(text) for text in rows[column]]
               for column in system.model.texts},
        dense=rows[list(training_set.feature_names)].to_numpy(np.float32),
        codes=system.target.codes(rows["label"].tolist()),
        feature_names=training_set.feature_names, coded=training_set.coded,
        weights=_weights(system, rows) if split == "train" else None,
    )


def _weights(system: System, rows: pd.DataFrame) -> Floats | None:
    """(n,) how much each row counts: by a column, its slate, and how seldom it was shown."""
    fit, policy = system.model.fit, system.target.slates
    by_column = fit.sample_weights if isinstance(fit, Minibatch) else None
    if by_column is None and policy is None:
        return None
    weights = np.ones(len(rows))
    if by_column is not None:
        weights *= rows[by_column].to_numpy(np.float64)
    if policy is not None:
        weights *= slate_weights(
            rows["event_id"].tolist(), system.target.codes(rows["label"].tolist()))
        if policy.debias:
            weights *= shown_evenly(rows["propensity"].to_numpy(np.float64))
    return weights.astype(np.float32)
