"""The main job: `ml-assets run <system>`."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ml_assets.automation.instance import instance
from ml_assets.core.errors import NotReady
from ml_assets.core.installation import claim
from ml_assets.core.runtime.interrupts import Interrupts
from ml_assets.core.runtime.locks import alone
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.ingest.archive import usable_since
from ml_assets.replay.forgetting import forget, half_forgotten
from ml_assets.replay.live_days import LiveDays
from ml_assets.replay.slates import as_sent
from ml_assets.replay.together.company import Member, members, require_alone

LONGEST_STEP = 70
"""Characters of what the bar says of a step."""


def run_loop(
    systems: Sequence[System], settings: Settings, interrupts: Interrupts, *, fresh: bool,
    days: int | None,
) -> None:
    """Fetch, ingest history, deploy a first model, replay the live days, print the summary.

    systems: one; or several that share feature views, which go through the same days together. What
        they read of others is told along the way, see `together.company`
    days: stop after this many live days (by default after those that the calendar says). Resumes
    where an earlier run of the same installation stopped, unless `fresh`. Raises NotReady if
    another run is in progress, and KeyboardInterrupt at the next step after an interrupt that a
    library has swallowed.
    """
    started = perf_counter()
    settings = replace(settings, in_replay=True)
    claim(settings)
    company = members(settings, systems)
    with ExitStack() as locks, _screen() as file:
        for each in company:
            locks.enter_context(alone(settings, each.system.name))
        console = Console(file=file, highlight=False)
        if not console.is_terminal:
            console = Console(file=file, highlight=False, width=100)
        _quiet()
        _forget(console, settings, company, fresh)
        with TemporaryDirectory(prefix="ml_assets-") as scratch:
            live = {each.system.name: _recorded(console, each, settings, Path(scratch))
                    for each in company}
            until = _ends(company, live, days)
            latencies = _journey(console, company, settings, interrupts, live, until)
            from ml_assets.replay.summary import print_summary

            for name in latencies:
                print_summary(console, find_in(company, name), settings,
                              live[name].days(until[name]), latencies_ms=latencies[name],
                              seconds=perf_counter() - started)


def find_in(company: Sequence[Member], name: str) -> System:
    return next(each.system for each in company if each.system.name == name)


def _forget(console: Console, settings: Settings, company: Sequence[Member], fresh: bool) -> None:
    """Those that are named, if `fresh`; readers before their lenders."""
    gone = {each.system.name for each in company
            if (fresh and each.named) or half_forgotten(settings, each.system.name)}
    for each in company:
        if each.system.name in gone:
            require_alone(settings, each.system, gone)
    for each in reversed(company):
        if each.system.name in gone:
            with console.status(f"forgetting earlier runs of {each.system.name} ..."):
                forget(settings, each.system)


def _recorded(console: Console, member: Member, settings: Settings, scratch: Path) -> LiveDays:
    """What is asked on its live days; nothing if it does not answer."""
    system, folder = member.system, scratch / member.system.name
    folder.mkdir()
    if not member.asks:
        console.print(f"[bold]{system.name}[/]: its feature views are read; what happens is told, "
                      "and nobody asks it for predictions")
        return LiveDays((), system.calendar.live_from, folder)
    with console.status("fetching the recorded events ..."):
        history = usable_since(system, system.source, system.source.fetch(settings.cache),
                               system.calendar.live_from)
        live = LiveDays(as_sent(system, history), system.calendar.live_from, folder)
    console.print(f"[bold]{system.name}[/]: {live.count():,} recorded events to be served live "
                  f"from {system.calendar.go_live} on")
    return live


def _ends(
    company: Sequence[Member], live: Mapping[str, LiveDays], days: int | None
) -> dict[str, date]:
    """The day before which each system's part ends: not before those that read its views."""
    ends = {each.system.name: _until(each.system, live[each.system.name], days)
            for each in company if each.asks}
    for each in reversed(company):  # readers first
        for lender in each.lenders:
            last = lender.calendar.last_day
            end = ends[each.system.name] if last is None else min(
                ends[each.system.name], last + DAY)
            ends[lender.name] = max(end, ends.get(lender.name, end))
    return ends


def _journey(
    console: Console, company: Sequence[Member], settings: Settings, interrupts: Interrupts,
    live: Mapping[str, LiveDays], until: Mapping[str, date],
) -> dict[str, list[float]]:
    """The latencies of those that answer, by name."""
    # Dagster and the definitions take a second to import; the fetch need not wait for them.
    from ml_assets.automation.dead_runs import report_dead_runs
    from ml_assets.definitions import definitions
    from ml_assets.replay.journey import Journey
    from ml_assets.replay.runs import Runs
    from ml_assets.replay.together.travel import travel

    with _progress(console) as bar:
        opened = instance(settings)
        for run in report_dead_runs(opened):
            bar.console.print(f"run {run.run_id} of job {run.job_name} had died with its process: "
                              "it is reported failed", soft_wrap=True)

        def journey(member: Member) -> Journey:
            system = member.system
            name = f"{system.name}: " if len(company) > 1 else ""
            task = bar.add_task("preparing", visible=member.asks,
                                total=live[system.name].count(until[system.name]))

            def say(at: datetime, text: str) -> None:
                bar.console.print(f"[dim]{at:%Y-%m-%d %H:%M}[/]  {name}{text}", soft_wrap=True)

            def step(at: datetime, done: int) -> None:
                interrupts.check()
                bar.update(task, completed=done, description=f"{at:%Y-%m-%d}")

            def hear(step: str, line: str) -> None:
                """What takes long is a training, which logs how far it is."""
                bar.update(task, description=f"{name}{step} {line}"[:LONGEST_STEP].strip())

            return Journey(
                system=system, settings=settings, say=say, step=step, asks=member.asks,
                events=live[system.name], until=until[system.name],
                runs=Runs(system=system, settings=settings, instance=opened,
                          definitions=definitions(settings, [system]),
                          interrupted=interrupts.came, hear=hear))

        journeys = [journey(each) for each in company]
        travel(journeys)
    return {each.system.name: each.latencies_ms for each in journeys if each.asks}


def _until(system: System, live: LiveDays, days: int | None) -> date:
    """The day before which the replay ends. Raises NotReady if there is nothing to replay."""
    if live.last is None:
        raise NotReady(
            f"system {system.name!r} has no recorded event from {system.calendar.go_live} on: "
            "there is nothing to replay"
        )
    end, days = live.last + timedelta(days=1), days or system.calendar.stretch
    return end if days is None else min(end, system.calendar.go_live + timedelta(days=days))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:>10}"), BarColumn(bar_width=None), MofNCompleteColumn(),
        TextColumn("events,"), TimeRemainingColumn(), TextColumn("left"), console=console,
    )


@contextmanager
def _screen() -> Iterator[IO[str]]:
    """Where this process prints, for good: during a run Dagster directs stdout to a file."""
    try:
        number = os.dup(sys.stdout.fileno())
    except (OSError, ValueError):  # a test's, which is no file
        yield sys.stdout
        return
    with os.fdopen(number, "w", encoding=sys.stdout.encoding) as file:
        yield file


def _quiet() -> None:
    """Libraries log to files and to Dagster's UI; the screen is for whoever watches the loop."""
    for name in ("dagster", "mlflow", "alembic", "feast", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
