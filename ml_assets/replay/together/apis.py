"""The API of the systems that are replayed together: one server, and a client for each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import httpx

from ml_assets.core.runtime import keeper
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.replay.api import Client, Server, let_in


@contextmanager
def running_api(settings: Settings, systems: Sequence[System]) -> Iterator[dict[str, Client]]:
    """Start the API of these systems on a free port; stop it at the end. Gives a client of each, by
    name.

    Its output goes to `<var>/logs/<system>_api.log`, called as the last of them.
    """
    port = _free_port()
    names = [system.name for system in systems]
    command = (sys.executable, "-m", "ml_assets.cli", "serve", *names, "--host", "127.0.0.1",
               "--port", str(port))
    server = Server(command=command, var=settings.var,
                    log=settings.var / "logs" / f"{names[-1]}_api.log")
    server.start()
    try:
        with ExitStack() as open_until_the_end:
            yield {system.name: open_until_the_end.enter_context(
                _client(settings, system, server, port)) for system in systems}
    finally:
        keeper.stop(server.process)


@contextmanager
def _client(
    settings: Settings, system: System, server: Server, port: int
) -> Iterator[Client]:
    audit = system.feedback.audit
    sources = [system.truth.source, *([] if audit is None else [audit.source])]
    with (
        let_in(settings, *sources) as headers,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers=headers) as http,
    ):
        yield Client(http=http, system=system.name, server=server)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
