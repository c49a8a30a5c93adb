"""Where a system stands, in plain lines."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ml_assets.automation.retraining import decide
from ml_assets.automation.situation import gather
from ml_assets.core.runtime.locks import replay_elsewhere
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import EventClock
from ml_assets.ingest.identity import of_labels
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import known_schema
from ml_assets.monitoring.audited import audited
from ml_assets.registry.deployments import Deployments, takeovers
from ml_assets.registry.rollout import percent


def print_status(system: System, settings: Settings) -> None:
    """Print clock, days, predictions, labels, deployments and what the sensors would decide now."""
    lines = list(_status(system, settings))  # all or, if a file is damaged, one line of error
    click.secho(system.name, bold=True, nl=False)
    click.echo(f": {system.description}")
    for name, value in lines:
        click.echo(f"  {name:<12} {value}")


def _status(system: System, settings: Settings) -> Iterator[tuple[str, str]]:
    now = settings.clock_of(system.name).now()
    yield "clock", f"{now:%Y-%m-%d %H:%M} UTC{_whose_clock(system, settings)}"
    days = Lake(settings.lake).days(system.name, "events")
    if not days:
        yield "days", f"none yet: `ml-assets run {system.name}` ingests them"
        return
    yield "days", f"{len(days)} ingested, {days[0]} to {days[-1]}"
    log = EventLog(settings.event_log)
    predictions, feedback = log.count(system.name)
    told = log.told.count(system.name)
    log.close()
    labels = Lake(settings.lake).read(
        system.name, "labels", known_schema(system), columns=["event_id", "basis"])
    yield "served", f"{predictions:,} predictions, {feedback:,} words of feedback"
    for stream in system.streams:
        if not stream.asked:
            yield stream.name, f"{told.get(stream.name, 0):,} events told to the API"
    yield "labels", f"{len(set(of_labels(labels))):,} events have one"
    audits = audited(Lake(settings.lake), system, now)
    if audits is not None:
        yield "audits", audits.says
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
    situation = gather(system, settings, now)
    yield "retraining", decide(situation, system.retraining).reason


def _whose_clock(system: System, settings: Settings) -> str:
    clock = settings.clock_of(system.name)
    if not isinstance(clock, EventClock):
        return ""
    if clock.stands_still() and not replay_elsewhere(settings, system.name):
        return f" (a replay has stopped here: `ml-assets run {system.name}` resumes it)"
    return " (the replay's clock)"
