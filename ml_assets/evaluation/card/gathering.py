"""What is known of a version, from everywhere that knows something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ml_assets.core.errors import ContractViolation, NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.evaluation.card.data import CardData, card_data
from ml_assets.evaluation.report import EvaluationReport
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry, ModelVersion, TrainingRun
from ml_assets.training.reproducing.environment import TAG, TrainingEnvironment


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """report, data: why they are not known, in words, if they are not
    figures: PNGs of the evaluation by name; history: all records of the system, oldest first
    environment: None of versions registered before it was recorded
    """

    system: System
    version: ModelVersion
    training: TrainingRun
    environment: TrainingEnvironment | None
    data: CardData | str
    report: EvaluationReport | str
    figures: Mapping[str, bytes] = field(default_factory=dict)
    history: Sequence[Deployment] = ()
    at: datetime

    @property
    def number(self) -> int:
        return self.version.version


def gathered(
    system: System, settings: Settings, version: int | None = None
) -> CardFacts:
    """version: the champion's unless given, or the latest of a system that has none.

    Raises UnknownName without such a version, NotReady without any.
    """
    registry = ModelRegistry(settings)
    history = (Deployments(settings.deployments).history(system.name)
               if settings.deployments.exists() else [])
    found = _chosen(system, registry, history, version)
    return CardFacts(
        system=system, version=found, training=registry.training(system.name, found.version),
        environment=TrainingEnvironment.of_tag(found.tags.get(TAG)),
        data=card_data(settings, system, found.tags.get("data_version")),
        report=_report(registry, found), figures=registry.figures(system.name, found.version),
        history=history, at=settings.clock_of(system.name).now())


def _chosen(
    system: System, registry: ModelRegistry, history: Sequence[Deployment], version: int | None
) -> ModelVersion:
    if version is None:
        latest = registry.latest(system.name)
        if latest is None:
            raise NotReady(f"{system.name!r} has no model yet: materialise {system.name}/model")
        return registry.get(system.name, history[-1].version) if history else latest
    return registry.get(system.name, version)


def _report(registry: ModelRegistry, version: ModelVersion) -> EvaluationReport | str:
    stored = registry.evaluation(version.system, version.version)
    if stored is None:
        return "it was not evaluated"
    try:
        return EvaluationReport.from_json(stored)
    except ContractViolation as error:
        return str(error)
