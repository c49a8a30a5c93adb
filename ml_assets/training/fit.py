"""From rows with labels to a trained model, as a system declares it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from ml_assets.core.model import FullBatch, HashedText, Minibatch, Model
from ml_assets.core.model.model import CALIBRATED
from ml_assets.core.runtime.workers import WorkerPool
from ml_assets.core.target import Target
from ml_assets.training.calibration import calibrated_on
from ml_assets.training.hashed_text.fit import fit_hashed_text
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.networks.fit import fit_network
from ml_assets.training.networks.shown import latest_of, without_shift
from ml_assets.training.rows.room import require_room
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import Before, Fitted, TrainedScorer

log = logging.getLogger(__name__)


def fit(
    model: Model,
    target: Target,
    rows: TrainingRows,
    *,
    before: Before | None = None,
    folder: Path | None = None,
    data: str = "",
    progress: StepProgress = untold,
    workers: WorkerPool | None = None,
) -> Fitted[TrainedScorer]:
    """Train on rows in the order of time.

    before: whose weights a network begins with, where they fit
    folder, data, workers: see `loop.train`; a `FullBatch` is fitted by this process in any case
    The same arguments give the same weights, to the bit, on the same machine. Raises NotReady if
    nothing can be learnt from such labels, or if a `FullBatch` cannot hold the rows.
    """
    target.require_learnable(rows.codes)
    if isinstance(model.fit, FullBatch):
        require_room(rows)
        if workers is not None:
            log.info("FullBatch: L-BFGS has all rows at once, so this process fits, not Ray")
    if model.loss is not None and isinstance(model.fit, Minibatch):
        # Margins are calibrated on the rows that chose the epoch, so those are not learnt.
        model = replace(model, fit=replace(model.fit, refit=False))
    fitted = _fitted(model, target, rows, before=before, folder=folder, data=data,
                     progress=progress, workers=workers)
    if model.loss is None:
        return fitted
    if isinstance(model.fit, Minibatch) and model.fit.validation:
        _, unseen = latest_of(rows, model.fit.validation)
        return replace(fitted, scorer=fitted.scorer.rescaled(
            calibrated_on(fitted, without_shift(unseen))))
    earlier, later = latest_of(rows, CALIBRATED)
    target.require_learnable(earlier.codes)
    # Drawn weights: a champion may have learnt the later rows.
    of_earlier = _fitted(model, target, earlier, before=None, folder=None, data=data,
                         progress=untold, workers=None)
    return replace(fitted, scorer=fitted.scorer.rescaled(
        calibrated_on(of_earlier, without_shift(later))))


def _fitted(
    model: Model, target: Target, rows: TrainingRows, *, before: Before | None,
    folder: Path | None, data: str, progress: StepProgress, workers: WorkerPool | None,
) -> Fitted[TrainedScorer]:
    if isinstance(model.network, HashedText):
        return fit_hashed_text(model, target, rows.whole(), progress=progress)
    return fit_network(model, target, rows, before=before, folder=folder, data=data,
                       progress=progress, workers=workers)
