"""The command `ml-assets audits`: the predictions whose truth is asked for."""

from __future__ import annotations

import click

from ml_assets.core.installation import opened
from ml_assets.core.settings import Settings

NEEDS = ("event_log.sqlite",)


@click.command()
@click.argument("system")
@click.option("--most", default=50, show_default=True, type=click.IntRange(1),
              help="How many to list.")
def audits(system: str, most: int) -> None:
    """List the predictions of SYSTEM that are to be audited, the oldest first.

    The sample is drawn by the ids of predictions (`FeedbackPolicy.audit`). Answer each with what
    was true, by POST /v1/<system>/feedback in the name of the audit's source, before silence
    speaks: later answers correct the label, but no longer count in the estimate of how many
    mistakes are reported.
    """
    from ml_assets.ingest.audits import due
    from ml_assets.ingest.labels import silence_speaks
    from ml_assets.ingest.log.event_log import EventLog
    from ml_assets.systems import find

    settings: Settings = opened(NEEDS)
    found = find(system)
    audit = found.feedback.audit
    if audit is None:
        raise click.ClickException(
            f"{found.name} has no audits; declare FeedbackPolicy(audit=Audit(share=0.02))")
    log = EventLog(settings.event_log)
    try:
        open_ones = list(due(log, found, settings.clock_of(found.name).now()))
    finally:
        log.close()
    click.echo(f"{found.name}: {len(open_ones):,} to be audited (a share of {audit.share:g}, "
               f"answered as {audit.source!r})")
    for each in open_ones[:most]:
        until = silence_speaks(found.truth, each)
        click.echo(f"  {each.prediction_id}  event {each.event_id} of "
                   f"{each.event_timestamp:%Y-%m-%d %H:%M}, answered {each.decision!r}, "
                   f"until {until:%Y-%m-%d %H:%M}")
