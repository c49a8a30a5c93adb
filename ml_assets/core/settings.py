"""Where things lie and which engines run: read once from the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from ml_assets.core.errors import DeclarationError
from ml_assets.core.time import Clock, EventClock, WallClock

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: where `feature_repo/` and, unless set otherwise, `var/` lie."""

HOST = re.compile(
    r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?)\.?(?::(\d{1,5}))?"
)
"""A host as URLs and the header `Host` name it, in small letters: its name, and its port."""

LogFormat = Literal["human", "json"]
_LOG_FORMATS: dict[str, LogFormat] = {"human": "human", "json": "json"}
Ack = Literal["process", "disk"]
"""What an acknowledged prediction survives: the death of every process, or a power cut too."""

Tracing = Literal["none", "otlp"]
"""Whether the API tells an OpenTelemetry collector of each request, by OTLP over HTTP."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that differs between two installations of the same code.

    `var` holds all state; deleting it starts afresh. `host` and `port` are where the API
    listens, `log` is how it writes its log, `ack` what its acknowledgements mean and `traces`
    where its traces go. `hosts` are names by which browsers and proxies call it, besides this
    machine's own. `in_replay` is set in the process that replays history: it asks the
    sensors itself, and those of other processes leave the work to it.
    """

    var: Path = ROOT / "var"
    host: str = "127.0.0.1"
    port: int = 8080
    log: LogFormat = "human"
    ack: Ack = "process"
    traces: Tracing = "none"
    hosts: tuple[str, ...] = ()
    in_replay: bool = False

    @classmethod
    def from_environment(cls) -> Settings:
        """Read `ML_ASSETS_VAR`, `_HOST`, `_HOSTS`, `_PORT`, `_LOG`, `_ACK` and `_TRACES`."""
        port = os.environ.get("ML_ASSETS_PORT", str(cls.port))
        if not port.isdigit() or not 0 <= int(port) < 65536:
            raise DeclarationError(f"ML_ASSETS_PORT is {port!r}; expected a port, 0 to 65535")
        log = os.environ.get("ML_ASSETS_LOG", cls.log)
        if log not in _LOG_FORMATS:
            raise DeclarationError(f"ML_ASSETS_LOG is {log!r}; expected 'human' or 'json'")
        asked = os.environ.get("ML_ASSETS_ACK", cls.ack)
        ack = next((known for known in get_args(Ack) if known == asked), None)
        if ack is None:
            raise DeclarationError(f"ML_ASSETS_ACK is {asked!r}; expected process or disk")
        sent = os.environ.get("ML_ASSETS_TRACES", cls.traces)
        traces = next((known for known in get_args(Tracing) if known == sent), None)
        if traces is None:
            raise DeclarationError(f"ML_ASSETS_TRACES is {sent!r}; expected otlp or none")
        return cls(
            var=Path(os.environ.get("ML_ASSETS_VAR", cls.var)).resolve(),
            host=os.environ.get("ML_ASSETS_HOST", cls.host),
            port=int(port),
            log=_LOG_FORMATS[log],
            ack=ack,
            traces=traces,
            hosts=_hosts(os.environ.get("ML_ASSETS_HOSTS", "")),
        )

    @property
    def cache(self) -> Path:
        """Fetched data sets; survives `--fresh`."""
        return Path(os.environ.get("ML_ASSETS_CACHE", ROOT / "var" / "cache"))

    @property
    def lake(self) -> Path:
        return self.var / "lake"

    @property
    def event_log(self) -> Path:
        return self.var / "event_log.sqlite"

    @property
    def deployments(self) -> Path:
        return self.var / "deployments.sqlite"

    @property
    def tokens(self) -> Path:
        """Who may call the API: hashes, made by `ml-assets token`."""
        return self.var / "tokens.json"

    @property
    def dagster_home(self) -> Path:
        return self.var / "dagster"

    @property
    def mlflow_tracking_uri(self) -> str:
        return f"sqlite:///{self.var / 'mlflow' / 'mlflow.sqlite'}"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.var / "mlflow" / "artifacts"

    @cached_property  # looked at for each batch of predictions
    def clock_file(self) -> Path:
        return self.var / "clock.json"

    @property
    def clock(self) -> Clock:
        """The replay's clock where one has run in this `var`, else the wall's."""
        return EventClock(self.clock_file) if self.clock_file.exists() else WallClock()


def _hosts(named: str) -> tuple[str, ...]:
    hosts = tuple(host.strip().lower() for host in named.split(",") if host.strip())
    for host in hosts:
        if not HOST.fullmatch(host):
            raise DeclarationError(
                f"ML_ASSETS_HOSTS names {host!r}; expected hosts, divided by commas, each with its "
                "port if it is not the usual one: ml.example,lab.example:8443"
            )
    return hosts
