"""Whatever a cursor holds, each tick comes to a decision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_assets.automation.attempts import ASKED_TAG, cursor_of, in_cursor, last_attempt
from ml_assets.automation.dead_runs import DIED_TAG, report_stopped

NOW = datetime(2024, 1, 10, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)
JOB = "toy_retraining"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["attempted_at", "x"]), inner),
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@given(st.text() | json_values.map(json.dumps))
@example("2024-01-09T00:00:00+00:00")
@example('{"attempted_at": "2024-01-09"}')
@example('{"attempted_at": 5}')
@example("[" * 100_000)
@example("1" * 10_000)
@example('{"attempted_at": "0001-01-01T00:00:00+23:59"}')
@example('{"attempted_at": "9999-12-31T23:59:59-23:59"}')
def test_no_text_of_a_cursor_raises(cursor: str) -> None:
    """It is an attempt in the past or none; what is wrong is said in one line."""
    at, wrong = in_cursor(cursor, NOW)
    assert at is None or at <= NOW
    assert wrong is None or ("it is reset" in wrong and len(wrong) < 1000)
    assert at is None or wrong is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_cursor_of_ours_is_read_back_unless_it_lies_ahead_of_the_clock(at: datetime) -> None:
    """An instant in the future is no attempt: it would keep the sensor waiting until then."""
    found, wrong = in_cursor(cursor_of(at), NOW)
    assert (found, wrong is None) == ((at, True) if at <= NOW else (None, False))
    assert in_cursor(cursor_of(None), NOW) == (None, None)


def run(instance: dg.DagsterInstance, asked_at: object, *, died: bool = False) -> None:
    instance.add_run(dg.DagsterRun(
        job_name=JOB, status=dg.DagsterRunStatus.FAILURE,
        tags={ASKED_TAG: str(asked_at), **({DIED_TAG: "killed"} if died else {})},
    ))


def test_a_failed_run_is_an_attempt_and_one_that_died_is_none(
    instance: dg.DagsterInstance,
) -> None:
    """The reason of the dead run fires again at once, not after the cooldown."""
    run(instance, BEFORE.isoformat())
    assert last_attempt(instance, JOB, NOW) == BEFORE
    run(instance, NOW.isoformat(), died=True)
    assert last_attempt(instance, JOB, NOW, by_cursor=NOW) == BEFORE


def test_the_second_death_in_a_row_waits_for_the_cooldown(instance: dg.DagsterInstance) -> None:
    """A training that kills its machine must not do so every thirty seconds."""
    run(instance, BEFORE.isoformat(), died=True)
    assert last_attempt(instance, JOB, NOW) is None
    run(instance, NOW.isoformat(), died=True)
    assert last_attempt(instance, JOB, NOW) == NOW


def test_a_run_that_a_person_started_and_that_died_is_no_second_death(
    instance: dg.DagsterInstance,
) -> None:
    """No reason asked for it, so it keeps none waiting."""
    run(instance, NOW.isoformat(), died=True)
    for tags in ({DIED_TAG: "killed"}, {}):
        instance.add_run(dg.DagsterRun(
            job_name=JOB, status=dg.DagsterRunStatus.FAILURE, tags=tags))
        assert last_attempt(instance, JOB, NOW, by_cursor=NOW) is None


@pytest.mark.parametrize("stage", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE])
def test_a_training_that_was_stopped_with_its_replay_is_no_attempt(
    instance: dg.DagsterInstance, stage: dg.DagsterRunStatus
) -> None:
    """Ctrl-C says nothing against the reason: the next run goes on with it, after a death too."""
    run(instance, BEFORE.isoformat(), died=True)
    stopped = instance.add_run(dg.DagsterRun(
        job_name=JOB, status=stage, tags={ASKED_TAG: NOW.isoformat()}))
    report_stopped(instance, stopped.run_id)
    assert last_attempt(instance, JOB, NOW) is None
    found = instance.get_run_by_id(stopped.run_id)
    assert found is not None and found.status == dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize("said", ["", "yesterday", "2024-01-09", (NOW + timedelta(1)).isoformat()])
def test_a_tag_that_is_no_instant_in_the_past_is_no_attempt(
    instance: dg.DagsterInstance, said: str
) -> None:
    """Tags of a run can be written by hand."""
    run(instance, said)
    assert last_attempt(instance, JOB, NOW, by_cursor=BEFORE) == BEFORE
