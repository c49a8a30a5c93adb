"""The servers of the profile `cluster`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ml_assets.core.storage.places import PostgresTables


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What several hosts share. Addresses may hold passwords, and are never told as they are.

    postgres: `postgresql://user@host/database`: event log, rollout record, alerts
    schema: of our own tables there; what the names of others begin with
    """

    postgres: str = field(repr=False)
    schema: str = "ml_assets"

    @property
    def event_log(self) -> PostgresTables:
        return PostgresTables(self.postgres, self.schema, "predictions")

    @property
    def deployments(self) -> PostgresTables:
        return PostgresTables(self.postgres, self.schema, "deployments")

    def alerts(self, system: str) -> PostgresTables:
        return PostgresTables(self.postgres, f"{self.schema}_alerts_{system}", "incidents")
