"""The command `ml-assets cluster`: the servers of the profile `cluster`, on this machine."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from pathlib import Path

import click

FOLDER, ENVIRONMENT, HOST = "cluster", "environment", "host"


@click.command()
def cluster() -> None:
    """Run the servers that the profile `cluster` needs, until Ctrl-C: PostgreSQL.

    They are ours alone, with their data in `<var>/cluster` (what they hold stays until it is
    deleted), and none of the machine's own is used. `make run PROFILE=cluster`, or any command
    after `set -a; . <var>/cluster/environment`, then runs on them.
    """
    from ml_assets.core.profiles.own_postgres import OwnPostgres
    from ml_assets.core.settings import Settings
    from ml_assets.core.storage.files import write_atomically

    folder = Settings.from_environment().var / FOLDER
    postgres = OwnPostgres(folder / "postgres")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    postgres.start()
    try:
        write_atomically(folder / ENVIRONMENT, environment(postgres.url, folder).encode())
        click.echo(f"PostgreSQL is up, in {postgres.folder}. In another shell:\n"
                   "  make run PROFILE=cluster\n"
                   f"or, for any command: set -a; . {shlex.quote(str(folder / ENVIRONMENT))}\n"
                   "Ctrl-C stops it; its data stays.")
        while postgres.is_up:
            time.sleep(0.5)
        raise click.ClickException(f"PostgreSQL has ended: see {postgres.folder / 'log'}")
    finally:
        (folder / ENVIRONMENT).unlink(missing_ok=True)
        postgres.stop()


def environment(postgres: str, folder: Path) -> str:
    """Lines for a shell that choose the profile. This host's own files lie beside the servers'."""
    said = {"ML_ASSETS_PROFILE": "cluster", "ML_ASSETS_POSTGRES": postgres,
            "ML_ASSETS_VAR": str(folder / HOST)}
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in said.items())
