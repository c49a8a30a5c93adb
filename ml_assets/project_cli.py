"""`ml-assets init`, `new` and `check`: a project and systems of one's own."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

import click

UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


class Span(click.ParamType[timedelta]):
    """`7d`, `36h`, `30m`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        found = re.fullmatch(r"(\d+)([dhm])", str(value))
        if found is None or int(found[1]) == 0:
            self.fail(f"{value!r} is no time; expected a number and d, h or m: 7d, 36h, 30m")
        return int(found[1]) * UNITS[found[2]]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Make a project in FOLDER: a home for systems of your own.

    \b
    Example:
      ml-assets init market && cd market
      ml-assets new returns --from returns.csv --timestamp ordered_at \\
          --entity buyer --label returned

    Commands find the project from the working directory upwards; ML_ASSETS_PROJECT names it from
    anywhere. Its state is in FOLDER/var.
    """
    from ml_assets.projects.skeleton import init as write_project

    written = write_project(folder)
    click.echo(f"{folder}: {', '.join(written)}")
    click.echo(f"Next: cd {folder}, then `ml-assets new --help`")


@click.command()
@click.argument("name")
@click.option("--from", "file", required=True, type=click.Path(path_type=Path),
              help="CSV (also compressed) or Parquet: one row for each event.")
@click.option("--timestamp", required=True, help="Column: when the event happened.")
@click.option("--entity", "entities", multiple=True, required=True,
              help="Column: who or what it happened to; its past becomes features. Repeat it for "
              "several.")
@click.option("--label", required=True, help="Column: how it came out, what is to be predicted.")
@click.option("--label-from", "label_file", type=click.Path(path_type=Path),
              help="Another file that holds label and known-at, by the same key.")
@click.option("--known-at", help="Column: when the outcome became known.")
@click.option("--key", help="Column: names each event.  [default: a column called an id whose "
              "values are all there, once]")
@click.option("--zone", help="Of instants that name no time zone: Europe/Berlin.  [default: UTC, "
              "and the declaration says so]")
@click.option("--layout", help="How instants are written, as for Python's strptime, or seconds, "
              "milliseconds or microseconds since 1970.  [default: found out]")
@click.option("--target", type=click.Choice(["binary", "classes", "number"]),
              help="What kind of label it is.  [default: found out]")
@click.option("--unit", help="What a label that is a number is counted in: EUR, min.")
@click.option("--after", type=Span(), help="How long after its event an outcome becomes known: "
              "7d, 36h.  [default: what known-at shows; without it an eighth of the time, at most "
              "7d]")
def new(file: Path, label_file: Path | None, **said: object) -> None:
    """Declare the system NAME from a file of past events.

    Reads the file, finds out types, windows, delays and what kind of label it is, and writes
    systems/NAME/ and a test. Every choice is explained in a comment; change what you know better.

    \b
    Example: online orders, some of which come back weeks later
      ml-assets new returns --from returns.csv --timestamp ordered_at \\
          --entity buyer --entity product --label returned --known-at returned_at

    \b
    The outcomes in a file of their own:
      ml-assets new delays --from orders.csv --timestamp ordered_at --entity buyer \\
          --key order_id --label is_late --label-from deliveries.csv --known-at delivered_at
    """
    from ml_assets.core.project import project, read_project
    from ml_assets.projects.new import Request
    from ml_assets.projects.new import new as declare
    from ml_assets.projects.telling import told

    home = project()
    if read_project(home.folder) is None:
        raise click.UsageError(f"{home.folder} is no project: `ml-assets init <folder>` makes one")
    made, written = declare(Request(file=file, label_file=label_file, **said), home)  # type: ignore[arg-type]
    for line in told(made):
        click.echo(line)
    for path in written:
        click.echo(f"wrote {path.relative_to(home.folder)}")
    click.echo(f"Next: ml-assets check {made.name}, then ml-assets run {made.name}")


@click.command()
@click.argument("system")
def check(system: str) -> None:
    """Say what will not work in SYSTEM, before anything runs.

    Reads its recorded history: do rows fit the declaration, is the history long enough to train
    on, do entities come back, does a column know the outcome or the future? One line for each
    finding: ok, warn or fail, and what to do. Exit status 1 if anything fails.

    \b
    Example:
      ml-assets check returns
    """
    from ml_assets.projects.check import examine
    from ml_assets.systems import find

    findings = list(examine(find(system)))
    for each in findings:
        click.echo(str(each))
    sys.exit(any(each.level == "fail" for each in findings))
