"""A stage in a process of its own: `python -m benchmarks.bulk_load.building STAGE FOLDER ROWS`."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.bulk_load import in_memory
from benchmarks.bulk_load.payments import END, settings_of, system_of, write_lake
from ml_assets.core.time import midnight
from ml_assets.features.training_sets.examination import examine
from ml_assets.features.training_sets.training_set import TrainingSets


def lake(folder: Path, rows: int) -> str:
    """How many payments there are."""
    return str(write_lake(folder, rows, _tell))


def ours(folder: Path, rows: int) -> str:
    """The version of the set that was built."""
    sets = TrainingSets(settings_of(folder), system_of(rows))
    return sets.build(midnight(END), _tell).version


def _tell(what: str, done: int, of: int) -> None:
    """A line for whoever waits."""
    sys.stdout.write(json.dumps({"what": what, "done": done, "of": of}) + "\n")
    sys.stdout.flush()


def before(folder: Path, rows: int) -> str:
    """As it was built before."""
    return in_memory.build(settings_of(folder), system_of(rows), midnight(END))


def examined(folder: Path, rows: int) -> str:
    """How many rows of the stored set were examined for leaks, and how many leak."""
    settings, system = settings_of(folder), system_of(rows)
    found = examine(settings, system, TrainingSets(settings, system).latest())
    return f"{found.examined} examined, {len(found.leaking)} leak"


STAGES: dict[str, Callable[[Path, int], str]] = {
    each.__name__: each for each in (lake, ours, before, examined)}


def main(stage: str, folder: Path, rows: int) -> None:
    """Say as JSON how far it is, and at last what it took: CPU and wall seconds, and peak memory
    with libraries.
    """
    start, cpu = perf_counter(), process_time()
    said = STAGES[stage](folder, rows)
    sys.stdout.write(json.dumps({
        "said": said, "cpu_s": process_time() - cpu, "wall_s": perf_counter() - start,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
