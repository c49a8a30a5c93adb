"""Takes a system out of Dagster: its runs with their events, and what they materialised."""

from __future__ import annotations

import dagster as dg

from ml_assets.automation.dead_runs import IN_PROGRESS, report_dead_runs
from ml_assets.automation.jobs import names_of
from ml_assets.core.errors import NotReady

AT_ONCE = 100


def require_idle(instance: dg.DagsterInstance, system: str) -> None:
    """Raise NotReady if a run of the system is in progress; a dead one is reported first."""
    report_dead_runs(instance)
    for job in names_of(system):
        for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=IN_PROGRESS), limit=1):
            raise NotReady(f"run {run.run_id} of job {job} is in progress: wait for it, or stop it "
                           "in the Dagster UI (`ml-assets ui`)")


def forget(instance: dg.DagsterInstance, system: str) -> None:
    """Delete the runs of the system's jobs, and wipe its assets. Can be repeated.

    Its sensors and schedules stay as switched on or off: they are a person's decision.
    """
    for job in names_of(system):
        while runs := instance.get_runs(dg.RunsFilter(job_name=job), limit=AT_ONCE):
            for run in runs:
                instance.delete_run(run.run_id)
    keys = [key for key in instance.get_asset_keys() if key.path[0] == system]
    if keys:
        instance.wipe_assets(keys)
