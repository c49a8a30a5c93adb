"""`ml-assets alerts`: what stands, what was told and what waits to be, and a message as a trial."""

from __future__ import annotations

import sys

import click

from ml_assets.core.settings import Settings


@click.group()
def alerts() -> None:
    """What is wrong, who was told, and whether messages arrive."""


@alerts.command(name="list")
@click.argument("system", required=False)
def listed(system: str | None) -> None:
    """Show what stands for SYSTEM, or for all, and the latest messages."""
    from ml_assets.monitoring.alerts.telling import record_of
    from ml_assets.systems import SYSTEMS, find

    settings = Settings.from_environment()
    for each in SYSTEMS if system is None else (find(system),):
        record = record_of(each, settings)
        standing = record.open()
        click.echo(f"{each.name}: {len(standing) or 'nothing'} stands")
        for problem in standing:
            click.echo(f"  {problem.cause} since {problem.since:%Y-%m-%d %H:%M}: {problem.title}")
        for delivery in record.deliveries(10):
            state = f"delivered {delivery.done_at:%Y-%m-%d %H:%M}" if delivery.done_at else (
                f"waits, {delivery.attempts} attempts; {delivery.error}")
            click.echo(f"  {delivery.at:%Y-%m-%d %H:%M} {delivery.news} {delivery.problem.cause} "
                       f"by {delivery.channel}: {state}")


@alerts.command(name="test")
@click.argument("system")
def trial(system: str) -> None:
    """Send a message that says it is a test to whom SYSTEM's alerts go."""
    from ml_assets.core.time import WallClock
    from ml_assets.monitoring.alerts.channels import channels_of
    from ml_assets.monitoring.alerts.telling import attempt_at, trial_message
    from ml_assets.systems import find

    settings = Settings.from_environment()
    channels = channels_of(settings)
    if not channels:
        raise click.UsageError(
            "nobody is told: set ML_ASSETS_WEBHOOK or ML_ASSETS_SMTP")
    message = trial_message(find(system), settings, WallClock().now())
    failed = False
    for channel in channels:
        error = attempt_at(channel, message)
        failed |= error is not None
        click.echo(f"{channel.name}: {error or 'delivered'}")
    sys.exit(int(failed))
