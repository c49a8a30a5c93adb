"""Makes a version's card and stores it where people look: beside the version in MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.evaluation.card.gathering import gathered
from ml_assets.evaluation.card.rendering import markdown, page
from ml_assets.evaluation.card.sections import card_of
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.rollout import Role


@dataclass(frozen=True, kw_only=True)
class WrittenCard:
    """page: an HTML document"""

    version: int
    page: str
    markdown: str


def written(system: System, settings: Settings, version: int | None = None) -> WrittenCard:
    """The card as of now, stored nowhere. See `gathered` for `version` and what is raised."""
    facts = gathered(system, settings, version)
    card = card_of(facts)
    return WrittenCard(version=facts.number, page=page(card), markdown=markdown(card))


def published(system: System, settings: Settings, version: int) -> WrittenCard:
    """The card as of now; MLflow has it in place of the one before."""
    made = written(system, settings, version)
    ModelRegistry(settings).log_card(system.name, version, page=made.page, markdown=made.markdown)
    return made


def refreshed(system: System, settings: Settings, since: datetime) -> list[WrittenCard]:
    """The cards of the versions whose part in the traffic has changed since that instant."""
    history = Deployments(settings.deployments).history(system.name)
    touched = {
        version for before, record in zip([None, *history], history, strict=False)
        if record.at >= since
        for version in {*record.named, *(before.named if before else ())}
        if _part(before, version) != _part(record, version)}
    return [published(system, settings, version) for version in sorted(touched)]


def _part(record: Deployment | None, version: int) -> tuple[Role | None, float] | None:
    return None if record is None else (record.role(version), record.share(version))
