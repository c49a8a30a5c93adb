"""The commands `ml-assets doctor` and `ml-assets store`: damage found, repaired, counted again."""

from __future__ import annotations

import sys

import click

from ml_assets.core.settings import Settings


@click.command()
@click.option("--mend", "mends", is_flag=True,
              help="Repair whatever can be repaired without loss: modes, the paths of models after "
              "a move, the marker, the clock, and what can be recreated (Feast's registry, its "
              "loads). Stop `ml-assets ui`, `serve` and `run` first.")
@click.option("--give-up", "given_up", metavar="NAME", multiple=True,
              help="Accept the loss of a file, by its name in the table: its remains are set "
              "aside, and an empty one is created when it is needed. May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(mends: bool, given_up: tuple[str, ...], as_json: bool) -> None:
    """Check every file of the installation; say what is damaged and what to do.

    \b
      ml-assets doctor                              look only; change nothing
      ml-assets doctor --mend                       repair what loses nothing, then look
      ml-assets doctor --give-up event_log.sqlite   continue without a lost file

    A file may be missing, empty, damaged, unreadable, foreign, or from a newer version of
    ml-assets. Other commands refuse to work on such a file, and none creates a new one in its
    place.

    \b
    What to do:
      after a move    nothing: every command follows the folder (--mend does so at once)
      after a crash   nothing: SQLite and the lake recover on their own; doctor proves it
      after a loss    restore the file from a backup; if there is none, --give-up

    Anything that --mend and --give-up remove is kept in set_aside/ until you delete it. Exits with
    status 0 if everything is sound, 1 otherwise.
    """
    from ml_assets.doctor.examine import examine
    from ml_assets.doctor.mending import give_up, mend
    from ml_assets.doctor.report import show

    settings = Settings.from_environment()
    if not settings.var.is_dir():
        click.echo(f"There is no installation in {settings.var} yet; `ml-assets run` creates one "
                   "(ML_ASSETS_VAR sets another folder).")
        return
    for name in given_up:
        for said in give_up(settings, name):
            click.echo(said, err=as_json)
    if mends:
        for said in mend(settings):
            click.echo(said, err=as_json)
    sys.exit(show(settings, list(examine(settings)), as_json=as_json))


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
