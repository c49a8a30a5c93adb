"""A system never trains twice at once; two systems may train side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator import queued_run_coordinator_daemon as queue

from ml_assets.automation.instance import instance
from ml_assets.automation.jobs import retraining_job
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from tests.tickets import TICKETS
from tests.toy import TOY
from tests.trips import TRIPS

STARTED, QUEUED = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED


@pytest.fixture
def opened(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The installation's own, with its limits."""
    monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_home))
    monkeypatch.setenv("ML_ASSETS_VAR", str(settings.var))
    with instance(settings) as made:
        yield made


def training(
    opened: dg.DagsterInstance, system: System, status: dg.DagsterRunStatus
) -> dg.DagsterRun:
    job = retraining_job(system)
    return opened.add_run(dg.DagsterRun(
        job_name=job.name, status=status,
        tags={name: str(tag) for name, tag in (job.tags or {}).items()},
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(
            GrpcServerCodeLocationOrigin("nowhere", port=1), "all"), job.name),
    ))


def next_of(opened: dg.DagsterInstance) -> list[str]:
    """The jobs whose runs Dagster's daemon would start now."""
    daemon = queue.QueuedRunCoordinatorDaemon(interval_seconds=1)
    runs = daemon._get_runs_to_dequeue(opened, opened.get_concurrency_config(), None)
    return sorted(run.job_name for run in runs)


def test_a_second_training_of_a_system_waits_and_that_of_another_does_not(
    opened: dg.DagsterInstance
) -> None:
    for system in (TRIPS, TRIPS, TICKETS, TICKETS, TRIPS):
        training(opened, system, QUEUED)
    assert next_of(opened) == ["tickets_retraining", "trips_retraining"]


def test_while_a_system_trains_only_others_start(opened: dg.DagsterInstance) -> None:
    running = training(opened, TRIPS, STARTED)
    for system in (TRIPS, TICKETS):
        training(opened, system, QUEUED)
    assert next_of(opened) == ["tickets_retraining"]
    opened.report_run_failed(running)
    assert next_of(opened) == ["tickets_retraining", "trips_retraining"]


def test_no_more_than_four_runs_are_in_progress_at_once(opened: dg.DagsterInstance) -> None:
    """Of whatever systems: it is one machine."""
    for name in ("a", "b", "c", "toy"):
        training(opened, replace(TOY, name=name), STARTED)
    training(opened, TRIPS, QUEUED)
    assert next_of(opened) == []

