"""From rows with labels to a trained model, as a system declares it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ml_assets.core.model import Categories, FullBatch, HashedText, Model, Numbers
from ml_assets.core.target import Target
from ml_assets.training.hashed_text.fit import fit_hashed_text
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.networks.fit import fit_network
from ml_assets.training.rows.room import require_room
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import Before, Fitted, TrainedScorer


def fit(
    model: Model,
    target: Target,
    rows: TrainingRows,
    *,
    before: Before | None = None,
    folder: Path | None = None,
    data: str = "",
    progress: StepProgress = untold,
) -> Fitted[TrainedScorer]:
    """Train on rows in the order of time.

    before: whose weights a network begins with, where they fit
    folder, data: see `loop.train`
    The same arguments give the same weights, to the bit, on the same machine. Raises NotReady if
    nothing can be learnt from such labels, or if a `FullBatch` cannot hold the rows.
    """
    target.require_learnable(rows.codes)
    if isinstance(model.fit, FullBatch):
        require_room(rows)
    if isinstance(model.network, HashedText):
        return fit_hashed_text(model, target, rows.whole(), progress=progress)
    return fit_network(model, target, rows, before=before, folder=folder, data=data,
                       progress=progress)


def fit_linear(model: Model, target: Target, rows: TrainingRows) -> TrainedScorer:
    """Logistic or ridge regression on the same rows' numbers and categories, texts left out: what
    a model must beat to be worth its trouble.
    """
    same = isinstance(model.network, HashedText)
    declared = model.network if isinstance(model.network, HashedText) else HashedText()
    plain = replace(
        model, network=replace(declared, hidden=0, pieces=0),
        fit=model.fit if same else FullBatch(),
        inputs=tuple(each for each in model.inputs if isinstance(each, Numbers | Categories)))
    return fit(plain, target, rows).scorer
