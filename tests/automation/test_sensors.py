"""Each tick says what it saw; one reason leads to one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ml_assets.automation.jobs import RETRAINING
from ml_assets.automation.sensors import build, next_closed_day
from ml_assets.core.runtime.locks import alone
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY, EventClock, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import note_load
from ml_assets.ingest.log.served import to_us
from ml_assets.ingest.tables import known_schema, outcomes_schema
from ml_assets.systems.spam import SPAM
from tests.toy import TOY

LABELS = known_schema(TOY)
OUTCOMES = outcomes_schema(TOY)

NOW = datetime(2024, 1, 10, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def at_noon(settings: Settings) -> Settings:
    EventClock(settings.clock_file(TOY.name)).set(NOW)
    return settings


def label(settings: Settings, count: int, known_at: datetime) -> None:
    """So many events get their label at `known_at`."""
    rows = [(f"e{n}", known_at, known_at, True, "feedback") for n in range(count)]
    Lake(settings.lake).write("toy", "labels", known_at.date(),
                              pd.DataFrame(rows, columns=LABELS.names), LABELS)


def trained(settings: Settings, at: datetime) -> None:
    """A training set was built at this instant."""
    folder = TrainingSets(settings, TOY).folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps({"as_of": at.isoformat()}))


def tick(
    name: str, settings: Settings, instance: dg.DagsterInstance
) -> tuple[list[str], str, dict[str, str]]:
    """(why, for each run that is asked for; why not; the tags of the last of these runs)"""
    [automaton] = [one for one in build(TOY) if one.name == name]
    resources = {"settings": settings}
    if isinstance(automaton, dg.SensorDefinition):
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            ticked: Any = automaton.evaluate_tick(context)
    else:
        with dg.build_schedule_context(instance=instance, resources=resources) as scheduled:
            # It opens an instance by its reference, which one in memory lacks.
            held: Any = scheduled
            held._instance, held._instance_ref = instance, True
            ticked = automaton.evaluate_tick(scheduled)
    asked = [request.tags for request in ticked.run_requests or []]
    return ([tags["ml_assets/why"] for tags in asked], ticked.skip_message or "",
            asked[-1] if asked else {})


def test_enough_feedback_asks_for_one_training_and_says_the_numbers(
    at_noon: Settings, instance: dg.DagsterInstance
) -> None:
    """Threshold 50: 60 labels fire; while the daemon launches the run, nobody asks again."""
    trained(at_noon, NOW - timedelta(days=5))
    label(at_noon, 60, NOW - timedelta(hours=12))
    why, _, tags = tick("toy_feedback_sensor", at_noon, instance)
    assert len(why) == 1 and "60 labels" in why[0] and "threshold 50" in why[0]
    again, reason, _ = tick("toy_feedback_sensor", at_noon, instance)
    assert again == [] and "in progress" in reason
    instance.add_run(dg.DagsterRun(job_name=RETRAINING.format("toy"), tags=tags,
                                   status=dg.DagsterRunStatus.FAILURE))
    again, reason, _ = tick("toy_feedback_sensor", at_noon, instance)
    assert again == [] and "failed (1 in a row)" in reason and "back-off 1 day" in reason


def test_too_little_feedback_is_said_to_be_too_little(
    at_noon: Settings, instance: dg.DagsterInstance
) -> None:
    """The tick of a quiet day is readable in the UI."""
    trained(at_noon, NOW - timedelta(days=5))
    label(at_noon, 20, NOW - timedelta(hours=12))
    why, reason, _ = tick("toy_feedback_sensor", at_noon, instance)
    assert why == [] and "20 of 50 labels matured" in reason


def test_labels_known_before_the_last_training_do_not_count_again(
    at_noon: Settings, instance: dg.DagsterInstance
) -> None:
    """They are in the model already."""
    label(at_noon, 60, NOW - timedelta(days=6))
    trained(at_noon, NOW - timedelta(days=5))
    why, reason, _ = tick("toy_feedback_sensor", at_noon, instance)
    assert why == [] and "0 of 50" in reason


def test_no_second_training_is_asked_for_while_one_is_under_way(
    at_noon: Settings, instance: dg.DagsterInstance
) -> None:
    """Never two trainings of one system at once."""
    trained(at_noon, NOW - timedelta(days=5))
    label(at_noon, 60, NOW - timedelta(hours=12))
    instance.add_run(dg.DagsterRun(job_name=RETRAINING.format("toy"),
                                   status=dg.DagsterRunStatus.STARTED))
    why, reason, _ = tick("toy_feedback_sensor", at_noon, instance)
    assert why == [] and "in progress" in reason


def test_the_drift_sensor_leaves_feedback_to_the_other_sensor(
    at_noon: Settings, instance: dg.DagsterInstance
) -> None:
    """One reason leads to one run, not to one from each sensor."""
    trained(at_noon, NOW - timedelta(days=5))
    label(at_noon, 60, NOW - timedelta(hours=12))
    why, reason, _ = tick("toy_drift_sensor", at_noon, instance)
    assert why == [] and "60 labels" in reason and "another automaton" in reason


def test_the_sensors_of_the_daemon_rest_while_history_is_replayed(
    at_noon: Settings, instance: dg.DagsterInstance
) -> None:
    """The replay asks them itself, on its own clock; two trainings would follow otherwise."""
    label(at_noon, 60, NOW - timedelta(hours=12))
    with alone(at_noon, TOY.name):
        why, reason, _ = tick("toy_feedback_sensor", at_noon, instance)
        assert why == [] and "a replay is under way" in reason
        why, _, _ = tick("toy_feedback_sensor", replace(at_noon, in_replay=True), instance)
        assert len(why) == 1
    with alone(at_noon, "meter"):
        why, _, _ = tick("toy_feedback_sensor", at_noon, instance)
        assert len(why) == 1, "the replay of another system is none of its business"


def test_the_oldest_closed_day_that_is_not_taken_in_comes_next(settings: Settings) -> None:
    """Also one that failed half-way; never a day that is still open."""
    first = SPAM.calendar.first_day
    noon = midnight(first) + 2.5 * DAY
    assert next_closed_day(SPAM, settings, noon) == first
    taken_in(settings, first, views=-1)
    assert next_closed_day(SPAM, settings, noon) == first, "a view is not loaded"
    taken_in(settings, first)
    assert next_closed_day(SPAM, settings, noon) == first + DAY
    assert next_closed_day(SPAM, settings, midnight(first) + 1.5 * DAY) is None


def test_the_last_day_of_a_calendar_is_taken_in_too(settings: Settings) -> None:
    """It is a day of the system's; none comes after it, however late it is."""
    first = SPAM.calendar.first_day
    short = replace(SPAM, calendar=replace(SPAM.calendar, go_live=first + DAY,
                                           last_day=first + DAY))
    taken_in(settings, first)
    late = midnight(first) + 9 * DAY
    assert next_closed_day(short, settings, late) == first + DAY
    taken_in(settings, first + DAY)
    Lake(settings.lake).write("spam", "outcomes", first + DAY,
                              pd.DataFrame(columns=OUTCOMES.names), OUTCOMES)
    assert next_closed_day(short, settings, late) is None


