"""The main job under kill -9: what must hold no matter how often its processes are killed.

The parts lie in `fault_load/`. The spam filter replays its real mail; a client beside it posts
mails and feedback and keeps its answers. Replay, API, Dagster runs, the daemon and a loader are
killed at random instants. Then the replay finishes and everything is checked. Once no recorded day
is left, the next kills hit another installation.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.fault_load.kills import Harness, Kills, harness
from benchmarks.fault_load.verdict import Verdict, look
from ml_assets.bench import Measurement
from ml_assets.core.settings import Settings
from ml_assets.systems.spam import SPAM

KILLS, QUICK_KILLS = 100, 5
DAYS_AFTER = 1
"""How many days the replay continues, undisturbed, after the last kill."""


def measure(
    *, quick: bool, kills: int | None = None, seed: int = 1, minutes: float = 60
) -> Iterator[Measurement]:
    """Do `kills` kills (100; quick: 5, one of each process), or as many as the minutes allow.

    The same seed gives the same victims, each killed after the same time.
    """
    times = kills if kills is not None else QUICK_KILLS if quick else KILLS
    console, began = Console(stderr=True, highlight=False), time.monotonic()
    laps: list[Lap] = []
    with _progress(console) as bar:
        task = bar.add_task("kill -9", total=times)

        def step(said: str) -> None:
            bar.update(task, advance=1, description=said)
            if not console.is_terminal:
                console.print(f"{time.monotonic() - began:6.0f} s  killed {said}")

        while (left := times - sum(lap.kills.count for lap in laps)) > 0:
            left_s = 60 * minutes - (time.monotonic() - began)
            if laps and (left_s <= 0 or laps[-1].kills.stuck):
                break
            laps.append(_lap(console, left, left_s, seed + len(laps), step))
    _show(console, laps, time.monotonic() - began)
    yield from _lines(laps, time.monotonic() - began)


@dataclass(frozen=True, kw_only=True)
class Lap:
    """One installation, from its history to its end: what was done to it, and the result.

    interrupted: requests of its client that had no answer; changed: answers that differed when
    they were asked for again; errors: of a living API; left_behind: processes of a dead parent
    """

    kills: Kills
    found: Verdict
    interrupted: int
    changed: int
    errors: list[str]
    left_behind: list[str]

    def stands(self) -> bool:
        """Whether every invariant holds."""
        found = self.found
        return not any((
            found.lost, found.twice, found.differing, found.unsettled, found.settled_twice,
            found.in_progress, self.changed, self.errors, self.left_behind, self.kills.stuck,
        ))


def _lap(
    console: Console, times: int, within_s: float, seed: int, step: Callable[[str], None]
) -> Lap:
    """At most that many kills, for that long, while there is anything to replay."""
    with TemporaryDirectory(prefix="ml-assets-faults-") as folder:
        settings = Settings(var=Path(folder) / "var", port=0)
        with harness(settings, seed) as (made, traffic):
            made.kill_often(
                times, within_s, lambda victim: step(f"{victim}, day {made.days_closed()}"))
            made.finish(made.days_closed() + DAYS_AFTER)
            traffic.stopping.set()
            found = look(made.place, traffic, _replayed(settings, made.done.days))
        lap = Lap(
            kills=made.done, found=found, interrupted=traffic.interrupted, changed=traffic.changed,
            errors=traffic.errors, left_behind=made.place.left_behind,
        )
        if not lap.stands():
            console.print(f"kept for a look: {_keep(made)}")
        return lap


def _replayed(settings: Settings, days: int) -> list[str]:
    """The recorded events of the first live days."""
    start = SPAM.calendar.go_live
    return [
        event.event_id for event in SPAM.source.archive(SPAM.source.fetch(settings.cache))
        if 0 <= (event.event_timestamp.date() - start).days < days
    ]


def _lines(laps: list[Lap], seconds: float) -> Iterator[Measurement]:
    def total(of: Callable[[Lap], int]) -> int:
        return sum(map(of, laps))

    def all_of(of: Callable[[Lap], list[str]]) -> list[str]:
        return [each for lap in laps for each in of(lap)]

    note = (
        f"{total(lambda lap: lap.kills.count)} kills in {seconds / 60:.0f} minutes, "
        f"{total(lambda lap: lap.found.acknowledged):,} acknowledged, "
        f"{total(lambda lap: lap.interrupted)} interrupted and sent again"
    )
    yield _none("acknowledged and lost", total(lambda lap: lap.found.lost), note)
    yield _none("counted twice", total(lambda lap: lap.found.twice + lap.changed), note)
    yield _none("served vectors that history does not give again",
                total(lambda lap: lap.found.differing),
                f"{total(lambda lap: lap.found.checked):,} compared bit by bit")
    unsettled = all_of(lambda lap: lap.found.unsettled)
    yield _none("reasons to retrain lost", len(unsettled),
                f"{total(lambda lap: lap.found.died)} runs died{_told(unsettled)}")
    for what, found in (
        ("reasons settled twice", all_of(lambda lap: lap.found.settled_twice)),
        ("processes left behind by a dead parent", all_of(lambda lap: lap.left_behind)),
        ("errors of a living API", all_of(lambda lap: lap.errors)),
    ):
        yield _none(what, len(found), _told(found))
    yield _none("runs in progress for ever", total(lambda lap: lap.found.in_progress))
    stuck = all_of(lambda lap: lap.kills.stuck)
    yield _none("times the loop did not go on", len(stuck),
                f"{total(lambda lap: lap.kills.days)} days replayed to the end{_told(stuck)}")


def _none(what: str, count: int, note: str = "") -> Measurement:
    return Measurement(
        bench=f"faults: {what}", ours=count, peer=None, unit="times", ratio=None, goal="never",
        met=count == 0, equal=None, note=note.strip("; "),
    )


def _told(what: list[str]) -> str:
    return "".join(f"; {each}" for each in what[:5])


def _keep(made: Harness) -> Path:
    """The output of the processes, stored beside the results of other benchmarks."""
    from ml_assets.core.settings import ROOT

    kept = ROOT / "var" / "benchmarks" / "faults.log"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(made.place.log.read_bytes())
    return kept


def _show(console: Console, laps: list[Lap], seconds: float) -> None:
    table = Table("victim", "kills", title=f"kill -9, {seconds:.0f} s")
    made = sum((lap.kills.made for lap in laps), Counter[str]())
    for victim, count in sorted(made.items()):
        table.add_row(victim, str(count))
    table.add_row("ended before the kill", str(sum(lap.kills.missed for lap in laps)))
    console.print(table)


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description:>16}"), BarColumn(bar_width=None),
                    MofNCompleteColumn(), TimeElapsedColumn(), console=console)
