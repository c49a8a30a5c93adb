"""Whatever happens: every reason is answered by a judged candidate, or waits visibly; none twice.

Real Dagster instances and the real sensors over random histories: labels, alarms, trainings that
are judged, refused, fail, die or get lost with their daemon, automata that a person stops, and
clocks that jump.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ml_assets.automation import attempts
from ml_assets.automation.dead_runs import DIED_TAG
from ml_assets.automation.jobs import RETRAINING
from ml_assets.automation.retraining import LATEST_AGAIN
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY, EventClock, midnight
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import known_schema
from ml_assets.monitoring.drift.judge import ColumnDrift
from ml_assets.monitoring.drift_report import DriftReport, DriftReports
from tests.automation.test_sensors import tick
from tests.toy import TOY

LABELS = known_schema(TOY)
AUTOMATA = ("toy_feedback_sensor", "toy_drift_sensor", "toy_age_schedule")
HOUR = timedelta(hours=1)
LOOKS = 4
"""Hours between the ticks of an automaton."""
POLICY = TOY.retraining
assert POLICY.after_labels is not None and POLICY.max_age is not None


class Wall:
    """The machine's clock, which passes with the system's and does not jump with it."""

    at = midnight(TOY.calendar.go_live)

    def now(self) -> datetime:
        return Wall.at


@dataclass(kw_only=True)
class World:
    """An installation of the toy, whose trainings end as the history says.

    known: labels of the open day; learnt_days: the last closed day that a judged training knew
    """

    settings: Settings
    instance: dg.DagsterInstance
    day: date = TOY.calendar.go_live
    known: int = 0
    learnt_days: date | None = None
    drifts_since: date | None = None
    stopped: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    judged: int = 0

    @property
    def clock(self) -> EventClock:
        return EventClock(self.settings.clock_file("toy"))

    def pass_hours(self, hours: int, end: str = "judged", every: int = LOOKS) -> None:
        """Let every automaton look every few hours."""
        for hour in range(0, hours, every):
            passed = min(every, hours - hour) * HOUR
            self.clock.set(self.clock.now() + passed)
            Wall.at += passed
            while midnight(self.day) + DAY <= self.clock.now():
                self.close_day()
            self.look(end)

    def close_day(self) -> None:
        """File what became known, as every night does."""
        rows = [(f"{self.day} {number}", midnight(self.day), midnight(self.day), True, "feedback")
                for number in range(self.known)]
        Lake(self.settings.lake).write("toy", "labels", self.day,
                                       pd.DataFrame(rows, columns=LABELS.names), LABELS)
        column = ColumnDrift(name="amount", effect=1.0, log_e=9.0, reference_missing=0.0,
                             missing=0.0, drifted=True, days=4, confirmed_on=self.day)
        DriftReports(self.settings, TOY).write(DriftReport(
            day=self.day, model_version=1, reference="set", reference_rows=9, rows=9, judged=True,
            columns=(column,) if self.drifts_since else (), confirmed_since=self.drifts_since,
            note=""))
        self.known, self.day = 0, self.day + DAY

    def look(self, end: str) -> None:
        """Each automaton that is on looks; what is asked for ends as `end` says."""
        for name in AUTOMATA:
            if name in self.stopped:
                continue
            why, waits, tags = tick(name, self.settings, self.instance)
            assert len(why) <= 1 and bool(why) != bool(waits)
            if why:
                self.asked.append((tags["ml_assets/reason"], why[0]))
                self.train(tags, end)
                assert end in ("died", "lost") or not tick(name, self.settings, self.instance)[0]

    def train(self, tags: dict[str, str], end: str) -> None:
        """A training: judged or refused, or it fails, dies or never comes."""
        if end == "lost":
            Wall.at += timedelta(minutes=5)  # the daemon was killed, and starts again
            return
        job, reason = RETRAINING.format("toy"), tags["ml_assets/reason"]
        run = self.instance.add_run(dg.DagsterRun(job_name=job, tags=tags,
                                                  status=dg.DagsterRunStatus.STARTED))
        for name in AUTOMATA:
            assert tick(name, self.settings, self.instance)[0] == [], "one at a time"
        if end in ("judged", "refused"):
            self.judge(reason)
        if end == "died":
            self.instance.add_run_tags(run.run_id, {DIED_TAG: "killed"})
        if end == "judged":
            self.instance.handle_new_event(success(run))
        else:
            self.instance.report_run_failed(run)

    def judge(self, reason: str) -> None:
        """No judged candidate was asked for by what an earlier one has answered."""
        sets, now = TrainingSets(self.settings, TOY), self.clock.now()
        last = sets.concluded()
        fresh = [day for day in Lake(self.settings.lake).days("toy", "labels")
                 if self.learnt_days is None or day > self.learnt_days]
        count = len(Lake(self.settings.lake).read(
            "toy", "labels", LABELS, start=fresh[0], end=fresh[-1] + DAY)) if fresh else 0
        if reason == "first":
            assert last is None and count
        if reason == "labels":
            assert count >= (POLICY.after_labels or 0)
        if reason == "drift":
            assert self.drifts_since is not None and last is not None
            again = abs(now - last.as_of) >= POLICY.weigh_again
            assert midnight(self.drifts_since) + DAY > last.until or again
        if reason == "age":
            assert last is not None and now - last.until > (POLICY.max_age or DAY)
        self.learnt_days = self.day - DAY
        self.judged += 1
        sets.folder.mkdir(parents=True, exist_ok=True)
        (sets.folder / "latest.json").write_text(json.dumps({
            "as_of": now.isoformat(), "concluded_as_of": now.isoformat(),
            "concluded_learnt_until": min(now, midnight(self.day)).isoformat()}))


def success(run: dg.DagsterRun) -> dg.EventLogEntry:
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_SUCCESS.value,
                            job_name=run.job_name)
    made: Any = dg.EventLogEntry  # its constructor has no types
    entry: dg.EventLogEntry = made(error_info=None, level=20, user_message="",
                                   run_id=run.run_id, timestamp=0.0, dagster_event=event)
    return entry


@contextmanager
def world() -> Iterator[World]:
    with TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance, (
            pytest.MonkeyPatch.context()) as patch:
        patch.setattr(attempts, "WallClock", Wall)
        made = World(settings=Settings(var=Path(folder) / "var"), instance=instance)
        made.clock.set(midnight(made.day))
        yield made


ENDS = st.sampled_from(["judged", "refused", "failed", "died", "lost"])
STEPS = st.lists(st.one_of(
    st.tuples(st.just("hours"), st.integers(1, 60), ENDS),
    st.tuples(st.just("labels"), st.integers(1, 70)),
    st.tuples(st.just("drift"), st.booleans()),
    st.tuples(st.just("stop"), st.sampled_from(AUTOMATA)),
    st.tuples(st.just("start"), st.sampled_from(AUTOMATA)),
    st.tuples(st.just("jump"), st.integers(-20, 20)),
), max_size=10)


@hypothesis_settings(max_examples=8, deadline=None)
@given(STEPS)
def test_every_reason_is_answered_and_none_twice(steps: list[tuple[object, ...]]) -> None:
    """Once everything works again, what stands is judged within the declared times.

    `World.judge` checks that nothing is judged twice for the same reason.
    """
    with world() as made:
        for step in steps:
            take(made, *step)
        made.stopped.clear()
        # The clock may be behind by all jumps; an attempt ahead of it counts as long again.
        behind = sum(20 for step in steps if step[0] == "jump")
        made.pass_hours(behind + 2 * int(max(LATEST_AGAIN, POLICY.weigh_again) / HOUR) + 48,
                        every=24)
        quiet = [tick(name, made.settings, made.instance)[1] for name in AUTOMATA]
        assert all(said.endswith(": wait") or "wait until" in said for said in quiet)
        assert made.judged or not any(step[0] == "labels" for step in steps)
        if made.judged:
            unlearnt = sum(
                len(Lake(made.settings.lake).read("toy", "labels", LABELS, start=day,
                                                  end=day + DAY))
                for day in Lake(made.settings.lake).days("toy", "labels")
                if made.learnt_days is None or day > made.learnt_days)
            assert unlearnt < (POLICY.after_labels or 0)


def take(made: World, kind: object, *values: object) -> None:
    """One step of a history."""
    match kind, values:
        case "hours", (int(hours), str(end)):
            made.pass_hours(hours, end)
        case "labels", (int(count),):
            made.known += count
        case "drift", (bool(stands),):
            made.drifts_since = (made.drifts_since or made.day) if stands else None
        case "stop", (str(name),):
            made.stopped.add(name)
        case "start", (str(name),):
            made.stopped.discard(name)
        case "jump", (int(hours),):
            made.clock.set(made.clock.now() + hours * HOUR)


def test_a_stopped_automaton_hides_no_reason_of_another() -> None:
    """J1: labels pass the threshold and nobody asks; drift and age follow, and are answered."""
    with world() as made:
        made.known = 60
        made.pass_hours(26)
        assert [kind for kind, _ in made.asked] == ["first"]
        made.stopped.add("toy_feedback_sensor")
        made.known = 60
        made.pass_hours(10 * 24, every=24)
        assert len(made.asked) == 1, "only labels stand, and nobody is there to ask"
        made.drifts_since = made.day
        made.pass_hours(3 * 24)
        assert [kind for kind, _ in made.asked] == ["first", "drift"]
        made.drifts_since = None
        made.pass_hours(15 * 24, every=12)
        assert [kind for kind, _ in made.asked] == ["first", "drift", "age"]


@pytest.mark.parametrize(("alone", "end", "most"), [
    ("toy_age_schedule", "failed", 8), ("toy_drift_sensor", "failed", 8),
    ("toy_feedback_sensor", "died", 9),
])
def test_a_training_that_always_fails_is_asked_for_ever_more_rarely(
    alone: str, end: str, most: int
) -> None:
    """J2: 30 days of ticks, whichever automaton asks. It was asked for 720 times."""
    with world() as made:
        made.known = 60
        made.pass_hours(26)
        made.stopped = set(AUTOMATA) - {alone}
        if alone == "toy_age_schedule":
            made.pass_hours(15 * 24, "refused", every=24)
        made.asked.clear()
        made.known, made.drifts_since = 60, made.day
        made.pass_hours(30 * 24, end, every=6)
        assert 5 <= len(made.asked) <= most
        assert "back-off 7 days" in tick(alone, made.settings, made.instance)[1]


def test_drift_that_stands_after_a_refused_candidate_is_weighed_again_as_declared() -> None:
    """J3: once a week by default, as long as it stands; not in between, and not afterwards."""
    with world() as made:
        made.known = 60
        made.pass_hours(26)
        made.drifts_since = made.day
        made.pass_hours(23 * 24, "refused", every=12)
        assert [kind for kind, _ in made.asked] == ["first", "drift", "drift", "drift", "drift"]
        made.drifts_since = None
        made.pass_hours(10 * 24, "refused", every=24)
        assert len(made.asked) == 5


def test_of_two_automata_that_see_a_reason_at_once_one_asks() -> None:
    """Before the daemon has launched anything: two trainings would follow otherwise."""
    with world() as made:
        made.known, made.drifts_since = 60, made.day
        made.pass_hours(25, "refused")
        made.known = 60
        made.clock.set(made.clock.now() + 2 * DAY)
        made.close_day()
        asked = [name for name in AUTOMATA if tick(name, made.settings, made.instance)[0]]
        assert asked == ["toy_feedback_sensor"]


def test_the_sensors_of_a_policy_without_reasons_never_ask() -> None:
    """Each is there, and says what it sees."""
    from ml_assets.automation.retraining import decide
    from ml_assets.automation.situation import gather

    with world() as made:
        made.known, made.drifts_since = 500, made.day
        made.pass_hours(26)
        never = replace(POLICY, after_labels=None, max_age=None, on_drift=False, on_fall=False)
        made.clock.set(made.clock.now() + 90 * DAY)
        assert not decide(gather(TOY, made.settings, made.clock.now()), never).train
