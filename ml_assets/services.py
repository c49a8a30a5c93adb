"""The services of `ml-assets ui`, started together and stopped together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from ml_assets.automation.instance import prepare_home
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.project import project
from ml_assets.core.runtime import keeper
from ml_assets.core.runtime.workers import jobs_at
from ml_assets.core.settings import Settings
from ml_assets.registry.tracking.moving import follow

DEFINITIONS, LOCATION = "ml_assets.definitions", "ml_assets"
"""The same as in workspace.yaml, for people who start Dagster themselves."""
START_SECONDS = 120.0


class ServiceDown(MlAssetsError, RuntimeError):
    """A service did not start, or ended unexpectedly. The message shows the end of its log."""


@dataclass(frozen=True, kw_only=True)
class ServiceProcess:
    """One process: its command, and the port at which people find it, if any.

    socket: the Unix socket on which it listens, for other services
    needs: the socket of another service, which must listen before this one starts
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    what: str
    socket: Path | None = None
    needs: Path | None = None


def services(
    settings: Settings, dagster_port: int, mlflow_port: int, folder: Path
) -> tuple[ServiceProcess, ...]:
    """Dagster's code, UI and daemon, the prediction API and MLflow's UI.

    folder: for their temporary files; its path must be short, since a socket's may have 107 bytes
    """
    programs, python = Path(sys.executable).parent, sys.executable
    code, workspace = folder / "code.sock", folder / "workspace.yaml"
    return (
        ServiceProcess(
            name="code", socket=code, what="loads the definitions, once for UI and daemon",
            command=(str(programs / "dagster"), "code-server", "start", "-m", DEFINITIONS,
                     "--location-name", LOCATION, "--socket", str(code)),
        ),
        ServiceProcess(
            name="api", port=settings.port, what="predictions and feedback; /docs to try them",
            command=(python, "-m", "ml_assets.cli", "serve"),
        ),
        ServiceProcess(
            name="mlflow", port=mlflow_port, what="model versions, metrics, plots",
            command=(python, "-m", "ml_assets.consoles", "mlflow", "--port", str(mlflow_port)),
        ),
        ServiceProcess(
            name="dagster", port=dagster_port, needs=code, what="assets, lineage, runs, sensors",
            command=(python, "-m", "ml_assets.consoles", "dagster", "--port", str(dagster_port),
                     "--workspace", str(workspace)),
        ),
        ServiceProcess(
            name="daemon", needs=code, what="runs the sensors and schedules",
            command=(str(programs / "dagster-daemon"), "run", "-w", str(workspace)),
        ),
    )


def run_services(settings: Settings, dagster_port: int, mlflow_port: int) -> None:
    """Start all, print their addresses once they answer, stop all on Ctrl-C or SIGTERM.

    Raises ServiceDown if a port is taken or a service ends unexpectedly, WorkersLost if runs are to
    be jobs of a Ray cluster that takes none.
    """
    prepare_home(settings)
    if "ray" in (settings.runs, settings.steps):
        jobs_at(settings.ray)
    tracking = settings.mlflow_database
    if isinstance(tracking, Path) and tracking.exists():
        follow(tracking, settings.mlflow_artifacts)  # MLflow's own server reads what is stored
    settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ml_assets-")))
        wanted = services(settings, dagster_port, mlflow_port, folder)
        for service in wanted:
            if service.port is not None:
                _require_free(service)
        _write_workspace(wanted, folder)
        with console.status("starting (about half a minute) ..."):
            processes = stack.enter_context(_running(settings, wanted))
            for service in wanted:
                _await(settings, service, processes)
        for service in wanted:
            if service.port is not None:
                address = f"http://127.0.0.1:{service.port}"
                console.print(f"  {service.name:<8} {address:<23} {service.what}")
        console.print(f"Logs are in {settings.var / 'logs'}. Ctrl-C stops everything.")
        while True:
            for service in wanted:
                _require_up(settings, service, processes[service.name])
            time.sleep(1)


@contextmanager
def _running(
    settings: Settings, wanted: tuple[ServiceProcess, ...]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The processes; all are stopped when the block ends, or when this process dies."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    # Even if a shell has started us in the background, with Ctrl-C ignored.
    stops = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under `nohup`
        stops.append(signal.SIGHUP)
    previous = {number: signal.signal(number, lambda *_: sys.exit(0)) for number in stops}
    try:
        for service in wanted:
            for other in wanted:
                if service.needs is not None and other.socket == service.needs:
                    _await(settings, other, processes)
            with _log(settings, service).open("wb") as log:
                processes[service.name] = keeper.start(
                    service.command, output=log, cwd=project().folder)
        yield processes
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            keeper.stop(process)


def _require_free(service: ServiceProcess) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", service.port))
        except OSError as error:
            raise ServiceDown(
                f"port {service.port} for {service.name} is taken ({error.strerror}). Stop "
                "whatever listens there, or choose others: --dagster-port, --mlflow-port, "
                "ML_ASSETS_PORT"
            ) from error


def _write_workspace(wanted: Iterable[ServiceProcess], folder: Path) -> None:
    """Tell Dagster where its code is: on the socket of the service that loads it."""
    [socket_of] = [service.socket for service in wanted if service.socket is not None]
    (folder / "workspace.yaml").write_text(
        "load_from:\n  - grpc_server:\n"
        f"      socket: {socket_of}\n      location_name: {LOCATION}\n"
    )


def _await(
    settings: Settings, service: ServiceProcess, processes: dict[str, subprocess.Popen[bytes]]
) -> None:
    """Return once the service listens. Raises ServiceDown after two minutes."""
    deadline = time.monotonic() + START_SECONDS
    while not _listens(service):
        _require_up(settings, service, processes[service.name])
        if time.monotonic() > deadline:
            raise ServiceDown(f"{service.name} does not listen on {service.socket or service.port} "
                              f"after 2 minutes; its log: {_log(settings, service)}")
        time.sleep(0.2)
    _require_up(settings, service, processes[service.name])


def _listens(service: ServiceProcess) -> bool:
    """Whether it listens, or has nothing to listen on."""
    if service.port is None and service.socket is None:
        return True
    family = socket.AF_INET if service.port is not None else socket.AF_UNIX
    with socket.socket(family) as probe:
        probe.settimeout(1)
        return probe.connect_ex(
            str(service.socket) if service.port is None else ("127.0.0.1", service.port)) == 0


def _require_up(
    settings: Settings, service: ServiceProcess, process: subprocess.Popen[bytes]
) -> None:
    if process.poll() is not None:
        tail = _log(settings, service).read_text(errors="replace")[-2000:]
        raise ServiceDown(f"{service.name} ended with status {process.returncode}:\n{tail}")


def _log(settings: Settings, service: ServiceProcess) -> Path:
    path = settings.var / "logs" / f"{service.name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
