"""The command `ml-assets store`: the online store of an installation."""

from __future__ import annotations

import click

from ml_assets.core.settings import Settings


@click.group()
def store() -> None:
    """The online store: what serving reads features from."""


@store.command()
@click.argument("system_name", metavar="SYSTEM")
def rebuild(system_name: str) -> None:
    """Count a system's windowed features again, from the lake and the event log.

    For a store whose state is damaged, or that you do not trust. It happens in one transaction:
    until it ends, nobody else can write the event log, and if it fails, nothing has changed. Stop
    the API first, or restart it afterwards.
    """
    from ml_assets.features.rebuild import Rebuild
    from ml_assets.systems import find

    settings = Settings.from_environment()
    work = Rebuild(settings, find(system_name))
    if not work.days:
        click.echo(f"No feature view of {system_name!r} was ever loaded or fed: there is nothing "
                   "to rebuild.")
        return
    with click.progressbar(length=work.steps, label="counting") as bar:
        found = work.run(lambda: bar.update(1))
    for each in found:
        click.echo(f"{each.view}: {each.loaded:,} rows of {len(work.days[each.view])} days of the "
                   f"lake, {each.served:,} events that only the event log has")
