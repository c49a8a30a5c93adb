"""What the training loop costs beside a bare one, and how much memory it needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.training_load.measuring import Took, took
from benchmarks.training_load.task import SHARE
from ml_assets.bench import Measurement

SLOWER, MEMORY_MB, CLOSE = 1.10, 3_000.0, 1e-6
LARGE = 10_000_000


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Trainings in fresh processes, ours and the peer's by turns; the goal is of their medians."""
    rows, epochs, runs = (100_000, 2, 3) if quick else (1_000_000, 3, 3)
    with TemporaryDirectory(prefix="ml-assets-bench-") as scratch:
        yield _speed(Path(scratch), rows, epochs, runs)
    large = rows if quick else LARGE
    with TemporaryDirectory(prefix="ml-assets-bench-") as scratch:
        yield _memory(Path(scratch), large)


def _speed(folder: Path, rows: int, epochs: int, runs: int) -> Measurement:
    from benchmarks.training_load.orders import write_orders
    from benchmarks.training_load.task import write_rows

    path = folder / "rows.parquet"
    write_rows(path, rows)
    write_orders(folder, int(rows * (1 - SHARE)), epochs)
    pairs = list[tuple[Took, Took]]()
    for _ in range(runs):
        (folder / "checkpoints" / "checkpoint.safetensors").unlink(missing_ok=True)
        pairs.append((took("ours", path, epochs), took("bare", path, epochs)))
    ours, bare = median(each.cpu_s for each, _ in pairs), median(each.cpu_s for _, each in pairs)
    same = all(abs(a - b) <= CLOSE for mine, theirs in pairs
               for a, b in zip(mine.losses, theirs.losses, strict=True))
    to_the_bit = all(mine.weights == theirs.weights for mine, theirs in pairs)
    return Measurement(
        bench=f"training: {rows:,} rows, {epochs} epochs, beside a bare PyTorch loop", ours=ours,
        peer=bare, unit="CPU s", ratio=bare / ours,
        goal=f"at most {SLOWER - 1:.0%} more CPU, the same losses", equal=same,
        met=ours <= SLOWER * bare and same,
        note=f"final loss {pairs[0][0].losses[-1]:.6f}, weights equal to the bit: "
             f"{'yes' if to_the_bit else 'no'}; peak {pairs[0][0].peak_mb:,.0f} MB, peer "
             f"{pairs[0][1].peak_mb:,.0f} MB",
    )


def _memory(folder: Path, rows: int) -> Measurement:
    from benchmarks.training_load.product import write_training_set

    path = write_training_set(folder, rows)
    one = took("product", folder)
    return Measurement(
        bench=f"training: {rows:,} rows of a training set to a registered version, peak memory",
        ours=one.peak_mb, peer=None, unit="MB", ratio=None, goal=f"under {MEMORY_MB:,.0f} MB",
        met=one.peak_mb < MEMORY_MB,
        equal=None, note=f"{one.cpu_s:.0f} CPU s, {rows / one.cpu_s:,.0f} rows a CPU second on one "
                         f"core; a file of {path.stat().st_size / 2**20:,.0f} MB",
    )
