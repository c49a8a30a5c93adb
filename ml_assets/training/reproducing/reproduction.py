"""A version made once more from its record, and held against the one that is registered."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file

from ml_assets.core.errors import MlAssetsError, NotReproducible
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.registry.models import ModelRegistry, ModelVersion, TrainingRun
from ml_assets.registry.tracking.runs import texts
from ml_assets.targets.stored import as_json
from ml_assets.training import artifact
from ml_assets.training.champion import weights_of
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.reproducing.environment import TAG, TrainingEnvironment, environment
from ml_assets.training.rows.reading import rows_of
from ml_assets.training.rows.scoring import outputs_of_rows
from ml_assets.training.run import BEGAN_WITH, fitted_to
from ml_assets.training.scored import Before, TrainedScorer

Verdict = Literal["equal", "alike", "different"]
"""equal: every weight and answer to the bit; alike: answers within the tolerance to which a stored
model reproduces its example."""
CAME_OF = {"rows", "parameters"}
"""Of the parameters in MLflow, those that were not declared."""
Tensors = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of training a version again.

    data: how its rows were come by, in words
    differs: what is not as it was recorded, in words: declaration, code, packages, threads, data
    weights: the largest difference of a weight; None if the tensors are not the same ones
    example, held_out: the largest difference of an answer on the rows stored with the model, and on
        the held-out rows (in deviations of the labels, if the target scales them); None if the
        answers cannot be compared
    rows: how many were held out
    """

    version: int
    data: str
    differs: tuple[str, ...]
    weights: float | None
    example: float | None
    held_out: float | None
    rows: int

    @property
    def verdict(self) -> Verdict:
        answers = (self.example, self.held_out)
        if self.weights == 0 and all(each == 0 for each in answers):
            return "equal"
        alike = all(each is not None and each <= artifact.TOLERANCE for each in answers)
        return "alike" if alike else "different"


def reproduce(
    system: System, settings: Settings, version: int, *, progress: StepProgress = untold
) -> Reproduction:
    """Build the version's training set again from the lake as it was known then, train on it as it
    was trained, and compare. Nothing is registered, and nothing that is stored changes.

    Raises UnknownName without such a version, NotReproducible if neither the lake nor the recorded
    file gives its rows, or if what it was made from is not recorded.
    """
    registry = ModelRegistry(settings)
    registered, run = registry.get(system.name, version), registry.training(system.name, version)
    recorded = TrainingEnvironment.of_tag(registered.tags.get(TAG))
    before = _began_with(system, registry, registered)
    with tempfile.TemporaryDirectory() as temporary, _threads(recorded):
        training_set, data, differs = _rows(system, settings, registered, Path(temporary))
        differs += [*_undeclared(system, run), *([] if isinstance(before, Before | None) else [
            f"it began with version {registered.tags[BEGAN_WITH]}, which is gone: {before}"])]
        if recorded is None:
            differs.append("what it was trained with was not recorded then")
        else:
            differs += recorded.differences(environment(system.model))
        _, fitted = fitted_to(system, training_set, progress=progress,
                              before=before if isinstance(before, Before) else None)
        held_out = rows_of(system, training_set, "holdout")
        folder = registry.folder(system.name, version)
        stored, made = artifact.load(folder), fitted.scorer
        example, dense = artifact.example(folder, stored)
        comparable = stored.target.answers_like(made.target) and (
            stored.feature_names == made.feature_names and stored.texts == made.texts)
        return Reproduction(
            version=version, data=data, differs=tuple(differs),
            weights=_apart(_weights(stored, folder), {**made.parts.tensors, **fitted.state}),
            example=_answers(stored, stored.outputs(example.texts, dense),
                             made.outputs(example.texts, dense)) if comparable else None,
            held_out=_answers(stored, outputs_of_rows(stored, held_out),
                              outputs_of_rows(made, held_out)) if comparable else None,
            rows=len(held_out))


def _rows(
    system: System, settings: Settings, version: ModelVersion, folder: Path
) -> tuple[TrainingSet, str, list[str]]:
    """(the training set, how it was come by, what speaks against it)"""
    name, as_of = version.tags.get("data_version"), version.tags.get("as_of")
    if name is None or as_of is None:
        raise NotReproducible(f"version {version.version} of {system.name!r} does not say which "
                              "training set it was trained on: train again to have that recorded")
    sets = TrainingSets(settings, system)
    try:
        found = sets.restored(name, datetime.fromisoformat(as_of), folder)
    except (MlAssetsError, OSError) as error:
        trouble = str(error)
    else:
        return found, f"training set {name}, built again from the lake as of {as_of}: the same", []
    try:
        found = sets.load(name)
        if not found.path.exists():
            raise NotReproducible("its file is gone")
    except MlAssetsError as error:
        raise NotReproducible(
            f"version {version.version} of {system.name!r} cannot be made again: its training set "
            f"{name} is gone ({error}), and the lake does not give it any more: {trouble}"
        ) from error
    return found, f"training set {name}, as it was stored", [
        f"the lake does not give the training set any more: {trouble}"]


def _undeclared(system: System, run: TrainingRun) -> list[str]:
    """What the model was declared with and is not any more, or the other way round."""
    now = texts({**system.model.described, "target": as_json(system.target)})
    return [f"{name} was declared {run.params.get(name, 'not at all')}, is {now.get(name, 'gone')}"
            for name in sorted({*now, *run.params} - CAME_OF)
            if now.get(name) != run.params.get(name)]


def _began_with(
    system: System, registry: ModelRegistry, version: ModelVersion
) -> Before | str | None:
    named = version.tags.get(BEGAN_WITH)
    return None if named is None else weights_of(system, registry, int(named))


def _weights(stored: TrainedScorer, folder: Path) -> dict[str, npt.NDArray[Any]]:
    path = folder / artifact.STATE
    return {**stored.parts.tensors, **(load_file(path) if path.exists() else {})}


def _apart(these: Tensors, others: Tensors) -> float | None:
    named = {name: others[name] for name in these if name in others}
    if set(named) != set(these) or any(
            each.shape != these[name].shape for name, each in named.items()):
        return None
    return max((_largest(these[name], each) for name, each in named.items()), default=0.0)


def _largest(these: npt.NDArray[Any], others: npt.NDArray[Any]) -> float:
    if np.array_equal(these, others) or not these.size:
        return 0.0
    if not np.issubdtype(these.dtype, np.number):
        return float("inf")
    return float(np.abs(these.astype(np.float64) - others.astype(np.float64)).max())


def _answers(
    scorer: TrainedScorer, these_NW: npt.NDArray[np.float64], others_NW: npt.NDArray[np.float64]
) -> float:
    if np.array_equal(these_NW, others_NW, equal_nan=True):
        return 0.0
    return float(np.nanmax(scorer.target.apart(these_NW, others_NW, scorer.scale), initial=0.0))


@contextmanager
def _threads(recorded: TrainingEnvironment | None) -> Iterator[None]:
    """In the block torch computes with as many threads as it did then."""
    before = torch.get_num_threads()
    if recorded is not None and recorded.threads:
        torch.set_num_threads(recorded.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
