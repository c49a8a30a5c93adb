"""Gathers the inputs of the retraining decision from the stores. Light: no Feast, no MLflow."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from ml_assets.automation.retraining import Situation
from ml_assets.automation.worth import Day, ExpectedBenefit, Lag, expected, lag_of
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY

if TYPE_CHECKING:
    from ml_assets.automation.attempts import Attempts
    from ml_assets.features.training_sets.training_set import Learnt
    from ml_assets.registry.deployments import Deployment


def gather(
    system: System, settings: Settings, now: datetime, attempts: Attempts | None = None
) -> Situation:
    """The situation of `system` at `now`, from what its assets have stored.

    attempts: at trainings that have not been judged, if the caller can see runs
    """
    from ml_assets.evaluation.benefits import measure_of
    from ml_assets.monitoring.drift_report import DriftReports
    from ml_assets.monitoring.performance import PerformanceReports
    from ml_assets.registry.deployments import Deployments
    from ml_assets.registry.trials import challenged

    learnt = last_learnt(system, settings, now)
    drift = DriftReports(settings, system).latest()
    performance = PerformanceReports(settings, system).latest()
    history = Deployments(settings.deployments).history(system.name)
    lag, benefit = worth_of(system, settings, learnt, now)
    return Situation(
        now=now,
        new_labels=new_labels(system, settings, None if learnt is None else learnt.until, now),
        last_trained_at=None if learnt is None else learnt.as_of,
        learnt_until=None if learnt is None else learnt.until,
        training_in_progress=attempts is not None and attempts.in_progress,
        attempted_at=None if attempts is None else attempts.at,
        failed=attempts.failed if attempts else 0,
        drift_confirmed=drift.confirmed if drift else (),
        drift_confirmed_at=drift.confirmed_at if drift else None,
        fallen_at=performance.fallen_at if performance else None,
        champion_age=champion_age(history, now, learnt),
        measure="" if system.retraining.worth is None else measure_of(system),
        lag=lag,
        benefit=benefit,
        on_trial=tuple(each.version for each in challenged(history)),
    )


def judged_at(system: System, settings: Settings) -> datetime | None:
    """As of when the training set was built of the latest training with a verdict, if any."""
    from ml_assets.features.training_sets.training_set import TrainingSets

    learnt = TrainingSets(settings, system).concluded()
    return None if learnt is None else learnt.as_of


def last_learnt(system: System, settings: Settings, now: datetime) -> Learnt | None:
    """What the latest training with a verdict knew, if there was one.

    If the clock has been set back since, what counts is the days that it learnt from. If even
    these lie more than a day ahead, nothing that this clock knows was trained on.
    """
    from ml_assets.features.training_sets.training_set import Learnt, TrainingSets

    learnt = TrainingSets(settings, system).concluded()
    if learnt is None or learnt.as_of <= now:
        return learnt
    return None if learnt.until - now > DAY else Learnt(as_of=learnt.until, until=learnt.until)


def new_labels(
    system: System, settings: Settings, since: datetime | None, now: datetime
) -> int:
    """How many distinct events have a label that became known in `[since, now)`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from ml_assets.ingest.lake import Lake
    from ml_assets.ingest.tables import known_schema

    # Columns throughout: every sensor asks this, of all labels since the last training.
    labels = Lake(settings.lake).read_table(
        system.name, "labels", known_schema(system), start=since.date() if since else None,
        end=now.date() + timedelta(days=1), columns=["event_id", "known_at", "basis"],
    )
    known = pc.less(labels["known_at"], pa.scalar(now, labels["known_at"].type))
    if since is not None:
        known = pc.and_(
            known, pc.greater_equal(labels["known_at"], pa.scalar(since, labels["known_at"].type)))
    # As `ingest.identity` has it: history and the API each have ids of their own.
    events = pa.table({"id": labels["event_id"], "old": pc.equal(labels["basis"], "archive")})
    return int(events.filter(known).group_by(["id", "old"]).aggregate([]).num_rows)


def worth_of(
    system: System, settings: Settings, learnt: Learnt | None, now: datetime
) -> tuple[Lag, ExpectedBenefit | None]:
    """How far the model is behind one of today, and what that is expected to cost."""
    from ml_assets.evaluation.benefits import Benefits, answers_in, by_slate
    from ml_assets.features.training_sets.training_set import TrainingSets
    from ml_assets.ingest.lake import Lake
    from ml_assets.ingest.tables import events_schema

    worth = system.retraining.worth
    if worth is None or learnt is None:
        return Lag(), None
    lake, since = Lake(settings.lake), learnt.until.date()

    def answers(day: date) -> int:
        if not by_slate(system):
            return lake.count(system.name, "events", day)
        rows = lake.read_table(system.name, "events", events_schema(system), start=day,
                               end=day + DAY, columns=["event_id"])
        return answers_in(system, rows["event_id"])

    days = [Day(answers=answers(day),
                labels=lake.count(system.name, "labels", day))
            for day in lake.days(system.name, "labels") if since <= day < now.date()]
    seen = TrainingSets(settings, system).latest().labels
    return (lag_of(days, seen=seen, whole=system.model.history is None),
            expected(Benefits(settings, system).known(now), worth.prior))


def champion_age(
    history: list[Deployment], now: datetime, learnt: Learnt | None
) -> timedelta | None:
    """Time since the champion first shipped, right after its training; None if nothing has.

    A rollback puts an old model back in force but does not make it younger. If it shipped after
    `now`, the clock was set back: then since the last training.
    """
    if not history:
        return None
    shipped = min(record.at for record in history if record.version == history[-1].version)
    if shipped > now and learnt is not None:
        return now - learnt.as_of
    return now - shipped
