"""The command `ml-assets cluster`: the servers of the profile `cluster`, on this machine."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import click

from ml_assets.core.profiles.own_servers import OwnServer, own_servers

FOLDER, ENVIRONMENT, HOST = "cluster", "environment", "host"


@click.command()
def cluster() -> None:
    """Run the servers that the profile `cluster` uses, until Ctrl-C: PostgreSQL, and where they
    are installed an S3-compatible server and Redis.

    They are ours alone, with their data in `<var>/cluster` (what they hold stays until it is
    deleted), and none of the machine's own is used. `make run PROFILE=cluster`, or any command
    after `set -a; . <var>/cluster/environment`, then runs on them.
    """
    from ml_assets.core.settings import Settings
    from ml_assets.core.storage.files import write_atomically

    folder = Settings.from_environment().var / FOLDER
    servers, lacking = own_servers(folder)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    written = folder / ENVIRONMENT
    with ExitStack() as stack:
        # PostgreSQL first: it refuses to be started twice in one folder.
        for server in servers:
            server.start()
            stack.callback(server.stop)
        stack.callback(written.unlink, missing_ok=True)
        write_atomically(written, environment(servers, folder).encode())
        click.echo(f"{_listed([each.name for each in servers])} up, in {folder}. "
                   "In another shell:\n"
                   "  make run PROFILE=cluster\n"
                   f"or, for any command: set -a; . {shlex.quote(str(written))}\n"
                   f"{''.join(f'Without: {each}{chr(10)}' for each in lacking)}"
                   "Ctrl-C stops all; their data stays.")
        while all(each.is_up for each in servers):
            time.sleep(0.5)
        ended = next(each for each in servers if not each.is_up)
        raise click.ClickException(f"{ended.name} has ended: see {ended.folder / 'log'}")


def environment(servers: list[OwnServer], folder: Path) -> str:
    """Lines for a shell that choose the profile. This host's own files lie beside the servers'."""
    said: Mapping[str, str] = {
        "ML_ASSETS_PROFILE": "cluster", "ML_ASSETS_VAR": str(folder / HOST),
        **{name: value for each in servers for name, value in each.environment.items()}}
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in said.items())


def _listed(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last} are" if most else f"{last} is"
