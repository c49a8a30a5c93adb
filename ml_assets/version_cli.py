"""The commands `ml-assets report` and `ml-assets reproduce`: one model version, told and made
again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ml_assets.core.installation import opened


@click.command()
@click.argument("system")
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path),
              help="The HTML file to write.  [default: <system>-<version>.html]")
@click.option("--markdown", is_flag=True, help="Print it as Markdown instead.")
@click.option("--open", "show", is_flag=True, help="Open it in a browser.")
def report(
    system: str, version: int | None, output: Path | None, markdown: bool, show: bool
) -> None:
    """Write the model card of a VERSION of SYSTEM (the champion's by default) as a web page.

    What it is for and made of, how good it is on held-out events, what it was not tested on, who
    put it in traffic and how to make it again. The page is one file that needs no network.
    """
    import webbrowser

    from ml_assets.core.storage.files import write_atomically
    from ml_assets.evaluation.card.publishing import written
    from ml_assets.systems import find

    made = written(find(system), opened(), version)
    if markdown:
        click.echo(made.markdown, nl=False)
        return
    path = (output or Path(f"{system}-{made.version}.html")).resolve()
    write_atomically(path, made.page.encode())
    click.echo(path)
    if show:
        webbrowser.open(path.as_uri())


@click.command()
@click.argument("system")
@click.argument("version", type=click.IntRange(min=1))
def reproduce(system: str, version: int) -> None:
    """Make a VERSION of SYSTEM again from its record, and say whether it comes out the same.

    Builds its training set from the lake as of its own instant, trains with the recorded seed and
    number of threads, compares weights and answers, and names what is not as it was: declaration,
    code, packages, data. Registers nothing. Exit status 1 if its answers differ by more than 1e-5.
    """
    from rich.console import Console

    from ml_assets.systems import find
    from ml_assets.training.reproducing.reproduction import reproduce as made_again

    with Console(stderr=True).status(f"{system}: making version {version} again ..."):
        found = made_again(find(system), opened(), version)
    click.echo(f"{system}, version {version}: {SAID[found.verdict]}")
    for name, value in (
        ("data", found.data), ("weights", _apart(found.weights)),
        ("stored example", _apart(found.example)),
        ("held-out rows", f"{found.rows:,}, {_apart(found.held_out)}"),
    ):
        click.echo(f"  {name:<15} {value}")
    for difference in found.differs:
        click.echo(f"  {'differs':<15} {difference}")
    if found.verdict == "different":
        sys.exit(1)


SAID = {"equal": "comes out the same, bit by bit",
        "alike": "answers the same within 1e-5, but not bit by bit",
        "different": "comes out DIFFERENT"}


def _apart(largest: float | None) -> str:
    if largest is None:
        return "cannot be compared"
    return "equal" if largest == 0 else f"differ by at most {largest:.3g}"
