"""How often drift is heard, and how often it cries: simulated reigns of champions."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np

from benchmarks.drift_load.frames import Frames, verdicts
from benchmarks.drift_load.reigns import NAMES, Floats32, Shift, World, reign
from benchmarks.environments import Environment, NotInstalled
from ml_assets.bench import Measurement

FOLDER = Path(__file__).parent / "drift_load"
EVIDENTLY = Environment(name="evidently", requirements=FOLDER / "evidently.txt", with_torch=False,
                        made_by="ml-assets bench drift")
DAYS, BEGINS = 60, 10
RUNS = 60
"""Without an alarm, so many say that at most 4.9% of runs have one (95%)."""
CALM = {
    "15 answers a day": World(per_day=15, learnt=1_000),
    "50 answers a day": World(per_day=50, learnt=2_000),
    "500 answers a day": World(per_day=500, learnt=10_000),
    "50 a day, days that differ by .3 sd, growing counters and dates": World(
        per_day=50, learnt=4_500, grows=True, noisy=0.3),
    "100 a day, with the classifier of all columns": World(
        per_day=100, learnt=4_500, together=True),
}
"""Worlds in which nothing changes, by what they are."""


def moved(name: str, by: float) -> Shift:
    def shift(rows_ND: Floats32, _: np.random.Generator) -> None:
        rows_ND[:, NAMES.index(name)] += np.float32(by)
    return shift


def missing(name: str, share: float) -> Shift:
    def shift(rows_ND: Floats32, g: np.random.Generator) -> None:
        rows_ND[g.random(len(rows_ND)) < share, NAMES.index(name)] = np.nan
    return shift


def replaced(name: str, share: float, value: float) -> Shift:
    def shift(rows_ND: Floats32, g: np.random.Generator) -> None:
        rows_ND[g.random(len(rows_ND)) < share, NAMES.index(name)] = value
    return shift


def tied(one: str, other: str, by: float) -> Shift:
    """Correlated, each as it was alone."""
    def shift(rows_ND: Floats32, _: np.random.Generator) -> None:
        first, second = NAMES.index(one), NAMES.index(other)
        rows_ND[:, second] = by * rows_ND[:, first] + np.sqrt(1 - by**2) * rows_ND[:, second]
    return shift


SHIFTS: Mapping[str, tuple[Shift, Mapping[int, int]]] = {
    "a shift of .3 sd": (moved("normal_0", 0.3), {50: 20, 500: 5}),
    "a shift of .4 sd": (moved("normal_0", 0.4), {50: 14, 500: 4}),
    "a shift of .5 sd": (moved("normal_0", 0.5), {50: 10, 500: 4}),
    "a share from .2 to .4": (replaced("yes_0", 0.25, 1.0), {50: 8, 500: 3}),
    "5% missing where none was": (missing("normal_0", 0.05), {50: 10, 500: 4}),
    "20% missing instead of 10%": (missing("gappy_0", 0.1 / 0.9), {50: 25, 500: 5}),
    "15% missing instead of 10%": (missing("gappy_0", 0.05 / 0.9), {500: 8}),
    "a new category, 5% of rows": (replaced("kind_0", 0.05, 9.0), {50: 10, 500: 4}),
}
"""What changes on day 11, and by when it is declared to be found, in days, by answers a day.

15% instead of 10% of 50 answers a day is not declared: after 45 days it lies 5.4 standard errors
from a reference of 2,000 rows, and after any number of days 7.5. An e-value that may be read every
day needs about 5.2 for one of 34 columns, so two in three such changes are found.
"""


def measure(*, quick: bool) -> Iterator[Measurement]:
    """By the product's own watch, with the default policy. The most telling parts come first."""
    runs = 4 if quick else RUNS
    yield _speed(create=not quick)
    for name, (shift, declared) in SHIFTS.items():
        for per_day, within in declared.items():
            if not (quick and per_day == 500):
                yield _found(name, shift, per_day, within, runs)
    for name, world in CALM.items():  # ranks and the classifier take five times longer
        yield _calm(name, world, max(2, runs // 5) if world.together or world.grows else runs)
    yield _found("a correlation of .6 between two of 30 columns", tied("normal_0", "normal_1", 0.6),
                 200, 14, max(2, runs // 5), together=True)


def _calm(name: str, world: World, runs: int) -> Measurement:
    began = process_time()
    alarms = sum(reign(world, DAYS, seed) is not None for seed in range(runs))
    return Measurement(
        bench=f"drift: {DAYS} identical days, {name}, {runs} runs", ours=100 * alarms / runs,
        peer=None, unit="% of runs with any alarm", ratio=None, goal="at most 5%",
        met=alarms <= 0.05 * runs, equal=None, note=f"{process_time() - began:.0f} CPU s")


def _found(
    name: str, shift: Shift, per_day: int, within: int, runs: int, *, together: bool = False
) -> Measurement:
    began = process_time()
    world = World(per_day=per_day, learnt=2_000 if per_day < 500 else 10_000, together=together)
    found = [reign(world, BEGINS + within, 1_000 + seed, shift=shift, begins=BEGINS)
             for seed in range(runs)]
    days = [each[0] - BEGINS for each in found if each is not None and each[0] > BEGINS]
    when = f"after {median(days):.0f} days (median), {max(days)} at most; " if days else ""
    return Measurement(
        bench=f"drift: {name}, {per_day} answers a day, {runs} runs", ours=100 * len(days) / runs,
        peer=None, unit=f"% found within {within} days", ratio=None, goal="at least 95%",
        met=len(days) >= 0.95 * runs, equal=None, note=f"{when}{process_time() - began:.0f} CPU s")


def _speed(*, create: bool) -> Measurement:
    """One pair of frames: ours, and evidently's preset in an environment of its own."""
    name, frames = "drift: 30 columns of 100,000 rows beside as many", Frames.made(100_000)
    taken = []
    for _ in range(3):
        began = process_time()
        ours = verdicts(frames)
        taken.append(process_time() - began)
    goal = "under 1.5 CPU s, a tenth of evidently's, the same verdicts"
    try:
        theirs, peer = _evidently(frames, create=create)
    except (NotInstalled, subprocess.CalledProcessError) as error:
        return Measurement(bench=name, ours=min(taken), peer=None, unit="CPU s", ratio=None,
                           goal=goal, met=min(taken) < 1.5, equal=None,
                           note=f"without evidently: {str(error)[:200]}")
    different = sorted(name for name in ours if ours[name] != theirs[name])
    ratio = peer / min(taken)
    return Measurement(
        bench=name, ours=min(taken), peer=peer, unit="CPU s", ratio=ratio, goal=goal,
        met=min(taken) < 1.5 and ratio >= 10 and not different, equal=not different,
        note=f"{sum(ours.values())} of {len(ours)} columns drift; they differ in: "
             f"{', '.join(different) or 'none'}; evidently's imports and its reading not counted")


def _evidently(frames: Frames, *, create: bool) -> tuple[dict[str, bool], float]:
    """Which columns drift by its preset, and the CPU seconds of that."""
    python = EVIDENTLY.programs(create=create) / "python"
    with TemporaryDirectory() as folder:
        frames.write(Path(folder))
        done = subprocess.run([str(python), str(FOLDER / "evidently_peer.py"), folder], check=True,
                              capture_output=True, text=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    return dict(answer["drifts"]), float(answer["cpu_s"])
