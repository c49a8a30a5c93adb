"""The servers of the profile `cluster`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ml_assets.core.storage.places import PostgresTables


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What several hosts share. Addresses may hold passwords, and are never told as they are.

    postgres: `postgresql://user@host/database`: event log, rollout record, alerts and
        tokens, and in schemas of their own MLflow, Dagster and Feast's registry
    schema: of our own tables there; what the names of the others begin with
    shared: the folder, on a file system that all hosts mount, of lake, model files and lists of
        candidates; None if there is one host
    objects: where they are instead in S3-compatible storage, `s3://bucket/prefix`; each host has
        copies of what it reads
    redis: where Feast's commands and other Feast clients read features,
        `redis://user@host:port/db`, filled from the event log
    """

    postgres: str = field(repr=False)
    schema: str = "ml_assets"
    shared: Path | None = None
    objects: str = ""
    redis: str = field(default="", repr=False)

    @property
    def event_log(self) -> PostgresTables:
        return PostgresTables(self.postgres, self.schema, "predictions")

    @property
    def deployments(self) -> PostgresTables:
        return PostgresTables(self.postgres, self.schema, "deployments")

    @property
    def tokens(self) -> PostgresTables:
        return PostgresTables(self.postgres, self.schema, "tokens")

    def alerts(self, system: str) -> PostgresTables:
        return PostgresTables(self.postgres, f"{self.schema}_alerts_{system}", "incidents")

    @property
    def mlflow(self) -> PostgresTables:
        return PostgresTables(self.postgres, f"{self.schema}_mlflow", "model_versions")

    @property
    def dagster(self) -> PostgresTables:
        return PostgresTables(self.postgres, f"{self.schema}_dagster", "runs")

    @property
    def feast(self) -> PostgresTables:
        return PostgresTables(self.postgres, f"{self.schema}_feast", "feature_views")
