"""What a champion's held-out rows say of its live ones: of their losses, and of those to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from ml_assets.core.errors import NotReady, UnknownName
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import predictions_schema
from ml_assets.monitoring.concept import ConceptDrift, HeldOutLosses, concept_drift, numbered
from ml_assets.monitoring.drift.columns import DAY_US
from ml_assets.monitoring.drift.of_days import reign_at
from ml_assets.monitoring.drift.reference import Reference, References, microseconds
from ml_assets.monitoring.estimated import ExpectedLoss, expected_loss
from ml_assets.monitoring.performance import WINDOWS, mature
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.models import ModelRegistry
from ml_assets.targets.stored import kept_outputs

BOUNDED_SHARE = 0.99
"""Of held-out losses below the bound, if their evaluation has none."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """None each, if too little is known."""

    concept: ConceptDrift | None = None
    expected: ExpectedLoss | None = None


def look_ahead(
    system: System, settings: Settings, registry: ModelRegistry, outcomes: pd.DataFrame,
    history: Sequence[Deployment], end: datetime,
) -> Outlook:
    """Of the champion at `end`. What selects its own rows is no standard for itself.

    outcomes: rows of `tables.outcomes_schema` that became known lately, see `performance.WINDOWS`
    """
    reign = reign_at(history, end)
    if reign is None or system.target.selects:
        return Outlook()
    try:
        reference = References(settings, system).read(reign.version)
    except (NotReady, UnknownName):  # what it was trained on is not known
        return Outlook()
    if not len(reference.losses):
        return Outlook()
    bound = (registry.evaluation(system.name, reign.version) or {}).get("largest_loss")
    return Outlook(
        concept=_concept(system, outcomes, reign, reference, end,
                         None if bound is None else float(bound)),
        expected=_expected(system, settings, reign.version, reference, end))


def _concept(
    system: System, outcomes: pd.DataFrame, reign: Deployment, reference: Reference,
    end: datetime, bound: float | None,
) -> ConceptDrift | None:
    window = WINDOWS[-1]
    rows = mature(outcomes, end, maturity=system.truth.maturity, days=window)
    rows = rows[rows["model_version"] == reign.version].reset_index(drop=True)
    last = (end - system.truth.maturity).date() - DAY
    began = max(reign.at.date(), system.calendar.go_live)
    first = max(began, last - (window - 1) * DAY)
    if rows.empty or first > last:
        return None
    target = system.target
    lists = rows["outputs"].tolist() if "outputs" in rows.columns else [None] * len(rows)
    losses = target.losses(target.codes(rows["label"].tolist()),
                           kept_outputs(target, rows["score"].tolist(), lists))
    days = (reference.scores_at // DAY_US if len(reference.scores_at) else
            np.zeros(len(reference.losses), np.int64))
    held_out = HeldOutLosses(
        losses_N=reference.losses, days_N=days,
        bound=float(np.quantile(reference.losses, BOUNDED_SHARE)) if bound is None else bound)
    return concept_drift(held_out, losses, numbered(microseconds(rows) // DAY_US, first),
                         first=first, last=last, earlier=(first - began).days)


def _expected(
    system: System, settings: Settings, version: int, reference: Reference, end: datetime
) -> ExpectedLoss | None:
    days, until = WINDOWS[0], end.date()
    rows = Lake(settings.lake).read_table(
        system.name, "predictions", predictions_schema(system), start=until - days * DAY,
        end=until, columns=["score", "model_version"])
    scores = rows["score"].to_numpy()[rows["model_version"].to_numpy() == version]
    return expected_loss(reference.scores, reference.losses, scores, days=days)
