"""The main job under kill -9: what must hold however often its processes are killed.

The parts lie in `fault_load/`. The spam filter replays its real mail; a client beside it posts
mails and feedback and keeps its answers. Replay, API, Dagster runs, the daemon and a loader are
killed at random instants. Then the replay comes to its end and everything is looked up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.fault_load.kills import Harness, harness
from benchmarks.fault_load.traffic import Traffic
from benchmarks.fault_load.verdict import Verdict, look
from ml_assets.core.bench import Measurement
from ml_assets.core.settings import Settings
from ml_assets.systems.spam import SPAM

KILLS, QUICK_KILLS = 100, 5
DAYS_AFTER = 1
"""How many days the replay goes on, undisturbed, after the last kill."""


def measure(
    *, quick: bool, kills: int | None = None, seed: int = 1, minutes: float = 60
) -> Iterator[Measurement]:
    """So many kills (100; quick: 5, one of each process), or as many as the minutes allow.

    The same seed gives the same victims, each killed after the same time.
    """
    times = kills if kills is not None else QUICK_KILLS if quick else KILLS
    console, began = Console(stderr=True, highlight=False), time.monotonic()
    with TemporaryDirectory(prefix="ml-assets-faults-") as folder:
        settings = Settings(var=Path(folder) / "var", port=0)
        with harness(settings, seed) as (made, traffic):
            with _progress(console) as bar:
                task = bar.add_task("kill -9", total=times)

                def step(victim: str) -> None:
                    said = f"{victim}, day {made.days_closed()}"
                    bar.update(task, advance=1, description=said)
                    if not console.is_terminal:
                        console.print(f"{time.monotonic() - began:6.0f} s  killed {said}")

                made.kill_often(times, 60 * minutes, step)
                bar.update(task, description="to the end")
                made.finish(made.days_closed() + DAYS_AFTER)
            traffic.stopping.set()
            found = look(made.place, traffic, _replayed(settings, made.done.days))
            if _violated(made, traffic, found):
                console.print(f"kept for a look: {_keep(made)}")
        _show(console, made, found, time.monotonic() - began)
        yield from _lines(made, traffic, found, time.monotonic() - began)


def _replayed(settings: Settings, days: int) -> list[str]:
    """The recorded events of the first live days."""
    start = SPAM.calendar.go_live
    return [
        event.event_id for event in SPAM.source.archive(SPAM.source.fetch(settings.cache))
        if 0 <= (event.event_timestamp.date() - start).days < days
    ]


def _lines(
    made: Harness, traffic: Traffic, found: Verdict, seconds: float
) -> Iterator[Measurement]:
    kills = sum(made.done.made.values())
    note = (f"{kills} kills in {seconds / 60:.0f} minutes, {found.acknowledged:,} acknowledged, "
            f"{traffic.interrupted} interrupted and sent again")
    yield _none("acknowledged and lost", found.lost, note)
    yield _none("counted twice", found.twice + traffic.changed, note)
    yield _none("served vectors that history does not give again", found.differing,
                f"{found.checked:,} compared bit by bit")
    yield _none("reasons to retrain lost", len(found.unsettled),
                f"{found.died} runs died{_told(found.unsettled)}")
    yield _none("reasons settled twice", len(found.settled_twice), _told(found.settled_twice))
    yield _none("runs in progress for ever", found.in_progress)
    yield _none("processes left behind by a dead parent", len(made.place.left_behind),
                _told(made.place.left_behind))
    yield _none("errors of a living API", len(traffic.errors), _told(traffic.errors))
    yield _none("times the loop did not go on", len(made.done.stuck),
                f"{made.done.days} days replayed to the end{_told(made.done.stuck)}")


def _violated(made: Harness, traffic: Traffic, found: Verdict) -> bool:
    return any(not line.met for line in _lines(made, traffic, found, 0))


def _none(what: str, count: int, note: str = "") -> Measurement:
    return Measurement(
        bench=f"faults: {what}", ours=count, peer=None, unit="times", ratio=None, goal="never",
        met=count == 0, equal=None, note=note.strip("; "),
    )


def _told(what: list[str]) -> str:
    return "".join(f"; {each}" for each in what[:5])


def _keep(made: Harness) -> Path:
    """What the processes have said, beside the results of other benchmarks."""
    from ml_assets.core.settings import ROOT

    kept = ROOT / "var" / "benchmarks" / "faults.log"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(made.place.log.read_bytes())
    return kept


def _show(console: Console, made: Harness, found: Verdict, seconds: float) -> None:
    table = Table("victim", "kills", title=f"kill -9, {seconds:.0f} s")
    for victim, count in sorted(made.done.made.items()):
        table.add_row(victim, str(count))
    table.add_row("ended before the kill", str(made.done.missed))
    console.print(table)


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description:>16}"), BarColumn(bar_width=None),
                    MofNCompleteColumn(), TimeElapsedColumn(), console=console)
