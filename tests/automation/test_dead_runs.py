"""A run whose process has died is noticed; its reason fires again, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from ml_assets.automation import dead_runs
from ml_assets.automation.attempts import ASKED_TAG
from ml_assets.automation.dead_runs import (
    DIED_TAG,
    IN_PROGRESS,
    PROCESS_TAG,
    QUEUE_DAEMON,
    report_dead_runs,
)
from ml_assets.automation.jobs import RETRAINING, TRAINING_TAG
from ml_assets.core.runtime.processes import this_process
from ml_assets.core.settings import Settings
from ml_assets.core.time import EventClock
from tests.automation.test_sensors import NOW, label, tick, trained

JOB = RETRAINING.format("toy")
STARTED = dg.DagsterRunStatus.STARTED


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def dead_process() -> str:
    """The name of a process that has been killed."""
    code = ("import time; from ml_assets.core.runtime.processes import this_process;"
            "print(this_process(), flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        name = one.stdout.readline().strip()
        one.kill()
    return name


def run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str
) -> dg.DagsterRun:
    return instance.add_run(dg.DagsterRun(
        job_name=JOB, status=status, tags={TRAINING_TAG: "toy", ASKED_TAG: NOW.isoformat(), **tags},
        remote_job_origin=RemoteJobOrigin(
            RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("nowhere", port=1), "all"), JOB),
    ))


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


@pytest.mark.parametrize("stage", IN_PROGRESS)
def test_a_run_whose_process_was_killed_is_reported_failed_at_every_stage(
    instance: dg.DagsterInstance, stage: dg.DagsterRunStatus
) -> None:
    """NOT_STARTED as STARTED: a kill comes at any instant."""
    dead = run(instance, stage, **{PROCESS_TAG: dead_process()})
    alive = run(instance, stage, **{PROCESS_TAG: this_process()})
    assert [found.run_id for found in report_dead_runs(instance)] == [dead.run_id]
    assert status(instance, dead) == dg.DagsterRunStatus.FAILURE
    assert status(instance, alive) == stage
    tagged = instance.get_run_by_id(dead.run_id)
    assert tagged is not None and "has died" in tagged.tags[DIED_TAG]
    assert report_dead_runs(instance) == []


@pytest.mark.parametrize("stage", [
    dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, STARTED,
    dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.QUEUED,
])
def test_a_run_of_which_nothing_is_heard_is_dead_after_a_while(
    instance: dg.DagsterInstance, stage: dg.DagsterRunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process never said its name: it has three minutes to do so."""
    left = run(instance, stage)
    assert report_dead_runs(instance) == []
    monkeypatch.setattr(dead_runs, "START_S", 0.0)
    assert [found.run_id for found in report_dead_runs(instance)] == [left.run_id]


class Elsewhere:
    """A launcher that is not Dagster's own."""

    __module__ = "dagster_k8s.launcher"


def test_a_run_that_another_machine_executes_is_left_to_dagster_once_it_is_launched(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever executes it, one that no daemon takes from the queue is dead."""
    monkeypatch.setattr(type(instance), "run_launcher", Elsewhere())
    monkeypatch.setattr(dead_runs, "START_S", 0.0)
    launched = run(instance, STARTED)
    queued = run(instance, dg.DagsterRunStatus.QUEUED)
    assert [found.run_id for found in report_dead_runs(instance)] == [queued.run_id]
    assert status(instance, launched) == STARTED


def test_a_training_that_waits_for_a_living_daemon_waits_on(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four runs at once at most: a queue may be long."""
    from dagster._daemon.types import DaemonHeartbeat

    monkeypatch.setattr(dead_runs, "START_S", 1.0)
    run(instance, dg.DagsterRunStatus.QUEUED)
    instance.add_daemon_heartbeat(
        DaemonHeartbeat(time.time() + 2, QUEUE_DAEMON, None, None))
    time.sleep(1.1)
    assert report_dead_runs(instance) == []
    instance.add_daemon_heartbeat(
        DaemonHeartbeat(time.time() - 2, QUEUE_DAEMON, None, None))
    assert len(report_dead_runs(instance)) == 1


def test_the_reason_of_a_dead_training_fires_again_exactly_once(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    """The next tick notices the death and asks anew; the one after it meets the new training."""
    EventClock(settings.clock_file("toy")).set(NOW)
    trained(settings, NOW - timedelta(days=5))
    label(settings, 60, NOW - timedelta(hours=12))
    why, _, tags = tick("toy_feedback_sensor", settings, instance)
    assert len(why) == 1
    run(instance, STARTED, **tags, **{PROCESS_TAG: dead_process()})
    why, _, tags = tick("toy_feedback_sensor", settings, instance)
    assert len(why) == 1, "it is asked for again, in spite of the cooldown"
    again = run(instance, STARTED, **tags, **{PROCESS_TAG: this_process()})
    why, reason, _ = tick("toy_feedback_sensor", settings, instance)
    assert why == [] and "in progress" in reason
    instance.report_run_failed(again)
    why, reason, _ = tick("toy_feedback_sensor", settings, instance)
    assert why == [] and "back-off" in reason


REAL = """
import sys, time
from pathlib import Path
import dagster as dg

@dg.asset
def slow():
    Path(sys.argv[1]).touch()
    time.sleep(60)

with dg.DagsterInstance.get() as instance:
    dg.materialize([slow], instance=instance)
"""


def test_a_real_run_that_was_killed_is_known_by_the_process_that_dagster_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of the daemon carry no tag of ours."""
    home, begun = tmp_path / "home", tmp_path / "begun"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", REAL, str(begun)],
                               env={**os.environ}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with dg.DagsterInstance.get() as instance:
        assert report_dead_runs(instance) == []
        assert instance.get_runs_count(dg.RunsFilter(statuses=IN_PROGRESS)) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(report_dead_runs(instance)) == 1
        assert instance.get_runs_count(dg.RunsFilter(statuses=IN_PROGRESS)) == 0
