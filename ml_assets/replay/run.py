"""The main job: `ml-assets run <system>`."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
from ml_assets.ingest.archive import usable
from ml_assets.replay.forgetting import forget, half_forgotten
from ml_assets.replay.live_days import LiveDays
from ml_assets.replay.slates import as_sent

LONGEST_STEP = 70
"""Characters of what the bar says of a step."""


def run_loop(
    system: System, settings: Settings, interrupts: Interrupts, *, fresh: bool, days: int | None
) -> None:
    """Fetch, ingest history, deploy a first model, replay the live days, print the summary.

    days: stop after this many live days (by default after those that the calendar says). Resumes
    where an earlier run of the same installation stopped, unless `fresh`. Raises NotReady if
    another run is in progress, and KeyboardInterrupt at the next step after an interrupt that a
    library has swallowed.
    """
    started = perf_counter()
    settings = replace(settings, in_replay=True)
    claim(settings)
    with alone(settings, system.name), _screen() as file:
        console = Console(file=file, highlight=False)
        if not console.is_terminal:
            console = Console(file=file, highlight=False, width=100)
        _quiet()
        if fresh or half_forgotten(settings, system.name):
            with console.status(f"forgetting earlier runs of {system.name} ..."):
                forget(settings, system)
        with TemporaryDirectory(prefix="ml_assets-") as scratch:
            with console.status("fetching the recorded events ..."):
                history = usable(system, system.source.archive(system.source.fetch(settings.cache)))
                live = LiveDays(as_sent(system, history), system.calendar.live_from, Path(scratch))
            until = _until(system, live, days)
            console.print(
                f"[bold]{system.name}[/]: {live.recorded:,} recorded events, {live.count():,} of "
                f"them to be served live from {system.calendar.go_live} on"
            )
            latencies = _journey(console, system, settings, interrupts, live, until)
            from ml_assets.replay.summary import print_summary

            print_summary(console, system, settings, live.days(until), latencies_ms=latencies,
                          seconds=perf_counter() - started)


def _journey(
    console: Console, system: System, settings: Settings, interrupts: Interrupts,
    live: LiveDays, until: date,
) -> list[float]:
    # Dagster and the definitions take a second to import; the fetch need not wait for them.
    from ml_assets.automation.dead_runs import report_dead_runs
    from ml_assets.definitions import definitions
    from ml_assets.replay.journey import Journey
    from ml_assets.replay.runs import Runs

    replayed = live.count(until)
    with _progress(console) as bar:
        task = bar.add_task("preparing", total=replayed)

        def say(at: datetime, text: str) -> None:
            bar.console.print(f"[dim]{at:%Y-%m-%d %H:%M}[/]  {text}", soft_wrap=True)

        def step(at: datetime, done: int) -> None:
            interrupts.check()
            bar.update(task, completed=done, description=f"{at:%Y-%m-%d}")

        def hear(step: str, line: str) -> None:
            """What takes long is a training, which logs how far it is."""
            bar.update(task, description=f"{step} {line}"[:LONGEST_STEP].strip())

        opened = instance(settings)
        for run in report_dead_runs(opened):
            bar.console.print(f"run {run.run_id} of job {run.job_name} had died with its process: "
                              "it is reported failed", soft_wrap=True)
        journey = Journey(
            system=system, settings=settings, say=say, step=step,
            runs=Runs(system=system, settings=settings, definitions=definitions(settings, [system]),
                      instance=opened, interrupted=interrupts.came, hear=hear),
        )
        journey.go(live, until)
        bar.update(task, completed=replayed)
    return journey.latencies_ms


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
