"""One whole loop in a process of its own: what it cost, and whether it did what it should."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.loop_load.project.systems.cards import (
    CARDS,
    EVENTS,
    FIRST,
    LENGTH,
    on_day,
)
from benchmarks.serving_load.process_tree import proportional_mb
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import ROOT, Settings

GLANCE_S = 0.5
PROJECT = Path(__file__).parent / "project"


class LoopFailed(MlAssetsError, RuntimeError):
    """The measured process ended badly; the message ends with what it said."""


@dataclass(frozen=True, kw_only=True)
class Looped:
    """A loop over a year of `events`, or over fewer days.

    cpu_s: user and system time, of the API and all other children too
    peak_mb: resident, of all processes together; what they share counts once
    sound: each replayed event was served once, and every vector was found again in history
    """

    events: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    sound: bool


def loop(events: int, days: int = 365, folder: Path | None = None) -> Looped:
    """From archive to deployed model, and the last twelfth of the days replayed. Raises LoopFailed.

    folder: where to leave the installation; a temporary one unless given
    """
    if folder is None:
        with TemporaryDirectory(prefix="ml-assets-bench-") as scratch:
            return loop(events, days, Path(scratch))
    var = folder / "var"
    environment = {**os.environ, EVENTS: str(events), LENGTH: str(days), "ML_ASSETS_VAR": str(var),
                   "ML_ASSETS_CACHE": str(folder / "cache"), "ML_ASSETS_PROJECT": str(PROJECT)}
    command = [sys.executable, "-m", "ml_assets.cli", "run", CARDS.name]
    started = perf_counter()
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output,
                                   stderr=subprocess.STDOUT)
        peak_mb = _Peak(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak_mb.stop()
    if process.returncode != 0:
        raise LoopFailed(f"the loop of {events:,} events ended with status {process.returncode}:\n"
                         f"{(folder / 'output').read_text()[-2000:]}")
    return Looped(
        events=events, cpu_s=used.ru_utime + used.ru_stime, wall_s=perf_counter() - started,
        peak_mb=peak_mb.mb, sound=_is_sound(Settings(var=var), events, days),
    )


class _Peak:
    """The most memory that a tree of processes held at any glance."""

    def __init__(self, root: int) -> None:
        self.mb, self._root, self._ended = 0.0, root, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(GLANCE_S):
            self.mb = max(self.mb, proportional_mb(self._root))


def _is_sound(settings: Settings, events: int, days: int) -> bool:
    from ml_assets.ingest.log.event_log import EventLog
    from ml_assets.monitoring.parity import ParityReports

    live = days - days // 12
    expected = sum(on_day(events, day, days) for day in range(live, days))
    log = EventLog(settings.event_log)
    served, _ = log.count(CARDS.name)
    log.close()
    reports = list(ParityReports(settings, CARDS).between(
        FIRST + timedelta(days=live), date.max))
    return (served == expected and sum(day.checked for day in reports) == expected
            and all(day.holds for day in reports))
