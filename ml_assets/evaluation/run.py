"""One evaluation: the latest candidate beside the champion, on what neither was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.evaluation.benefits import Benefits, benefit_of, fresh_share, judged_share
from ml_assets.evaluation.report import EvaluationReport, Scored, evaluate
from ml_assets.evaluation.subjects import subjects_of
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry, ModelVersion
from ml_assets.training import artifact

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A report and what it was made from.

    figures: PNGs by name; absent: columns that the champion reads and the rows no longer have
    (it was scored without them, as it would be served).
    """

    report: EvaluationReport
    candidate: ModelVersion
    rows: pd.DataFrame
    figures: dict[str, bytes]
    absent: tuple[str, ...]


def evaluate_latest(system: System, settings: Settings) -> Evaluated:
    """Judge the latest candidate on the latest training set, see `evaluate_candidate`.

    If it misses a bound of its own, its training has come to a verdict here: it goes no further.
    What the retraining brought is noted, see `benefits`.
    """
    sets, registry = TrainingSets(settings, system), ModelRegistry(settings)
    training_set = sets.latest()
    evaluated = evaluate_candidate(
        system, training_set, registry, Deployments(settings.deployments))
    report = evaluated.report
    before = None if report.champion is None else (
        registry.get(system.name, report.champion).tags.get("as_of"))
    benefit = benefit_of(
        system, report, at=settings.clock_of(system.name).now(),
        judged=judged_share(system, evaluated.rows),
        fresh=1.0 if before is None else fresh_share(training_set, datetime.fromisoformat(before)))
    if benefit is not None:
        Benefits(settings, system).note(benefit)
    if any(not gate.passed and not gate.comparing for gate in report.gates):
        sets.conclude(report.data_version)
    return evaluated


def evaluate_candidate(
    system: System,
    training_set: TrainingSet,
    registry: ModelRegistry,
    deployments: Deployments,
) -> Evaluated:
    """Judge the latest registered version on the held-out rows, and store the verdict with it.

    It is compared with the version in force; once it is in force itself, with the one that it
    replaced, so that the report stays the same when it is made again. One whose answers meant
    something else, such as other classes, is no opponent: it is not served either.

    Raises NotReady if there is no candidate, no held-out row, or if the candidate was
    trained for another target, or on another training set: then it may have seen these rows.
    """
    rows = training_set.held_out()
    candidate = _candidate(system, training_set, registry)
    if rows.empty:
        raise NotReady(
            f"training set {training_set.version} of {system.name!r} holds nothing out: its "
            f"{training_set.labels} labels are too few for model.holdout={system.model.holdout}"
        )
    scored, _ = _score(system, registry, candidate.version, rows)
    if scored is None:
        raise NotReady(
            f"version {candidate.version} of {system.name!r} was trained to predict another "
            f"target than is declared now: materialise {system.name}/model again"
        )
    champion, absent = None, tuple[str, ...]()
    opponent = opponent_of(candidate.version, deployments.history(system.name))
    if opponent is not None:
        champion, absent = _score(system, registry, opponent, rows)
    report = evaluate(system, rows, scored, champion, data_version=training_set.version)
    figures = _figures(system, rows, scored, champion)
    registry.log_evaluation(
        system.name, candidate.version, report.to_json(), metrics=values(report), figures=figures
    )
    return Evaluated(report=report, candidate=candidate, rows=rows, figures=figures, absent=absent)


def opponent_of(candidate: int, history: list[Deployment]) -> int | None:
    """The version to compare with.

    history: all deployments of the system, oldest first.
    """
    if not history:
        return None
    current = history[-1]
    return current.previous if current.version == candidate else current.version


def values(report: EvaluationReport) -> dict[str, float]:
    """The candidate's metrics on all rows, those that can be computed."""
    measured = report.metrics.candidate or {}
    return {name: each.value for name, each in measured.items() if each.value is not None}


def _candidate(
    system: System, training_set: TrainingSet, registry: ModelRegistry
) -> ModelVersion:
    candidate = registry.latest(system.name)
    if candidate is None:
        raise NotReady(f"{system.name!r} has no model yet: materialise {system.name}/model first")
    trained_on = candidate.tags.get("data_version", "none")
    if trained_on != training_set.version:
        raise NotReady(
            f"version {candidate.version} of {system.name!r} was trained on training set "
            f"{trained_on}, but the latest is {training_set.version}: it may have seen the rows "
            f"that are held out now. Materialise {system.name}/model again"
        )
    return candidate


def _score(
    system: System, registry: ModelRegistry, version: int, rows: pd.DataFrame
) -> tuple[Scored | None, tuple[str, ...]]:
    """(scores, columns that the model reads and the rows lack); None if its outputs are no
    answers of the system as it is declared now.
    """
    scorer = artifact.load(registry.folder(system.name, version))
    if not system.target.answers_like(scorer.target):
        return None, ()
    absent = tuple(
        name for name in (*scorer.texts, *scorer.feature_names) if name not in rows.columns
    )
    texts = {
        column: [key_text(value) for value in rows[column]] if column in rows.columns
        else [""] * len(rows)
        for column in scorer.texts
    }
    dense = rows.reindex(columns=list(scorer.feature_names)).to_numpy(np.float32)
    return Scored(version=version, outputs=scorer.outputs(texts, dense)), absent


def _figures(
    system: System, rows: pd.DataFrame, candidate: Scored, champion: Scored | None
) -> dict[str, bytes]:
    models = {f"version {candidate.version} (candidate)": candidate.outputs}
    title = f"{system.name}: version {candidate.version}"
    if champion is not None:
        models[f"version {champion.version} (champion)"] = champion.outputs
        title += f" beside version {champion.version}"
    first, last = rows["event_timestamp"].min(), rows["event_timestamp"].max()
    return system.target.figures(
        system.target.codes(rows["label"].tolist()), models,
        f"{title} on {len(rows)} held-out events, {first:%Y-%m-%d} to {last:%Y-%m-%d}",
        subjects_of(system.target, rows),
    )
