"""The API as a process: takes its address, says when it is ready, drains when it must stop."""

from __future__ import annotations

import contextlib
import errno
import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
import uvicorn
from starlette.applications import Starlette

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.runtime.locks import in_service
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.serving.access.doorkeeper import require_tokens
from ml_assets.serving.composition import Backends, create_app
from ml_assets.serving.http.connection.fast_path import FastPathProtocol
from ml_assets.serving.http.connection.uvicorn_seam import config_for
from ml_assets.serving.telemetry.logs import configure
from ml_assets.serving.telemetry.worker_metrics import WorkerMetrics
from ml_assets.serving.workers import WorkerProcesses

if TYPE_CHECKING:
    from ml_assets.serving.telemetry.traces import Traces

TURN_SECONDS = 0.0005
"""How long a thread may hold the GIL while another waits. With Python's 5 ms the event
loop waits for the worker: a tenth fewer requests a second, and a twentieth more CPU for each."""
COLLECTED_AT = 20_000
"""Generation-0 GC threshold: with Python's 700 collecting takes a twelfth of a request's CPU, and
answers make next to no garbage that it finds."""
DRAIN_SECONDS = 15
"""How long requests in progress have to be answered after SIGTERM, SIGINT or SIGHUP."""


class AddressUnavailable(MlAssetsError, OSError):
    """The API cannot listen where it was told to."""


def serve(
    settings: Settings,
    systems: Sequence[System],
    *,
    backends: Backends | None = None,
    listener: socket.socket | None = None,
    workers: int = 1,
    plain_asgi: bool = False,
    broken: Mapping[str, str] | None = None,
    say: Callable[[str], None] = click.echo,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then drain and return: see `draining`.

    What is in progress or comes on an open connection is still answered, `/readyz` with 503.

    listener: a listening socket to serve on instead of one at the settings' address; others may
    serve on it too, and what waits in its queue is theirs once this process has ended.
    workers: processes that share the address and all state
    broken: why other systems cannot be served, by their names
    plain_asgi: over uvicorn's own connections, without our limits, fast path and draining

    Raises AddressUnavailable if the port is taken or the host is not ours, ListenRefused if other
    machines would reach an API that asks for no token, TracesUnavailable if traces are asked for
    and cannot be made, and WorkerEnded if a worker cannot start.
    """
    configure(settings.log)
    with (
        in_service(settings, [system.name for system in systems]),
        listener or _listen(settings.host, settings.port) as listener,
    ):
        require_tokens(settings)
        make_traces = _traces_of(settings)

        def run(ready: Callable[[], None], numbered: WorkerMetrics | None = None) -> None:
            sys.setswitchinterval(TURN_SECONDS)
            app = create_app(settings, systems, backends, numbered, make_traces(), broken)
            config = config_for(
                app, None if plain_asgi else partial(FastPathProtocol, app.fast_path),
                ws="none", log_config=None,
                timeout_graceful_shutdown=DRAIN_SECONDS, timeout_keep_alive=30,
            )
            # Uvicorn raises it again once everything is drained: this is how Ctrl-C ends.
            with contextlib.suppress(KeyboardInterrupt):
                ApiServer(config, app, ready).run(sockets=[listener])

        def announce() -> None:
            _announce(settings.host, listener, say)

        if workers == 1:
            run(announce)
        else:
            with TemporaryDirectory(prefix="ml_assets-") as folder:
                WorkerProcesses(workers, lambda number, ready: run(
                    ready, WorkerMetrics(Path(folder), worker=number, workers=workers)
                ), announce, listener.close).keep()


class ApiServer(uvicorn.Server):
    """Calls `ready` once requests are answered; lets the app say when it is about to stop."""

    def __init__(self, config: uvicorn.Config, app: Starlette, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app, self._ready = app, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            # Whatever is there by now stays; looking through it again and again is wasted.
            gc.collect()
            gc.freeze()
            gc.set_threshold(COLLECTED_AT)
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A console that closes stops the server as SIGTERM does, unless it runs by `nohup`."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, self.handle_exit)
        with super().capture_signals():
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.stopping = True
        await super().shutdown(sockets=sockets)


def _traces_of(settings: Settings) -> Callable[[], Traces | None]:
    """What makes them in the process that serves. Raises TracesUnavailable here and now."""
    if settings.traces == "none":
        return lambda: None
    from ml_assets.serving.telemetry.traces import Traces

    return Traces.otlp


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressUnavailable(
                f"port {port} of {host} is taken. Stop what listens there, or choose another: "
                "`--port` or ML_ASSETS_PORT; 0 takes a free one"
            ) from error
        raise AddressUnavailable(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _announce(host: str, listener: socket.socket, say: Callable[[str], None]) -> None:
    port = listener.getsockname()[1]
    named = f"[{host}]" if ":" in host else host
    say(f"The API answers on http://{named}:{port}, its documentation is on "
        f"http://{named}:{port}/docs (Ctrl-C stops it)")
