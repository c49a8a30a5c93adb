"""What an installation's folder contains, and what to do if a file in it is lost.

One table, so every command and `ml-assets doctor` agree on what is ours.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ml_assets.core.storage.marker import LOCK, MARKER

SET_ASIDE = "set_aside"
"""The folder for damaged files that `ml-assets doctor` has moved away."""
RESTORE = "restore it from a backup"
ACCEPT = "accept the loss: `ml-assets doctor --give-up {name}`"
MEND = "`ml-assets doctor --mend` {how}"


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """One file or folder whose loss would matter.

    name: relative to the installation; holds: in words; remedy: what to do if it is lost or
    damaged; proof: a JSON key or a SQLite table that proves the file is ours; formats: the newest
    format that this version knows (`format` in JSON, `user_version` in SQLite); rebuilt: whether
    `doctor --mend` may set it aside because it is recreated; takes_along: files that are
    meaningless without it, and are set aside with it
    """

    name: str
    holds: str
    remedy: str
    proof: str | None = None
    formats: int = 1
    rebuilt: bool = False
    takes_along: tuple[str, ...] = ()

    @property
    def is_json(self) -> bool:
        return self.name.endswith(".json")

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder; everything that is neither a folder nor JSON is SQLite."""
        return "." not in self.name


def _file(
    name: str, holds: str, proof: str | None, *, rebuilt: str = "", accept: str = "",
    takes_along: tuple[str, ...] = (),
) -> StateFile:
    if rebuilt:
        remedy = MEND.format(how=rebuilt)
    else:
        remedy = f"{RESTORE}, or {ACCEPT.format(name=name)}{f' ({accept})' if accept else ''}"
    return StateFile(name=name, holds=holds, proof=proof, remedy=remedy,
                     rebuilt=bool(rebuilt), takes_along=takes_along)


TOKENS = "tokens.json"
SYSTEMS = "systems"
"""The folder that holds, for each system, what is its own alone: its clock and its locks."""


OBJECTS = "objects"
"""The folder of copies, if lake and model files are in object storage."""


def clock_of(system: str) -> StateFile:
    """The clock of a system."""
    return _clock(f"{SYSTEMS}/{system}/clock.json", f"the clock of {system!r} in its replay")


def _clock(name: str, holds: str) -> StateFile:
    return _file(name, holds, "at",
                 rebuilt="sets it to the latest instant that the installation knows")


OLD_CLOCK = _clock("clock.json", "the replay's clock")
"""Of an earlier version: one for all systems. The next command gives each its own."""

FILES = (
    _file(TOKENS, "who may call the API", None,
          accept="everyone on this machine may call until a token is created"),
    _file("event_log.sqlite", "predictions, feedback and what they count", "predictions",
          accept="a new one is empty"),
    _file("deployments.sqlite", "which model versions answer, and why", "deployments",
          accept="then promote a version: `ml-assets rollout promote`"),
    _file("feast/registry.sqlite", "Feast's registry", "feature_views",
          rebuilt="sets it aside; it is recreated from the declarations",
          takes_along=("feast/applied.json",)),
    _file("feast/applied.json", "what was applied to Feast's registry", "manifest",
          rebuilt="sets it aside; the declarations are applied again"),
    _file("mlflow/mlflow.sqlite", "model versions and verdicts", "model_versions",
          accept="then retrain"),
    _file("dagster/event_log.db", "Dagster's events", "event_logs",
          accept="Dagster then forgets all earlier materialisations"),
    _file("dagster/history/runs.db", "Dagster's runs", "runs",
          accept="Dagster then forgets all earlier runs"),
    _file("dagster/schedules/schedules.db", "Dagster's sensors and schedules", "jobs",
          accept="sensors then start over"),
)
FOLDERS = (
    _file("lake", "days, labels, training sets and reports", None,
          accept="then materialise the days again"),
    _file("mlflow/artifacts", "the files of models", None, accept="then retrain"),
)
STATE = (*FILES, *FOLDERS)
"""What every installation has; see `state_in` for the clocks."""

KEPT = (MARKER, LOCK, "replay.lock", TOKENS, "tokens.lock", "cache", "cluster", "bench",
        "benchmarks", SET_ASIDE)
"""Ours beside state: tokens, downloaded data sets, the servers of `ml-assets cluster`, benchmarks,
files set aside, locks."""
STATEFUL = ("clock.json", SYSTEMS, "event_log.sqlite", "online.lmdb", "deployments.sqlite", "feast",
            "mlflow", "dagster", "lake", OBJECTS, "logs", "plots")
"""What runs make, along with the side files of databases. Nothing else is ours."""
SQLITE_SIDES = ("-wal", "-shm", "-journal")
LMDB_SIDES = ("-lock", "-unsynced", "-writer")
HARMLESS = ("lost+found", ".gitkeep", ".gitignore", ".DS_Store", "Thumbs.db")
"""Names that a folder may contain and still count as empty."""


def state_in(var: Path, made: Collection[str] = ()) -> tuple[StateFile, ...]:
    """The tables, and the clocks that the folder `var` has or, as `made` says, once had."""
    names = {path.relative_to(var).as_posix() for path in var.glob(f"{SYSTEMS}/*/clock.json")}
    if (var / OLD_CLOCK.name).exists():
        names.add(OLD_CLOCK.name)
    clocks = [found for name in sorted(names | set(made)) if (found := _clock_at(name))]
    return (*clocks, *STATE)


def is_clock(about: StateFile) -> bool:
    """Whether it is the clock of a system, or the old one of all."""
    return _clock_at(about.name) is not None


def state_file(name: str) -> StateFile | None:
    """The entry of the tables, or the clock, of this name."""
    return next((each for each in STATE if each.name == name), None) or _clock_at(name)


def _clock_at(name: str) -> StateFile | None:
    if name == OLD_CLOCK.name:
        return OLD_CLOCK
    folder, _, rest = name.partition("/")
    system, _, file = rest.partition("/")
    return clock_of(system) if folder == SYSTEMS and file == "clock.json" else None


def is_state(name: str) -> bool:
    """Whether runs make an entry of this name in an installation's folder."""
    return _own(name) in STATEFUL


def is_ours(name: str) -> bool:
    """Whether an installation has a file or folder of this name."""
    return name in HARMLESS or _own(name) in (*STATEFUL, *KEPT)


def _own(name: str) -> str:
    """The name of the file to which a SQLite side file or an interrupted atomic write belongs."""
    if name.startswith(".") and name.endswith(".tmp"):
        name = name[1:-len(".tmp")].rpartition(".")[0]
    for side in (*SQLITE_SIDES, *LMDB_SIDES):
        name = name.removesuffix(side)
    return name
