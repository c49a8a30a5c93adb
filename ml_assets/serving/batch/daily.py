"""What a day's run stores of each day: what was served, and what a batch scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from ml_assets.core.errors import NotReady
from ml_assets.core.runtime.workers import workers_at
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import day_bounds
from ml_assets.features.offline import OfflineFeatures
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import predictions_schema
from ml_assets.registry.deployments import Deployments
from ml_assets.serving.batch.day import DayScorer
from ml_assets.serving.batch.plots import score_histogram
from ml_assets.serving.batch.summary import ScoreSummary
from ml_assets.serving.batch.tables import served_rows
from ml_assets.serving.models.scoring import Scorer, require_names


def store_predictions(system: System, settings: Settings, days: Sequence[date]) -> pd.DataFrame:
    """Store what the API answered on each day; the rows of all of them."""
    lake, log, parts = Lake(settings.lake), EventLog(settings.event_log), []
    for day in days:
        parts.append(served_rows(log.predictions(system.name, *day_bounds(day))))
        lake.write(system.name, "predictions", day, parts[-1], predictions_schema(system))
    log.close()
    return pd.concat(parts, ignore_index=True)


def plot_served(system: System, served: pd.DataFrame) -> bytes:
    """A PNG of how the scores of `served` lie."""
    return score_histogram(served["score"], system.target,
                           title=f"{len(served)} predictions served")


@dataclass(frozen=True, kw_only=True)
class BatchScores:
    """What the deployed version said of all events; plot: a PNG of how the scores lie."""

    version: int
    summary: ScoreSummary
    plot: bytes


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What whoever scores some days has to know. at: the instant that the scores are given"""

    system: System
    settings: Settings
    load: Callable[[System, int], Scorer]
    version: int
    at: datetime


def score_some(batch: Batch, days: Sequence[date]) -> ScoreSummary:
    """Score and store some days, one after the other."""
    scorer = batch.load(batch.system, batch.version)
    history = OfflineFeatures(batch.settings, batch.system)
    require_names(batch.system, scorer, history.names)
    log, summary = EventLog(batch.settings.event_log), ScoreSummary()
    day_scorer = DayScorer(
        system=batch.system, scorer=scorer, version=batch.version, history=history,
        lake=Lake(batch.settings.lake), log=log, at=batch.at,
    )
    for day in days:
        day_scorer.score(day, summary)
    log.close()
    return summary


def _parts(days: Sequence[date], parts: int) -> list[Sequence[date]]:
    """Neighbours together, one part for each worker: each loads the model once."""
    parts = min(parts, len(days))
    return [days[len(days) * n // parts : len(days) * (n + 1) // parts] for n in range(parts)]


def score_days(
    system: System, settings: Settings, days: Sequence[date], *,
    load: Callable[[System, int], Scorer],
) -> BatchScores:
    """Score and store the events of each day with the model in force, which `load` gives.

    On a Ray cluster each worker has some of the days.

    Raises NotReady if no model is deployed.
    """
    deployed = Deployments(settings.deployments).current(system.name)
    if deployed is None:
        raise NotReady(f"no model of {system.name!r} is deployed: materialise "
                       f"{system.name}/deployment first")
    batch = Batch(system=system, settings=settings, load=load, version=deployed.version,
                  at=settings.clock_of(system.name).now())
    workers = workers_at(settings.ray)
    if workers is None or len(days) < 2:
        summary = score_some(batch, days)
    else:
        summary = ScoreSummary()
        for scored in workers.map(score_some, batch, _parts(days, workers.count)):
            summary.extend(scored)
    return BatchScores(version=deployed.version, summary=summary, plot=score_histogram(
        summary.scores(), system.target,
        title=f"{summary.rows} events, version {deployed.version}",
    ))
