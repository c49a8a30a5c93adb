"""The summary at the end of a replay."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.evaluation.comparison import Comparison, Estimate
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.answers_digest import answers_digest
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.monitoring.audited import audited
from ml_assets.monitoring.parity import ParityReports
from ml_assets.registry.deployments import Deployment, Deployments, takeovers
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.rollout import percent
from ml_assets.replay.quality import Served, served
from ml_assets.targets.metrics.order import slates_of

WEEKLY = 2
"""Metrics in the table of weeks: the first that the target shows."""


def print_summary(
    console: Console,
    system: System,
    settings: Settings,
    days: Iterable[list[ArchivedEvent]],
    *,
    latencies_ms: list[float],
    seconds: float,
) -> None:
    """Print quality by week beside the frozen first model, versions, reasons, counts, next steps.

    days: the events of each that was replayed; latencies_ms: of this run, empty if it served none.
    """
    both = served(system, settings, days)
    console.print()
    console.print(_weeks(both))
    console.print(_whole(both))
    console.print(_versions(system, settings))
    log = EventLog(settings.event_log)
    predictions, feedback = log.count(system.name)
    degraded, digest = log.degraded(system.name), answers_digest(log, system.name)
    log.close()
    parity = list(ParityReports(settings, system).between(system.calendar.go_live, date.max))
    broken = sum(day.unexplained for day in parity)
    audits = audited(Lake(settings.lake), system, settings.clock_of(system.name).now())
    facts = [
        ("predictions served", f"{predictions:,}" if not degraded else
         f"{predictions:,}, {degraded:,} of them degraded: without features of the online store"),
        ("their digest", f"{digest}: another run that says this gave the same answers to the bit"),
        ("feedback received", f"{feedback:,}"),
        *([] if audits is None else [("audits", audits.says)]),
        ("p50 latency", f"{median(latencies_ms):.1f} ms over HTTP, features and log included"
         if latencies_ms else "not measured: this run served nothing new"),
        ("parity", f"{sum(day.checked for day in parity):,} feature vectors recomputed from "
         f"history, {broken} mismatches"),
        ("took", f"{seconds:.0f} s"),
    ]
    for name, value in facts:
        console.print(f"  {name:<20} {value}")
    console.print("\nOpen it: [bold]make ui[/] (Dagster, the API, MLflow); "
                  "[bold]ml-assets status[/] says where the system stands.")


def _weeks(both: Served) -> Table:
    table = Table(title="Live quality by week: the loop / its first model, frozen"
                        f"{_whose(both)}", title_style="")
    metrics = both.target.shown[:WEEKLY]
    errors = [] if both.target.selects else ["errors"]
    for name in ("week from", "labels", *errors, *map(_spelled, metrics)):
        table.add_column(name, justify="right")
    for start, week in both.weeks():
        compared = week.compared()
        table.add_row(
            str(start), week.target.described(week.codes),
            *(" / ".join(map(str, week.errors)) for _ in errors),
            *(_pair(compared, metric) for metric in metrics),
        )
    return table


def _counted(both: Served) -> str:
    rows = f"{len(both.codes):,}"
    if both.target.slates is None:
        return f"{rows} replayed events"
    slates, _ = slates_of(both.subjects.event_ids)
    return f"{rows} rows of {len(np.unique(slates)):,} replayed slates"


def _whose(both: Served) -> str:
    """What of a target that selects is compared: its first model has not chosen these rows."""
    return ", on what the loop selected" if both.target.selects else ""


def _whole(both: Served) -> Table:
    compared = both.compared()
    table = Table(
        title=f"All {_counted(both)}{_whose(both)} (95% intervals)",
        title_style="",
    )
    for name in ("", "the loop", "frozen", "the loop is better by"):
        table.add_column(name, justify="right")
    if not both.target.selects:  # a page has an order; whether a row is "right" decides nothing
        table.add_row("errors", *map(str, both.errors), str(both.errors[1] - both.errors[0]))
    for name, (looped, frozen) in both.costs.items():
        table.add_row(f"{_spelled(name)}, all", *(
            f"{each:,.0f}" for each in (looped, frozen, frozen - looped)))
    for metric in both.target.shown:
        table.add_row(
            _spelled(metric), _estimate(compared.candidate[metric]),
            _estimate((compared.champion or {}).get(metric)),
            _estimate((compared.better_by or {}).get(metric)),
        )
    return table


def _versions(system: System, settings: Settings) -> Table:
    history = Deployments(settings.deployments).history(system.name)
    trained = len(ModelRegistry(settings).versions(system.name))
    tried = len({version for record in history for version in record.named})
    table = Table(title=f"{trained} versions trained, {tried} of them tried, "
                        f"{len(takeovers(history))} times a new champion", title_style="")
    for name in ("since", "did", "version", "why"):
        table.add_column(name, justify="right" if name == "version" else "left")
    for record in history:
        about = record.version if record.about is None else record.about
        table.add_row(f"{record.at:%Y-%m-%d}", _did(record), str(about), record.reason)
    return table


def _did(record: Deployment) -> str:
    """A decision in a word or two."""
    if record.action == "canary" and record.about is not None:
        return f"canary {percent(record.share(record.about))}"
    return record.action


def _spelled(metric: str) -> str:
    return metric.replace("_", " ")


def _pair(compared: Comparison, metric: str) -> str:
    champion = (compared.champion or {}).get(metric)
    return f"{_number(compared.candidate[metric])} / {_number(champion)}"


def _number(estimate: Estimate | None) -> str:
    return "-" if estimate is None or estimate.value is None else f"{estimate.value:.4f}"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4f}"
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"
