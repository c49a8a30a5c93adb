"""What answers come from: the deployment record, the models, the features."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.online_store.memtable import Memtable
from ml_assets.serving.answer.features import FEATURE_BUDGET, FeatureReader
from ml_assets.serving.models.pool import Deployments
from ml_assets.serving.models.scoring import Scorer


@dataclass(frozen=True, kw_only=True)
class Backends:
    """What answers come from. Each call makes a new one; tests put fakes here."""

    deployments: Callable[[], Deployments]
    model: Callable[[System, int], Scorer]
    features: Callable[[System, sqlite3.Connection], FeatureReader]

    @classmethod
    def of(cls, settings: Settings) -> Backends:
        """The installation's own: deployment record, MLflow registry, Feast online store."""

        def deployments() -> Deployments:
            from ml_assets.registry.deployments import Deployments as Record

            return Record(settings.deployments)

        def model(system: System, version: int) -> Scorer:
            from ml_assets.registry.models import ModelRegistry
            from ml_assets.training import artifact

            return artifact.load(ModelRegistry(settings).folder(system.name, version))

        memory = Memtable()

        def features(system: System, connection: sqlite3.Connection) -> FeatureReader:
            from ml_assets.features.online import OnlineFeatures

            return OnlineFeatures(
                connection, settings, system, budget=FEATURE_BUDGET, memory=memory
            )

        return cls(deployments=deployments, model=model, features=features)
