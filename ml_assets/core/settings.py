"""Paths, addresses and modes of an installation, read once from the environment and from the
project's `settings.toml` beneath it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from ml_assets.core.errors import DeclarationError
from ml_assets.core.objects.copies import mounted
from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.profiles.given_settings import IN_FILE, GivenSettings
from ml_assets.core.profiles.given_settings import PREFIX as PREFIX
from ml_assets.core.profiles.settings_file import Profile, profile_named
from ml_assets.core.project import ROOT as ROOT
from ml_assets.core.project import project
from ml_assets.core.runtime.workers import ray_address
from ml_assets.core.storage.layout import OBJECTS, SYSTEMS, TOKENS, clock_of
from ml_assets.core.storage.marker import is_noted
from ml_assets.core.storage.places import Place
from ml_assets.core.time import Clock, EventClock, WallClock

VARIABLES = tuple(sorted((*IN_FILE, "PROFILE", "PROJECT", "TOKEN")))
"""Every variable read from the environment, without PREFIX. Any other name is a typo."""

HOST = re.compile(
    r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?)\.?(?::(\d{1,5}))?"
)
"""A host as in URLs and in the header `Host`, in lower case: its name, and its port."""

LogFormat = Literal["human", "json"]
Ack = Literal["process", "disk"]
"""What an acknowledged prediction survives: the death of every process, or a power cut too."""

Tracing = Literal["otlp", "none"]
"""Whether the API sends traces to an OpenTelemetry collector, by OTLP over HTTP."""

Runs = Literal["process", "ray"]
"""What executes a run that Dagster's daemon or UI starts: a process of the code server, or a job of
the Ray cluster."""

Steps = Literal["run", "ray", "kubernetes"]
"""What executes the steps of such a run: the process of the run, or a job of the cluster each."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that differs between two installations of the same code.

    `var` holds all state, by default in the project; deleting it starts afresh. `cache` holds
    downloaded data sets, which survive `--fresh`. The API listens on `host` and
    `port`; `log` is its log format, `ack` what its acknowledgements survive, `traces` where its
    traces go. `hosts` are names by which browsers and proxies reach it, besides this machine's
    own. `in_replay` is set in the process that replays history: it evaluates the sensors itself,
    and those of other processes leave the work to it. Alerts go to `webhook` and, as
    e-mail, to the server `smtp`, with links to the UI at `ui`. `cluster` names the servers of the
    profile `cluster`; without it everything is in `var`. `ray` is the Ray cluster that computes
    features; without one this process does. `runs` and `steps` say what executes Dagster's runs.
    """

    var: Path = field(default_factory=lambda: project().var)
    cache: Path = field(default_factory=lambda: GivenSettings("local").folder(
        "ML_ASSETS_CACHE", project().var / "cache"))
    host: str = "127.0.0.1"
    port: int = 8080
    log: LogFormat = "human"
    ack: Ack = "process"
    traces: Tracing = "none"
    hosts: tuple[str, ...] = ()
    in_replay: bool = False
    ray: str = ""
    runs: Runs = "process"
    steps: Steps = "run"
    ui: str = "http://localhost:3000"
    webhook: str = field(default="", repr=False)
    smtp: str = field(default="", repr=False)
    """Both may hold a secret."""
    cluster: Cluster | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        """Read `ML_ASSETS_VAR` and the other `VARIABLES`, and what the project's `settings.toml`
        sets for the profile where they are not set.

        Raises DeclarationError for an invalid value, and for a variable that nothing reads.
        """
        _require_known(os.environ)
        profile = profile_named(os.environ.get("ML_ASSETS_PROFILE", "local"))
        said = GivenSettings(profile)
        port = said.get("ML_ASSETS_PORT", str(cls.port))
        if not port.isdigit() or not 0 <= int(port) < 65536:
            raise DeclarationError(f"ML_ASSETS_PORT is {port!r}; expected a port, 0 to 65535")
        settings = cls(
            var=said.folder("ML_ASSETS_VAR", project().var),
            cache=said.folder("ML_ASSETS_CACHE", project().var / "cache"),
            host=said.get("ML_ASSETS_HOST", cls.host),
            port=int(port),
            log=said.choice("ML_ASSETS_LOG", cls.log, get_args(LogFormat)),
            ack=said.choice("ML_ASSETS_ACK", cls.ack, get_args(Ack)),
            traces=said.choice("ML_ASSETS_TRACES", cls.traces, get_args(Tracing)),
            hosts=_hosts(said.get("ML_ASSETS_HOSTS", "")),
            ui=said.address("ML_ASSETS_UI", cls.ui),
            ray=ray_address(said.get("ML_ASSETS_RAY", cls.ray)),
            runs=said.choice("ML_ASSETS_RUNS", cls.runs, get_args(Runs)),
            steps=said.choice("ML_ASSETS_STEPS", cls.steps, get_args(Steps)),
            webhook=said.address("ML_ASSETS_WEBHOOK", ""),
            smtp=said.address("ML_ASSETS_SMTP", "", ("smtp", "smtps")),
            cluster=None if profile == "local" else said.cluster(),
        )
        if settings.cache == settings.var:
            raise DeclarationError(
                f"ML_ASSETS_CACHE and ML_ASSETS_VAR are both {settings.var}; give the cache a "
                "separate folder, such as `cache` inside"
            )
        for name, where in (("ML_ASSETS_RUNS", settings.runs), ("ML_ASSETS_STEPS", settings.steps)):
            if where == "ray" and settings.ray in ("", "local"):
                raise DeclarationError(
                    f"{name} is 'ray', and ML_ASSETS_RAY is {settings.ray!r}; set that to "
                    "host:port of the head of a Ray cluster")
        return settings

    @property
    def shared(self) -> Path:
        """What all hosts read: the same as `var` if there is one. If it lies in object storage,
        the folder of this host's copies."""
        cluster = self.cluster
        if cluster is not None and cluster.objects:
            return mounted(self.var / OBJECTS, cluster.objects)
        return self.var if cluster is None or cluster.shared is None else cluster.shared

    @property
    def lake(self) -> Path:
        return self.shared / "lake"

    @property
    def profile(self) -> Profile:
        return "local" if self.cluster is None else "cluster"

    @property
    def event_log(self) -> Place:
        return self.var / "event_log.sqlite" if self.cluster is None else self.cluster.event_log

    @property
    def online_store(self) -> Path:
        """What serving reads features from: made of event log and lake."""
        return self.var / "online.lmdb"

    @property
    def deployments(self) -> Place:
        if self.cluster is None:
            return self.var / "deployments.sqlite"
        return self.cluster.deployments

    def alerts(self, system: str) -> Place:
        """What a system's owners were told."""
        if self.cluster is None:
            return self.folder_of(system) / "alerts.sqlite"
        return self.cluster.alerts(system)

    @property
    def tokens(self) -> Place:
        """Who may call the API: hashes, made by `ml-assets token`."""
        return self.var / TOKENS if self.cluster is None else self.cluster.tokens

    @property
    def plots(self) -> Path:
        """Images and reports that asset pages show, by the hash of their content."""
        return self.var / "plots"

    @property
    def dagster_home(self) -> Path:
        return self.var / "dagster"

    @property
    def mlflow_database(self) -> Place:
        if self.cluster is None:
            return self.var / "mlflow" / "mlflow.sqlite"
        return self.cluster.mlflow

    @property
    def mlflow_tracking_uri(self) -> str:
        place = self.mlflow_database
        return f"sqlite:///{place}" if isinstance(place, Path) else place.sqlalchemy()

    @property
    def mlflow_artifacts(self) -> Path:
        return self.shared / "mlflow" / "artifacts"

    @property
    def mlflow_artifact_root(self) -> str:
        """Where MLflow itself finds them."""
        if self.cluster is None or not self.cluster.objects:
            return self.mlflow_artifacts.as_uri()
        return f"{self.cluster.objects}/mlflow/artifacts"

    def folder_of(self, system: str) -> Path:
        """What is a system's own alone: its clock, its locks, its candidates."""
        return self.var / SYSTEMS / system

    def candidates(self, system: str) -> Path:
        """The lists that an API ranks from, made of the lake's table of the same name."""
        return self.shared / SYSTEMS / system / "candidates.sqlite"

    def clock_file(self, system: str) -> Path:
        # Cached, because it is read for every batch of predictions.
        if (path := self._clock_files.get(system)) is None:
            path = self._clock_files[system] = self.var / clock_of(system).name
        return path

    def clock_of(self, system: str) -> Clock:
        """The clock of a system's replay if it has had one in this `var`, else the wall clock."""
        path = self.clock_file(system)
        if path.exists() or self._had_clock(path):
            return EventClock(path)
        return WallClock()

    def _had_clock(self, path: Path) -> bool:
        """A deleted clock must not become the wall clock."""
        if (noted := self._noted.get(path)) is None:
            noted = self._noted[path] = is_noted(path)
        return noted

    @cached_property
    def _clock_files(self) -> dict[str, Path]:
        return {}

    @cached_property
    def _noted(self) -> dict[Path, bool]:
        return {}


def _require_known(environment: Iterable[str]) -> None:
    known = [f"{PREFIX}{name}" for name in VARIABLES]
    for name in sorted(environment):
        if not name.upper().startswith(PREFIX.rstrip("S_")) or name in known:
            continue
        alike = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)
        raise DeclarationError(
            f"the environment sets {name}, which nothing reads. Closest: {alike[0]}. Known: "
            f"{', '.join(known)}"
        )


def _hosts(named: str) -> tuple[str, ...]:
    hosts = tuple(host.strip().lower() for host in named.split(",") if host.strip())
    for host in hosts:
        if not HOST.fullmatch(host):
            raise DeclarationError(
                f"ML_ASSETS_HOSTS names {host!r}; expected comma-separated hosts, each with its "
                "port if it is not the default one: ml.example,lab.example:8443"
            )
    return hosts
