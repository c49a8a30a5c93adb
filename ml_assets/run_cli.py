"""The commands `ml-assets run`, the closed loop of one system or of several, and `ml-assets
replay`, retraining policies beside each other on recorded days.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.installation import opened
from ml_assets.core.policies import Worth
from ml_assets.core.runtime.interrupts import remembered

INTERRUPTED = 130
"""The exit status of a command stopped by Ctrl-C: 128 plus the signal's number, as in a shell."""


@click.command()
@click.argument("systems", nargs=-1, metavar="[SYSTEM]...")
@click.option("--fresh", is_flag=True, help="Forget all earlier runs of each SYSTEM, and of no "
              "other, and start over. Refused while an API serves the system.")
@click.option("--days", type=click.IntRange(1), help="Stop after this many live days; all "
              "there are, or as many as the system's calendar says, unless given.")
def run(systems: tuple[str, ...], fresh: bool, days: int | None) -> None:
    """Run the closed loop of each SYSTEM on its recorded data, one after the other. Systems that
    share feature views go through the same days together.

    Downloads the data, ingests the history, trains and deploys a first model, starts the real
    API and replays the following weeks as live traffic over HTTP: predictions, their outcomes as
    they become known, sensors, retraining, deployments. Ends with a comparison to the frozen first
    model. Stop it whenever you like (Ctrl-C); rerun the command and it resumes where it stopped.

    SYSTEM may be left out if there is only one. If one of several fails, the others run all the
    same, and the exit status is 1.
    """
    names = _named(systems)
    groups = _together(names)
    failed = [name for group in groups
              if not _ran(group, fresh=fresh, days=days, others=len(groups) > 1) for name in group]
    if len(names) > 1:
        click.echo()
        for name in names:
            click.echo(f"{name}: {'failed, see above' if name in failed else 'done'}")
    if failed:
        sys.exit(1)


def _named(systems: tuple[str, ...]) -> list[str]:
    """The systems to run, each once; the only one there is if none is named."""
    from ml_assets.systems import BROKEN, SYSTEMS

    known = [*(system.name for system in SYSTEMS), *BROKEN]
    if systems:
        return list(dict.fromkeys(systems))
    if len(known) != 1:
        raise click.UsageError(
            f"name the systems to run, one or more of: {', '.join(known)}" if known else
            "there is no system to run yet: see `ml-assets new --help`")
    return known


def _together(names: list[str]) -> list[list[str]]:
    """The names in groups: those in one share feature views."""
    if len(names) == 1:
        return [names]
    from ml_assets.core.runtime.isolation import Fault, attempt
    from ml_assets.replay.together.company import companies
    from ml_assets.systems import SYSTEMS

    sound = [system for name in names for system in SYSTEMS if system.name == name]
    groups = attempt(companies, opened(), sound)
    if isinstance(groups, Fault):  # whoever it concerns says so when it runs
        return [[name] for name in names]
    shared = [[system.name for system in group] for group in groups]
    return [next((group for group in shared if name in group), [name]) for name in names
            if not any(name in group[1:] for group in shared)]


def _ran(names: list[str], *, fresh: bool, days: int | None, others: bool) -> bool:
    """Whether the run succeeded. If there are `others`, its error is shown and stops none."""
    try:
        with remembered() as interrupts:
            from ml_assets.replay.run import run_loop
            from ml_assets.systems import find

            run_loop([find(name) for name in names], opened(), interrupts, fresh=fresh, days=days)
    except KeyboardInterrupt:
        click.echo(f"\nStopped. `ml-assets run {' '.join(names)}` resumes from here.", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not others:
            raise
        kind = "" if isinstance(error, MlAssetsError) else f"{type(error).__name__}: "
        click.echo(f"Error: {', '.join(names)}: {kind}{error}", err=True)
        return False
    return True


@click.command()
@click.argument("system")
@click.option("--policy", "policies", multiple=True, metavar="NAME", help="never, daily, weekly, "
              "drift, performance, labels, cost-aware, declared (the system's own), or "
              "oracle: the cheapest schedule in hindsight. May be repeated; all but 'declared' "
              "unless given.")
@click.option("--fault", "faults", multiple=True, metavar="NAME[@DATE]", help="feature-bug, "
              "broken-candidate, hostile-feedback, label-outage, api-crash or drift, in the middle "
              "unless dated. May be repeated.")
@click.option("--training-costs", type=float, metavar="COST", help="In the unit of the measure, "
              "summed over answers; as declared (`Worth`) unless given.")
@click.option("--measure", metavar="METRIC", help="What is counted, such as 'cost'; the target's "
              "loss, or as declared, unless given.")
@click.option("--prior", type=float, metavar="SHARE", help="What the cost-aware policy expects "
              "before it has seen a retraining, see `Worth`.")
@click.option("--days", type=click.IntRange(1), help="So many live days; all unless given.")
@click.option("--from", "start", type=click.DateTime(["%Y-%m-%d"]), help="The first live day.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write a PNG.")
def replay(
    system: str, policies: tuple[str, ...], faults: tuple[str, ...], training_costs: float | None,
    measure: str | None, prior: float | None, days: int | None, start: datetime | None,
    plot: Path | None,
) -> None:
    """Play retraining policies through SYSTEM's recorded days, offline: the same features,
    training, gates and rollout as in production, without an API. Prints quality against cost.

    Two runs print the same digests.
    """
    from rich.console import Console

    from ml_assets.replay.league import table
    from ml_assets.replay.league.policies import POLICIES
    from ml_assets.replay.league.run import described, ends_of, league
    from ml_assets.systems import find

    found, settings = find(system), opened()
    declared = found.retraining.worth
    costs = training_costs if declared is None or training_costs is not None else (
        declared.training)
    worth = None if costs is None else Worth(
        training=costs, measure=measure or (declared.measure if declared else None),
        prior=prior or (declared.prior if declared else Worth(training=1.0).prior))
    console = Console(highlight=False)
    with console.status("...") as status:
        played = league(found, settings, policies=policies or POLICIES, faults=faults, worth=worth,
                        days=days, live_from=start and start.date(), say=status.update)
    worth = worth or declared
    assert worth is not None  # or the league would have refused
    counted, price = described(found, worth)
    first, last = ends_of(played)
    title = f"{system}, {first} to {last}, {price}" + (f", {', '.join(faults)}" if faults else "")
    console.print(table.table(played, title=title, measure=counted, training=worth.training))
    if plot is not None:
        plot.write_bytes(table.plot(played, title=title, measure=counted,
                                    training=worth.training))
        console.print(f"plot: {plot}")
