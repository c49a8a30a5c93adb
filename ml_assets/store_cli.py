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

    For a store whose state is damaged, or that you do not trust. What is lost is counted again
    by itself when the API starts. Until this ends, the API answers without these features, and
    says so; it need not be restarted.
    """
    from ml_assets.features.rebuild import rebuild as count_again
    from ml_assets.systems import find

    settings = Settings.from_environment()
    found = count_again(settings, find(system_name))
    if not found:
        click.echo(f"No feature view of {system_name!r} was ever loaded or fed: there is nothing "
                   "to rebuild.")
    for each in found:
        click.echo(f"{each.view}: {each.entities:,} entities, up to position {each.position:,} of "
                   "the event log")
