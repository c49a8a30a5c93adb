"""One training: a training set in, a registered model version out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from ml_assets.core.model import Minibatch
from ml_assets.core.system import System
from ml_assets.core.target import Floats as Codes
from ml_assets.core.target import Target
from ml_assets.core.texts import key_text
from ml_assets.features.training_sets.training_set import TrainingSet
from ml_assets.registry.models import ModelRegistry, ModelVersion
from ml_assets.targets.stored import as_json
from ml_assets.training import artifact
from ml_assets.training.agreement import largest_difference
from ml_assets.training.baselines import HeldOut, compared
from ml_assets.training.convergence import Convergence
from ml_assets.training.fit import fit
from ml_assets.training.loop.checkpoints import discard
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.scored import Ended, Fitted, Floats, TrainedScorer
from ml_assets.training.shipping.flavor import flavor_of

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE_ROWS = 4
"""Rows stored with a model to prove, whenever it is loaded, that it still scores the same."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training took: rows fitted, how it ended, weights, wall seconds.

    difference: the largest between the model's outputs as served and as torch gives them
    held_out: what it loses on rows that it did not see; None if there are none
    """

    rows: int
    convergence: Ended
    parameters: int
    seconds: float
    difference: float
    held_out: HeldOut | None


def train(
    system: System,
    training_set: TrainingSet,
    registry: ModelRegistry,
    *,
    tags: Mapping[str, str],
    progress: StepProgress = untold,
) -> tuple[ModelVersion, Trained]:
    """Fit the system's model to the training part of `training_set` and register it.

    The version is tagged with the data it saw: version, days, feature service, as-of. Raises
    ModelRefused, and registers nothing, if the form that will be served does not score as
    torch does what is held out (if nothing is, what was trained on).
    """
    started = perf_counter()
    checkpoints = registry.settings.folder_of(system.name) / "training"
    rows, kept_back = _parted(
        system.target, training_set.rows[training_set.rows["split"] == "train"])
    texts, dense = _inputs(system, training_set, rows)
    codes = system.target.codes(rows["label"].tolist())
    fitted = _calibrated(
        fit(system.model, system.target, texts, dense, codes,
            feature_names=training_set.feature_names, coded=training_set.coded,
            weights=_weights(system, rows), data=training_set.version,
            folder=checkpoints, progress=progress),
        *_inputs(system, training_set, kept_back),
        system.target.codes(kept_back["label"].tolist()),
    )
    seconds = perf_counter() - started
    held_out = training_set.rows[training_set.rows["split"] == "holdout"]
    unseen = _inputs(system, training_set, held_out)
    trained = Trained(
        rows=len(rows),
        convergence=fitted.convergence,
        parameters=fitted.scorer.parameters,
        seconds=seconds,
        difference=largest_difference(
            fitted, *((texts, dense) if held_out.empty else unseen)),
        held_out=None if held_out.empty else compared(
            system.model, fitted.scorer, (texts, dense, codes),
            (*unseen, system.target.codes(held_out["label"].tolist())),
            coded=training_set.coded,
        ),
    )
    some = {column: values[:EXAMPLE_ROWS] for column, values in texts.items()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        artifact.save(fitted.scorer, folder, texts=some, dense=dense[:EXAMPLE_ROWS],
                      state=fitted.state)
        version = registry.register(
            system.name,
            folder,
            params={**system.model.described, "target": as_json(system.target),
                    "rows": len(rows)},
            metrics={"train_loss": trained.convergence.losses[-1],
                     "train_seconds": trained.seconds,
                     "train_evaluations": len(trained.convergence.losses),
                     **_figures(trained.convergence),
                     "train_settled": trained.convergence.settled,
                     "serving_difference": trained.difference,
                     **({} if trained.held_out is None else trained.held_out.named())},
            tags={
                **tags,
                "data_version": training_set.version,
                "first_day": training_set.partitions[0].isoformat(),
                "last_day": training_set.partitions[1].isoformat(),
                "as_of": training_set.as_of.isoformat(),
                "feature_service": training_set.feature_service,
                "seed": str(system.model.seed),
            },
            flavor=flavor_of(fitted.scorer, texts=some, dense=dense[:EXAMPLE_ROWS]),
        )
    discard(checkpoints)
    return version, trained


def _parted(target: Target, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a network is fitted to, and the latest rows, that its outputs are calibrated on.

    rows: in the order of time, as training sets have them
    """
    count = target.kept_back(len(rows))
    first = len(rows) - count
    return rows.iloc[:first], rows.iloc[first:]


def _calibrated(
    fitted: Fitted[TrainedScorer], texts: Mapping[str, Sequence[str]], dense: Floats, codes: Codes
) -> Fitted[TrainedScorer]:
    """With what the target learns of rows that the network was not fitted to."""
    if not len(codes):
        return fitted
    scorer = fitted.scorer
    scale = scorer.target.calibrated(scorer.scale, codes, scorer.outputs(texts, dense))
    return replace(fitted, scorer=scorer.rescaled(scale))


def figures(
    training_set: TrainingSet, version: ModelVersion, trained: Trained
) -> dict[str, float | int | str]:
    """What a training came to, by name."""
    return {
        "version": version.version,
        "train_loss": trained.convergence.losses[-1],
        "ended": trained.convergence.said,
        **({} if trained.held_out is None else trained.held_out.named()),
        "parameters": trained.parameters,
        "seconds": trained.seconds,
        "serving_difference": trained.difference,
        "training_set": training_set.version,
        "mlflow_run": version.run_id,
        "uri": version.uri,
    }


def _figures(ended: Ended) -> dict[str, float]:
    if isinstance(ended, FitHistory):
        return {"train_steps": ended.steps, "train_best_epoch": ended.best}
    return {"train_gradient": ended.gradient} if isinstance(ended, Convergence) else {}


def _weights(system: System, rows: pd.DataFrame) -> Floats | None:
    """(n,) how much each row counts, if a column says so."""
    fit = system.model.fit
    if not isinstance(fit, Minibatch) or fit.sample_weights is None:
        return None
    return rows[fit.sample_weights].to_numpy(np.float32)


def _inputs(
    system: System, training_set: TrainingSet, rows: pd.DataFrame
) -> tuple[dict[str, list[str]], Floats]:
    """The texts by column and the dense vectors (n, D) of n rows of the training set."""
    texts = {column: [key_text(text) for text in rows[column]] for column in system.model.texts}
    return texts, rows[list(training_set.feature_names)].to_numpy(np.float32)
