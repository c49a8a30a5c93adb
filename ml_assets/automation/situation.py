"""Gathers the inputs of the retraining decision from the stores. Light: no Feast, no MLflow."""

from __future__ import annotations

from datetime import datetime, timedelta

from ml_assets.automation.retraining import Situation
from ml_assets.core.settings import Settings
from ml_assets.core.system import System


def gather(
    system: System,
    settings: Settings,
    now: datetime,
    *,
    training_in_progress: bool,
    attempted_at: datetime | None = None,
) -> Situation:
    """The situation of `system` at `now`, from what its assets have stored.

    attempted_at: when a training was last requested, if the caller remembers
    """
    from ml_assets.monitoring.drift_report import DriftReports
    from ml_assets.monitoring.performance import PerformanceReports

    last = last_trained_at(system, settings)
    if last is not None and last > now:
        last = None  # the clock was set back: nothing known now was trained on
    drift = DriftReports(settings, system).latest()
    performance = PerformanceReports(settings, system).latest()
    return Situation(
        now=now,
        new_labels=new_labels(system, settings, last, now),
        last_trained_at=last,
        training_in_progress=training_in_progress,
        attempted_at=attempted_at,
        drift_confirmed=drift.confirmed if drift else (),
        drift_confirmed_at=drift.confirmed_at if drift else None,
        fallen_at=performance.fallen_at if performance else None,
        champion_age=champion_age(system, settings, now),
    )


def last_trained_at(system: System, settings: Settings) -> datetime | None:
    """As of when the training set of the latest training with a verdict was built, if any."""
    from ml_assets.features.training_sets.training_set import TrainingSets

    return TrainingSets(settings, system).concluded_as_of()


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


def champion_age(system: System, settings: Settings, now: datetime) -> timedelta | None:
    """Time since the champion first shipped, right after its training; None if nothing has.

    A rollback puts an old model back in force but does not make it younger.
    """
    from ml_assets.registry.deployments import Deployments

    history = Deployments(settings.deployments).history(system.name)
    if not history:
        return None
    return now - min(record.at for record in history if record.version == history[-1].version)
