"""Notices Dagster runs whose process has died, and reports them failed.

Dagster itself notices neither a run that its own process executed (a replay's) nor one whose code
server died with it: such a run would count as in progress forever. Each sensor tick and each start
of a replay checks here first, so a dead run is noticed within one tick, 30 seconds.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord  # what get_run_records returns

from ml_assets.automation.jobs import TRAINING_TAG
from ml_assets.core.runtime.processes import has_lived_since, is_alive
from ml_assets.core.time import WallClock

IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

PROCESS_TAG = "ml_assets/process"
"""The process that executes a run, as `core.processes` names it; a replay's runs carry it."""
DIED_TAG = "ml_assets/died"
"""Why a dead run died."""

STOPPED_TAG = "ml_assets/stopped"
"""Marks a run that ended because its replay was told to stop."""

START_S = 180.0
"""How long a run without a known process may take to start, or a training may wait in a queue that
no daemon serves, before it counts as dead. A daemon sends a heartbeat every 30 s.
"""

QUEUE_DAEMON = "QUEUED_RUN_COORDINATOR"


def report_dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Report every dead run of the instance failed, tagged DIED_TAG; return them."""
    dead = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS)):
        cause = _cause_of_death(instance, record)
        if cause is None:
            continue
        # It may have succeeded since it was listed; a dead process no longer changes anything.
        run = instance.get_run_by_id(record.dagster_run.run_id)
        if run is None or run.status not in IN_PROGRESS:
            continue
        instance.add_run_tags(run.run_id, {DIED_TAG: cause})
        instance.report_run_failed(run, f"{cause}; the run did not end by itself")
        dead.append(run)
    return dead


def report_stopped(instance: dg.DagsterInstance, run_id: str) -> None:
    """Tag a run that its replay was told to stop STOPPED_TAG: it failed, it did not die."""
    run = instance.get_run_by_id(run_id)
    if run is not None:
        instance.add_run_tags(run_id, {STOPPED_TAG: "interrupted"})
        if run.status in IN_PROGRESS:
            instance.report_run_failed(run, "the replay was told to stop")


def _cause_of_death(instance: dg.DagsterInstance, record: RunRecord) -> str | None:
    """Why the run can no longer be in progress; None if it may be."""
    run = record.dagster_run
    process = run.tags.get(PROCESS_TAG)
    if process is not None:
        return None if is_alive(process) else f"process {process.partition('@')[0]} has died"
    waited = WallClock().now().timestamp() - record.create_timestamp.timestamp()
    if run.status == dg.DagsterRunStatus.QUEUED:
        # A backfill that waits for the daemon blocks nothing; a training does.
        if TRAINING_TAG in run.tags and waited > START_S and not _queue_served(instance):
            return "no daemon has served the queue"
        return None
    if not type(instance.run_launcher).__module__.startswith("dagster."):
        return None  # as with Ray and Kubernetes: it runs elsewhere, where Dagster looks after it
    started = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_START)
    for entry in started[-1:]:
        pid = entry.dagster_event.pid if entry.dagster_event else None
        if pid is not None:
            alive = has_lived_since(pid, entry.timestamp)
            return None if alive else f"process {pid} has died"
    return None if waited <= START_S else f"no process started it within {START_S:g} s"


def _queue_served(instance: dg.DagsterInstance) -> bool:
    beat = instance.get_daemon_heartbeats().get(QUEUE_DAEMON)
    return beat is not None and WallClock().now().timestamp() - beat.timestamp <= START_S
