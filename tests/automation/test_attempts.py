"""What runs and requests tell of the trainings that nobody has judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ml_assets.automation import attempts as module
from ml_assets.automation.attempts import (
    ASKED_TAG,
    KEY,
    REQUEST_TAG,
    Attempts,
    attempts_at,
    claim,
)
from ml_assets.automation.dead_runs import DIED_TAG, report_stopped
from ml_assets.core.settings import Settings

NOW = datetime(2024, 1, 10, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)
JOB = "toy_retraining"
FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "wall"]), inner),
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(
    instance: dg.DagsterInstance, asked_at: object, *, died: bool = False,
    status: dg.DagsterRunStatus = FAILURE,
) -> None:
    instance.add_run(dg.DagsterRun(
        job_name=JOB, status=status,
        tags={ASKED_TAG: str(asked_at), **({DIED_TAG: "killed"} if died else {})},
    ))


def found(
    instance: dg.DagsterInstance, settings: Settings, judged_at: datetime | None = None
) -> Attempts:
    return attempts_at(instance, settings, "toy", JOB, judged_at)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text() | json_values.map(json.dumps))
@example('{"id": 5, "wall": "2024-01-09"}')
@example('{"id": "a", "wall": "0001-01-01T00:00:00+23:59"}')
@example('{"id": "a", "wall": "9999-12-31T23:59:59-23:59"}')
@example("[" * 100_000)
@example("1" * 10_000)
def test_no_text_of_a_request_raises_or_keeps_a_training_waiting(
    instance: dg.DagsterInstance, settings: Settings, stored: str
) -> None:
    """What is stored may be of another version: then nothing has been asked for."""
    instance.daemon_cursor_storage.set_cursor_values({KEY.format("toy"): stored})
    assert found(instance, settings) == Attempts()


def test_a_failed_run_is_an_attempt_and_one_that_died_is_none(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    """The reason of the dead run fires again at once, not after the cooldown."""
    run(instance, BEFORE.isoformat())
    assert found(instance, settings) == Attempts(at=BEFORE, failed=1)
    run(instance, NOW.isoformat(), died=True)
    assert found(instance, settings) == Attempts(at=BEFORE, failed=1)


def test_the_second_death_in_a_row_counts(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    """A training that kills its machine must not do so every thirty seconds."""
    run(instance, BEFORE.isoformat(), died=True)
    assert found(instance, settings) == Attempts()
    run(instance, NOW.isoformat(), died=True)
    assert found(instance, settings) == Attempts(at=NOW, failed=1)


def test_failures_count_since_the_last_candidate_that_was_judged(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    """A run that a gate stopped has failed for Dagster, and has judged its candidate."""
    for hours in range(4):
        run(instance, (BEFORE + timedelta(hours=hours)).isoformat())
    assert found(instance, settings) == Attempts(at=BEFORE + timedelta(hours=3), failed=4)
    assert found(instance, settings, BEFORE + timedelta(hours=1)) == Attempts(
        at=BEFORE + timedelta(hours=3), failed=2)
    run(instance, NOW.isoformat(), status=SUCCESS)
    assert found(instance, settings, BEFORE + timedelta(hours=1)) == Attempts()


def test_a_run_that_a_person_started_and_that_died_is_no_second_death(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    """No reason asked for it, so it keeps none waiting."""
    run(instance, NOW.isoformat(), died=True)
    for tags in ({DIED_TAG: "killed"}, {}):
        instance.add_run(dg.DagsterRun(job_name=JOB, status=FAILURE, tags=tags))
        assert found(instance, settings) == Attempts()


@pytest.mark.parametrize("stage", [dg.DagsterRunStatus.STARTED, FAILURE])
def test_a_training_that_was_stopped_with_its_replay_is_no_attempt(
    instance: dg.DagsterInstance, settings: Settings, stage: dg.DagsterRunStatus
) -> None:
    """Ctrl-C says nothing against the reason: the next run goes on with it, after a death too."""
    run(instance, BEFORE.isoformat(), died=True)
    stopped = instance.add_run(dg.DagsterRun(
        job_name=JOB, status=stage, tags={ASKED_TAG: NOW.isoformat()}))
    report_stopped(instance, stopped.run_id)
    assert found(instance, settings) == Attempts()
    ended = instance.get_run_by_id(stopped.run_id)
    assert ended is not None and ended.status == FAILURE


@pytest.mark.parametrize("said", ["", "yesterday", "2024-01-09", "9999-12-31T23:59:59-23:59"])
def test_a_tag_that_is_no_instant_is_no_attempt(
    instance: dg.DagsterInstance, settings: Settings, said: str
) -> None:
    """Tags of a run can be written by hand."""
    run(instance, BEFORE.isoformat())
    run(instance, said)
    assert found(instance, settings) == Attempts(at=BEFORE, failed=1)


class At:
    """A wall clock that stands where it is put."""

    at = NOW

    def now(self) -> datetime:
        return self.at


def test_a_request_whose_run_has_not_come_holds_everybody_back_for_a_while(
    instance: dg.DagsterInstance, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon may be killed between the tick and the run: then the reason fires again."""
    monkeypatch.setattr(module, "WallClock", At)
    monkeypatch.setattr(At, "at", NOW)
    tags = claim(instance, settings, "toy", BEFORE)
    assert found(instance, settings).in_progress
    assert not attempts_at(instance, settings, "meter", "meter_retraining", None).in_progress
    assert not found(instance, replace(settings, in_replay=True)).in_progress
    for jump in (timedelta(minutes=4), -timedelta(days=1)):
        monkeypatch.setattr(At, "at", NOW + jump)
        assert found(instance, settings) == Attempts(), "lost"
    monkeypatch.setattr(At, "at", NOW)
    instance.add_run(dg.DagsterRun(job_name=JOB, status=FAILURE, tags=tags))
    assert tags[REQUEST_TAG]
    assert found(instance, settings) == Attempts(at=BEFORE, failed=1), "it has come, and failed"
