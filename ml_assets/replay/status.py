"""Where a system stands, and why one prediction came out as it did, in plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from math import isnan

import click

from ml_assets.automation.retraining import decide
from ml_assets.automation.situation import gather
from ml_assets.core.errors import UnknownName
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.ingest.event_log import EventLog, Prediction
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import LABELS
from ml_assets.registry.deployments import Deployments, came, takeovers
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.rollout import percent


def print_status(system: System, settings: Settings) -> None:
    """Clock, days, predictions, labels, deployments and what the sensors would say now."""
    click.secho(system.name, bold=True, nl=False)
    click.echo(f": {system.description}")
    for name, value in _status(system, settings):
        click.echo(f"  {name:<12} {value}")


def _status(system: System, settings: Settings) -> Iterator[tuple[str, str]]:
    now = settings.clock.now()
    replayed = " (the replay's clock)" if settings.clock_file.exists() else ""
    yield "clock", f"{now:%Y-%m-%d %H:%M} UTC{replayed}"
    days = Lake(settings.lake).days(system.name, "events")
    if not days:
        yield "days", f"none yet: `ml-assets run {system.name}` takes them in"
        return
    yield "days", f"{len(days)} taken in, {days[0]} to {days[-1]}"
    log = EventLog(settings.event_log)
    predictions, feedback = log.count(system.name)
    log.close()
    labels = Lake(settings.lake).read(system.name, "labels", LABELS, columns=["event_id"])
    yield "served", f"{predictions:,} predictions, {feedback:,} complaints"
    yield "labels", f"{labels['event_id'].nunique():,} events have one"
    history = Deployments(settings.deployments).history(system.name)
    if not history:
        yield "champion", "none deployed yet"
    champions = takeovers(history)
    for deployment in reversed(champions[-5:]):
        name = "champion" if deployment is champions[-1] else "before"
        yield name, (f"version {deployment.version} since {deployment.at:%Y-%m-%d %H:%M}: "
                     f"{deployment.reason}")
    for challenger in history[-1].challengers if history else ():
        yield "challenger", f"version {challenger.version} answers {percent(challenger.share)}"
    for shadow in history[-1].shadows if history else ():
        yield "shadow", f"version {shadow}"
    situation = gather(system, settings, now, training_in_progress=False)
    yield "retraining", decide(situation, system.retraining).reason


def print_explanation(prediction_id: str, systems: Sequence[System], settings: Settings) -> None:
    """All that is known about one prediction. Raises UnknownName where there is none."""
    log = EventLog(settings.event_log)
    prediction = log.prediction(prediction_id)
    if prediction is None:
        log.close()
        raise UnknownName(
            f"there is no prediction {prediction_id!r} in {settings.event_log}; expected the "
            "`prediction_id` of an answer of the API"
        )
    system = next(system for system in systems if system.name == prediction.system)
    said = [
        f"{feedback.received_at:%Y-%m-%d %H:%M} {feedback.source}: {feedback.label}"
        for feedback in log.feedback(system.name, prediction.accepted_at, _end_of_time(prediction))
        if feedback.prediction_id == prediction_id
    ]
    log.close()
    for name, value in _explanation(prediction, system, settings, said):
        click.echo(f"{name:<14} {value}")


def _explanation(
    prediction: Prediction, system: System, settings: Settings, said: list[str]
) -> Iterator[tuple[str, str]]:
    yield "prediction", f"{prediction.prediction_id} of event {prediction.event_id}"
    yield "event", f"happened {prediction.event_timestamp}, accepted {prediction.accepted_at}"
    degraded = ", without store features (degraded)" if prediction.degraded else ""
    yield "answer", (f"{system.label.name} = {prediction.decision}, score {prediction.score:.4f}"
                     f"{degraded}")
    version = ModelRegistry(settings).get(system.name, prediction.model_version)
    tags = version.tags
    yield "model", (f"version {version.version}, trained on training set {tags['data_version']} "
                    f"({tags['first_day']} to {tags['last_day']}, as of {tags['as_of']})")
    yield "", f"MLflow run {version.run_id}, commit {tags['git_commit'][:12]}"
    decided = [each for each in Deployments(settings.deployments).history(system.name)
               if each.at <= prediction.accepted_at]
    behind = came(decided, prediction.model_version, prediction.role)
    yield "in traffic", (
        f"as {prediction.role}, {percent(prediction.propensity)} likely: {behind.reason}"
        if behind else "not deployed when it answered"
    )
    yield "features", f"as of {prediction.features_as_of}"
    for name, value in zip(prediction.feature_names, prediction.features, strict=True):
        yield "", f"{name} = " + ("unknown" if isnan(value) else f"{value:g}")
    yield "feedback", "; ".join(said) or "none"
    labels = Lake(settings.lake).read(system.name, "labels", LABELS)
    known = labels[labels["event_id"] == prediction.event_id]
    yield "outcome", "; ".join(
        f"{row.label} ({row.basis}, known {row.known_at})" for row in known.itertuples()
    ) or "not known yet"


def _end_of_time(prediction: Prediction) -> datetime:
    return datetime.max.replace(tzinfo=prediction.accepted_at.tzinfo)
