"""What lies in the folder of an installation, and what to do if a file of it is lost.

One table, so that every command, `ml-assets doctor` and `--fresh` agree on what is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from ml_assets.core.storage.marker import LOCK, MARKER

SET_ASIDE = "set_aside"
"""The folder of damaged files that `ml-assets doctor` took out of the way."""
RESTORE = "restore it from a backup"
ACCEPT = "accept the loss: `ml-assets doctor --give-up {name}`"
MEND = "`ml-assets doctor --mend` {how}"


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """One file or folder whose loss would matter.

    name: relative to the installation; holds: in words; remedy: what to do if it is lost or
    damaged; proof: of JSON a key of its object, of SQLite a table, that it has if it is ours;
    formats: the newest format that this version knows (`format` in JSON, `user_version` in
    SQLite); rebuilt: whether `doctor --mend` may set it aside since it is made anew;
    takes_along: what means nothing without it, and is set aside with it
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
        """Whether it is a folder; what is neither that nor JSON is SQLite."""
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


FILES = (
    _file("clock.json", "the replay's clock", "at",
          rebuilt="sets it to the latest instant that the installation knows"),
    _file("tokens.json", "who may call the API", None,
          accept="everyone on this machine may call until a token is made"),
    _file("event_log.sqlite", "predictions, feedback and online features", "predictions",
          accept="a new one is empty", takes_along=("feast/loads.sqlite",)),
    _file("deployments.sqlite", "which model versions answer, and why", "deployments",
          accept="then promote a version: `ml-assets rollout promote`"),
    _file("feast/registry.sqlite", "Feast's registry", "feature_views",
          rebuilt="sets it aside; it is made anew from what the systems declare",
          takes_along=("feast/applied.json",)),
    _file("feast/applied.json", "what was applied to Feast's registry", "manifest",
          rebuilt="sets it aside; what is declared is applied again"),
    _file("feast/loads.sqlite", "what was loaded into the online store", "loads",
          rebuilt="sets it aside; features are loaded again, and none is counted twice"),
    _file("mlflow/mlflow.sqlite", "model versions and verdicts", "model_versions",
          accept="then train again"),
    _file("dagster/event_log.db", "Dagster's events", "event_logs",
          accept="Dagster then knows no earlier materialisation"),
    _file("dagster/history/runs.db", "Dagster's runs", "runs",
          accept="Dagster then knows no earlier run"),
    _file("dagster/schedules/schedules.db", "Dagster's sensors and schedules", "jobs",
          accept="sensors then begin anew"),
)
FOLDERS = (
    _file("lake", "days, labels, training sets and reports", None,
          accept="then materialise the days again"),
    _file("mlflow/artifacts", "the files of models", None, accept="then train again"),
)
STATE = (*FILES, *FOLDERS)
CLOCK = FILES[0]

KEPT = (MARKER, LOCK, "replay.lock", "tokens.json", "tokens.lock", "cache", "benchmarks", SET_ASIDE)
"""What `--fresh` leaves: who may call, fetched data sets, plots, what was set aside, locks."""
FORGOTTEN = ("clock.json", "event_log.sqlite", "deployments.sqlite", "feast", "mlflow", "dagster",
             "lake", "logs", "plots")
"""What `--fresh` deletes, with what SQLite puts beside a file. Nothing else is ours."""
SQLITE_SIDES = ("-wal", "-shm", "-journal")
HARMLESS = ("lost+found", ".gitkeep", ".gitignore", ".DS_Store", "Thumbs.db")
"""Names that a folder may hold which is as good as empty."""


def state_file(name: str) -> StateFile | None:
    """The entry of the tables."""
    return next((each for each in STATE if each.name == name), None)


def is_forgotten(name: str) -> bool:
    """Whether `--fresh` deletes what lies under this name in an installation's folder."""
    return _own(name) in FORGOTTEN


def is_ours(name: str) -> bool:
    """Whether an installation has a file or folder of this name."""
    return name in HARMLESS or _own(name) in (*FORGOTTEN, *KEPT)


def _own(name: str) -> str:
    """The name of the file beside which SQLite, or an atomic write that was cut off, put this."""
    if name.startswith(".") and name.endswith(".tmp"):
        name = name[1:-len(".tmp")].rpartition(".")[0]
    for side in SQLITE_SIDES:
        name = name.removesuffix(side)
    return name
