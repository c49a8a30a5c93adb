"""Everything that one looks at, started together and stopped together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ml_assets.automation.instance import prepare_home
from ml_assets.core import keeper
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import ROOT, Settings
from ml_assets.registry.moving import follow
from ml_assets.registry.runs import database


class ServiceDown(MlAssetsError, RuntimeError):
    """A service did not start, or ended by itself. The message shows the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process: its command, and the address at which a person finds it, if any."""

    name: str
    command: tuple[str, ...]
    port: int | None
    what: str


def services(settings: Settings, dagster_port: int, mlflow_port: int) -> tuple[Service, ...]:
    """Dagster's UI and daemon, the prediction API and MLflow's UI."""
    programs = Path(sys.executable).parent
    workspace = ("-w", str(ROOT / "workspace.yaml"))
    return (
        Service(
            name="dagster", port=dagster_port, what="assets, lineage, runs, sensors",
            command=(str(programs / "dagster-webserver"), *workspace, "-h", "127.0.0.1",
                     "-p", str(dagster_port)),
        ),
        Service(
            name="daemon", port=None, what="runs the sensors and schedules",
            command=(str(programs / "dagster-daemon"), "run", *workspace),
        ),
        Service(
            name="api", port=settings.port, what="predictions and feedback; /docs to try them",
            command=(sys.executable, "-m", "ml_assets.cli", "serve"),
        ),
        Service(
            name="mlflow", port=mlflow_port, what="model versions, metrics, plots",
            command=(str(programs / "mlflow"), "server", "--host", "127.0.0.1",
                     "--port", str(mlflow_port), "--workers", "1",
                     "--backend-store-uri", settings.mlflow_tracking_uri,
                     "--artifacts-destination", settings.mlflow_artifacts.as_uri()),
        ),
    )


def run_services(settings: Settings, dagster_port: int, mlflow_port: int) -> None:
    """Start all, print where they are once they answer, stop all on Ctrl-C or SIGTERM.

    Raises ServiceDown where a port is taken or a service ends by itself.
    """
    prepare_home(settings)
    if (tracking := database(settings)).exists():
        follow(tracking, settings.mlflow_artifacts)  # MLflow's own server reads what is stored
    settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    wanted = services(settings, dagster_port, mlflow_port)
    for service in wanted:
        if service.port is not None:
            _require_free(service)
    with _running(settings, wanted) as processes:
        with console.status("starting (about half a minute) ..."):
            for service in wanted:
                _await(settings, service, processes)
        for service in wanted:
            if service.port is not None:
                address = f"http://127.0.0.1:{service.port}"
                console.print(f"  {service.name:<8} {address:<23} {service.what}")
        console.print(f"Logs lie in {settings.var / 'logs'}. Ctrl-C stops everything.")
        while True:
            for service in wanted:
                _require_up(settings, service, processes[service.name])
            time.sleep(1)


@contextmanager
def _running(
    settings: Settings, wanted: tuple[Service, ...]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The processes; all are stopped when the block ends, and when this process dies."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    # Also where a shell has started us in the background, with Ctrl-C ignored.
    stops = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda *_: sys.exit(0)) for number in stops}
    try:
        for service in wanted:
            with _log(settings, service).open("wb") as log:
                processes[service.name] = keeper.start(service.command, output=log, cwd=ROOT)
        yield processes
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            keeper.stop(process)


def _require_free(service: Service) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", service.port))
        except OSError as error:
            raise ServiceDown(
                f"port {service.port} for {service.name} is taken ({error.strerror}). Stop what "
                "listens there, or choose others: --dagster-port, --mlflow-port, ML_ASSETS_PORT"
            ) from error


def _await(
    settings: Settings, service: Service, processes: dict[str, subprocess.Popen[bytes]]
) -> None:
    """Return once the service listens. Raises ServiceDown after two minutes."""
    deadline = time.monotonic() + 120
    while service.port is not None:
        _require_up(settings, service, processes[service.name])
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", service.port)) == 0:
                return
        if time.monotonic() > deadline:
            raise ServiceDown(f"{service.name} does not listen on port {service.port} after 2 "
                              f"minutes; its log: {_log(settings, service)}")
        time.sleep(0.2)


def _require_up(settings: Settings, service: Service, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        tail = _log(settings, service).read_text(errors="replace")[-2000:]
        raise ServiceDown(f"{service.name} ended with status {process.returncode}:\n{tail}")


def _log(settings: Settings, service: Service) -> Path:
    path = settings.var / "logs" / f"{service.name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
