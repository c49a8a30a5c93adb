"""Whether hostile requests break anything, down both paths into the API.

The parts lie in `door_fuzz/`. Each case follows from the seed and its number: to try one again,
`fuzz(seed=..., first=NUMBER, cases=1)`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from benchmarks.door_fuzz.fuzzing import Found, fuzz
from ml_assets.bench import Measurement

CASES, QUICK_CASES = 100_000, 3_000
SHOWN = 20
"""How many faults are shown in full."""


def measure(*, quick: bool, cases: int | None = None, seed: int = 1) -> Iterator[Measurement]:
    """Two servers get the same bytes; any fault misses the goal, and is shown on standard error.

    cases: 100,000 by default, 3,000 in a quick run. seed: determines the cases
    """
    wanted = cases or (QUICK_CASES if quick else CASES)
    console, started = Console(stderr=True, highlight=False), monotonic()
    if not console.is_terminal:
        console.width = 120  # else 80, in which the table has no room
    with _bar(console, wanted) as advance:
        found = fuzz(cases=wanted, seed=seed, progress=advance)
    console.print(_table(found))
    for fault in found.faults[:SHOWN]:
        print(fault, file=sys.stderr)  # noqa: T201  (raw bytes: rich would read markup)
    yield Measurement(
        bench="fuzz: faults of two ways in that get the same bytes", ours=len(found.faults),
        peer=None, unit="times", ratio=None, goal="never", met=not found.faults, equal=None,
        note=f"{found.cases:,} cases of seed {seed} beside {found.honest:,} honest requests, "
        f"{found.batched:.1f} events in a batch, in {monotonic() - started:.0f} s",
    )


@contextmanager
def _bar(console: Console, cases: int) -> Iterator[Callable[[int], object]]:
    columns = ("fuzz", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("fuzz", total=cases)
        yield lambda done: progress.advance(task, done)


def _table(found: Found) -> Table:
    names = sorted({status for counts in found.statuses.values() for status in counts})
    table = Table("cases", "sent", *names, "faults")
    for kind, counts in sorted(found.statuses.items()):
        faults = sum(fault.case is not None and fault.case.kind == kind for fault in found.faults)
        table.add_row(kind, str(counts.total()), *(str(counts[name] or "") for name in names),
                      str(faults or ""))
    return table
