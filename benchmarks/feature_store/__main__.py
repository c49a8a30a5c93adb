"""Single workloads: `python -m benchmarks.feature_store loading reading --quick`."""

from __future__ import annotations

import sys

import click

from benchmarks.features import WORKS, measure
from ml_assets.bench import show


@click.command()
@click.argument("works", nargs=-1, required=True, type=click.Choice(list(WORKS)))
@click.option("--quick", is_flag=True, help="Small sizes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def main(works: tuple[str, ...], quick: bool, as_json: bool) -> None:
    """Measure these workloads of the feature engine."""
    sys.exit(show(measure(quick=quick, works=works), as_json=as_json))


if __name__ == "__main__":
    main()