def test_a_live_day_is_taken_in_once_its_outcomes_are_there(settings: Settings) -> None:
    """From going live on, features alone are not enough."""
    lake, live = Lake(settings.lake), SPAM.calendar.go_live
    for offset in range((live - SPAM.calendar.first_day).days + 1):
        taken_in(settings, SPAM.calendar.first_day + offset * DAY)
    later = midnight(live) + 3 * DAY
    assert next_closed_day(SPAM, settings, later) == live
    lake.write("spam", "outcomes", live, pd.DataFrame(columns=OUTCOMES.names), OUTCOMES)
    assert next_closed_day(SPAM, settings, later) == live + DAY


def taken_in(settings: Settings, day: date, views: int | None = None) -> None:
    """Labels are in the lake and all feature views, or so many, loaded up to the day's end."""
    labels = pd.DataFrame(columns=LABELS.names)
    Lake(settings.lake).write("spam", "labels", day, labels, LABELS)
    with closing(EventLog(settings.event_log)) as log:
        for view in load_manifest(settings).service(SPAM).views[:views]:
            note_load(log.connection, view.name, view.definition, to_us(midnight(day)),
                      to_us(midnight(day) + DAY))


def test_a_training_that_was_begun_after_the_clock_is_no_training(
    at_noon: Settings, instance: dg.DagsterInstance
) -> None:
    """The clock was set back: what is known now has not been learnt from."""
    trained(at_noon, NOW + timedelta(days=3650))
    label(at_noon, 60, NOW - timedelta(hours=12))
    why, _, _ = tick("toy_feedback_sensor", at_noon, instance)
    assert len(why) == 1
