"""The command `ml-assets doctor`: what is damaged in an installation, and mending it."""

from __future__ import annotations

import sys

import click

from ml_assets.core.settings import Settings


@click.command()
@click.option("--mend", "mends", is_flag=True,
              help="Mend what can be mended without a loss: modes, the addresses of models after a "
              "move, the marker, the clock, and what is made anew (Feast's registry, its loads). "
              "Stop `ml-assets ui`, `serve` and `run` first.")
@click.option("--give-up", "given_up", metavar="NAME", multiple=True,
              help="Accept the loss of a file, by its name in the table: what is left of it is set "
              "aside, and an empty one is made when it is needed. Repeat for several.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(mends: bool, given_up: tuple[str, ...], as_json: bool) -> None:
    """Check every file of the installation; say what is damaged and what to do.

    \b
      ml-assets doctor                              look only; nothing is changed
      ml-assets doctor --mend                       mend what costs nothing, then look
      ml-assets doctor --give-up event_log.sqlite   go on without a file that is lost

    A file may be missing, empty, damaged, unreadable, foreign, or of a newer version of ml-assets.
    Other commands refuse to work on such a file, and none makes a new one in its place.

    \b
    Where to look first:
      after a move    --mend, or nothing: every command follows the folder by itself
      after a crash   nothing: SQLite and the lake recover by themselves; doctor proves it
      after a loss    restore the file from a backup; if there is none, --give-up

    What --mend and --give-up take out of the way lies in set_aside/, until you delete it. Ends
    with status 0 if all is sound, 1 if something is not.
    """
    from ml_assets.doctor.examine import examine
    from ml_assets.doctor.mending import give_up, mend
    from ml_assets.doctor.report import show

    settings = Settings.from_environment()
    if not settings.var.is_dir():
        click.echo(f"There is no installation in {settings.var} yet; `ml-assets run` makes one "
                   "(ML_ASSETS_VAR sets another folder).")
        return
    for name in given_up:
        for said in give_up(settings, name):
            click.echo(said, err=as_json)
    if mends:
        for said in mend(settings):
            click.echo(said, err=as_json)
    sys.exit(show(settings, list(examine(settings)), as_json=as_json))
