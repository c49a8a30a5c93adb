"""One training: a training set in, a registered model version out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.model import Model
from ml_assets.core.runtime.workers import WorkerPool, workers_at
from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.registry.models import ModelRegistry, ModelVersion
from ml_assets.targets.stored import as_json
from ml_assets.training import artifact
from ml_assets.training.agreement import largest_difference
from ml_assets.training.baselines.held_out import HeldOut, compared
from ml_assets.training.champion import champion
from ml_assets.training.convergence import Convergence
from ml_assets.training.fit import fit
from ml_assets.training.loop.checkpoints import discard
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.reproducing.environment import TAG, environment
from ml_assets.training.rows.fading import effective_rows
from ml_assets.training.rows.reading import rows_of
from ml_assets.training.rows.scoring import outputs_of_rows
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import Before, Ended, Fitted, TrainedScorer
from ml_assets.training.shipping.flavor import flavor_of

EXAMPLE_ROWS = 4
"""Rows stored with a model to prove, whenever it is loaded, that it still scores the same."""
REACHING = "reaching"
"""The folder below a training's own, of the fit that an interval is learnt from."""
BEGAN_WITH = "began_with_version"
"""The tag that says which version's weights a training began with."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training took: rows fitted, how it ended, weights, wall seconds.

    effective: how many rows of equal weight would say as much: `rows` if all count the same
    difference: the largest between the model's outputs as served and as torch gives them
    held_out: what it loses on rows that it did not see; None if there are none
    began: as which version its weights began, or why they were drawn; None if nothing was asked for
    """

    rows: int
    effective: float
    convergence: Ended
    parameters: int
    seconds: float
    difference: float
    held_out: HeldOut | None
    began: str | None = None


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
    before = champion(system, registry)
    rows, fitted = fitted_to(
        system, training_set, before=before if isinstance(before, Before) else None,
        folder=checkpoints, progress=progress, workers=workers_at(registry.settings.ray))
    seconds = perf_counter() - started
    held_out = rows_of(system, training_set, "holdout")
    trained = Trained(
        rows=len(rows),
        effective=float(len(rows)) if rows.weights is None else effective_rows(rows.weights),
        convergence=fitted.convergence,
        parameters=fitted.scorer.parameters,
        seconds=seconds,
        difference=max(largest_difference(fitted, block.texts, block.dense)
                       for block in (held_out if len(held_out) else rows).blocks()),
        began=before if isinstance(before, str) else fitted.began,
        held_out=_held_against(system, fitted, rows, held_out, training_set),
    )
    some = rows.part(0, min(EXAMPLE_ROWS, len(rows))).whole()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        artifact.save(fitted.scorer, folder, texts=some.texts, dense=some.dense,
                      state=fitted.state)
        version = registry.register(
            system.name,
            folder,
            params={**system.model.described, "target": as_json(system.target),
                    "rows": len(rows), "parameters": trained.parameters},
            metrics={"train_loss": trained.convergence.losses[-1],
                     "train_seconds": trained.seconds,
                     "train_effective_rows": trained.effective,
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
                TAG: environment(system.model).tag(),
                **({BEGAN_WITH: str(before.version)} if isinstance(before, Before) else {}),
                **({} if trained.began is None else {"began": trained.began}),
            },
            flavor=flavor_of(fitted.scorer, texts=some.texts, dense=some.dense),
        )
    discard(checkpoints)
    return version, trained


def _held_against(
    system: System, fitted: Fitted[TrainedScorer], rows: TrainingRows, held_out: TrainingRows,
    training_set: TrainingSet,
) -> HeldOut | None:
    if not len(held_out):
        return None
    subjects = Subjects.unknown(len(held_out))
    if "event_id" in training_set.columns:
        event_ids = training_set.part("holdout").table(["event_id"])["event_id"]
        subjects = Subjects.of(event_ids.to_pylist(), {})
    return compared(system.model, fitted.scorer, rows, held_out, subjects)


def fitted_to(
    system: System, training_set: TrainingSet, *, before: Before | None,
    folder: Path | None = None, progress: StepProgress = untold, workers: WorkerPool | None = None,
) -> tuple[TrainingRows, Fitted[TrainedScorer]]:
    """(the rows that were fitted, what came of them).

    before, folder, workers: see `fit`
    """
    return fitted_with_interval(
        system.model, system.target, rows_of(system, training_set, "train"), before=before,
        data=training_set.version, folder=folder, progress=progress, workers=workers)


def fitted_with_interval(
    model: Model, target: Target, rows: TrainingRows, *, before: Before | None = None,
    folder: Path | None = None, data: str = "", progress: StepProgress = untold,
    workers: WorkerPool | None = None,
) -> tuple[TrainingRows, Fitted[TrainedScorer]]:
    """(those of the rows that were fitted, what came of them), outputs calibrated on the rows that
    the target keeps back, as the network that they are of, or one of the rows before them, sees
    them. The arguments are those of `fit`.
    """
    assert model.fit is not None, "a model that declares none has its network's"
    fit_to = partial(fit, model, target, data=data, workers=workers)
    first = len(rows) - target.kept_back(len(rows))
    if first == len(rows):
        return rows, fit_to(rows, before=before, folder=folder, progress=progress)
    earlier, kept_back = rows.part(0, first), rows.part(first, len(rows))
    if not model.fit.refit:
        return earlier, _calibrated(
            fit_to(earlier, before=before, folder=folder, progress=progress), kept_back)
    # Drawn weights: a champion may have learnt the rows that are kept back.
    of_earlier = _calibrated(fit_to(
        earlier, before=None, folder=folder and folder / REACHING, progress=untold), kept_back)
    fitted = fit_to(rows, before=before, folder=folder, progress=progress)
    scorer = fitted.scorer
    return rows, replace(
        fitted, scorer=scorer.rescaled(scorer.scale.reaching(of_earlier.scorer.scale)))


def _calibrated(fitted: Fitted[TrainedScorer], rows: TrainingRows) -> Fitted[TrainedScorer]:
    """With what the target learns of rows that the network was not fitted to."""
    scorer = fitted.scorer
    scale = scorer.target.calibrated(scorer.scale, rows.codes, outputs_of_rows(scorer, rows))
    return replace(fitted, scorer=scorer.rescaled(scale))


def figures(
    training_set: TrainingSet, version: ModelVersion, trained: Trained
) -> dict[str, float | int | str]:
    """What a training came to, by name."""
    return {
        "version": version.version,
        "train_loss": trained.convergence.losses[-1],
        "ended": trained.convergence.said,
        **({} if trained.began is None else {"began": trained.began}),
        **({} if trained.held_out is None else trained.held_out.named()),
        "effective_rows": round(trained.effective),
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
