"""What triggers the loop: feedback, drift, age, and the end of each day.

All of them ask `retraining.decide`, each for its own kinds of reason; each tick says in words what
it saw and why it fired or did not.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from ml_assets.automation.attempts import attempts_at, claim
from ml_assets.automation.dead_runs import report_dead_runs
from ml_assets.automation.jobs import DAILY, RETRAINING
from ml_assets.automation.retraining import Reason, decide
from ml_assets.core.runtime.locks import asking, replay_elsewhere
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, in_words, midnight

REPLAYING = "a replay is under way: it asks the sensors itself, on its own clock"


def build(system: System) -> list[Any]:
    """The sensors and schedules of a system."""
    return [
        _retraining_sensor(
            system, "feedback", {"first", "labels"}, "Trains the first model, and retrains after "
            f"{system.retraining.after_labels} newly matured labels."
            if system.retraining.after_labels is not None else "Trains the first model.",
        ),
        _retraining_sensor(
            system, "drift", {"drift", "performance"},
            "Retrains when drift is confirmed or live quality has fallen.",
        ),
        _age_schedule(system),
        _daily_schedule(system),
        _alerts_sensor(system),
    ]


def _retraining_sensor(
    system: System, name: str, kinds: Collection[Reason], description: str
) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{system.name}_{name}_sensor",
        job_name=RETRAINING.format(system.name),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description=description,
    )
    def sensor(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.RunRequest | dg.SkipReason:
        return _ask(system, settings, context.instance, kinds)

    return sensor


def _alerts_sensor(system: System) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{system.name}_alerts_sensor",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description=f"Tells {', '.join(system.owners)} what is wrong, and when it is over. Starts "
        "no run.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SkipReason:
        from ml_assets.monitoring.alerts.telling import tell

        if replay_elsewhere(settings, system.name):
            return dg.SkipReason(REPLAYING)
        return dg.SkipReason(tell(system, settings))

    return sensor


def _age_schedule(system: System) -> dg.ScheduleDefinition:
    limit = system.retraining.max_age

    @dg.schedule(
        name=f"{system.name}_age_schedule",
        job_name=RETRAINING.format(system.name),
        cron_schedule="37 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Looks whether a new model is worth its training, and how old the model is"
        + ("." if limit is None else f" (limit {in_words(limit)})."),
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.RunRequest | dg.SkipReason:
        return _ask(system, settings, context.instance, {"age", "worth"})

    return schedule


def _daily_schedule(system: System) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{system.name}_daily_schedule",
        job_name=DAILY.format(system.name),
        cron_schedule="7 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Ingests the oldest closed day that has not been ingested yet.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.RunRequest | dg.SkipReason:
        if replay_elsewhere(settings, system.name):
            return dg.SkipReason(REPLAYING)
        now = settings.clock_of(system.name).now()
        day = next_closed_day(system, settings, now)
        if day is None:
            return dg.SkipReason(
                f"every day that has closed by {now:%Y-%m-%d %H:%M} UTC is ingested"
            )
        if (lender := awaited(system, settings, day)) is not None:
            return dg.SkipReason(f"{day} waits for {lender!r}, whose feature views {system.name!r} "
                                 "reads: it has not ingested that day yet")
        return dg.RunRequest(partition_key=day.isoformat())

    return schedule


def awaited(system: System, settings: Settings, day: date) -> str | None:
    """A system whose views this one reads and that has not ingested `day` yet; None if all have."""
    from ml_assets.features.manifest import load_manifest

    for lender in load_manifest(settings).lenders(system):
        behind = next_closed_day(lender, settings, midnight(day) + DAY)
        if behind is not None and behind <= day:
            return lender.name
    return None


def next_closed_day(system: System, settings: Settings, now: datetime) -> date | None:
    """The oldest day, from the calendar's first to yesterday, that is not fully ingested.

    A live day is once its outcomes exist, and any day once all feature views have been loaded up to
    its end: both come late in the day's run, so a day that failed half-way is ingested again.
    """
    from ml_assets.features.loads import watermark
    from ml_assets.features.manifest import load_manifest
    from ml_assets.features.service import View
    from ml_assets.ingest.lake import Lake

    lake = Lake(settings.lake)
    views = [view for view in load_manifest(settings).own(system) if isinstance(view, View)]
    loaded = watermark(settings, views)
    ingested = {
        day for day in lake.days(system.name, "labels")
        if not views or (loaded is not None and midnight(day) + DAY <= loaded)
    }
    served = ingested & set(lake.days(system.name, "outcomes"))
    day, last = system.calendar.first_day, system.calendar.last_day
    end = now.date() if last is None else min(now.date(), last + DAY)
    while day < end:
        done = served if day >= system.calendar.go_live else ingested
        if day not in done:
            return day
        day += timedelta(days=1)
    return None


def next_lent_day(system: System, settings: Settings) -> date:
    """The oldest day of which other systems could not read yet what they read of this one."""
    from ml_assets.features.loads import loaded_until
    from ml_assets.features.manifest import load_manifest
    from ml_assets.features.service import View
    from ml_assets.ingest.lake import Lake

    lake, first = Lake(settings.lake), system.calendar.first_day
    borrowed = load_manifest(settings).borrowed(system)
    loaded = loaded_until(settings, [view for view in borrowed if isinstance(view, View)])
    found = [loaded[view.name].date() if view.name in loaded else first
             for view in borrowed if isinstance(view, View)]
    for view in borrowed:
        there = lake.days(system.name, view.table)
        found.append(there[-1] + DAY if there else first)
    return min(found, default=first)


def _ask(
    system: System, settings: Settings, instance: dg.DagsterInstance, kinds: Collection[Reason]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a training, if there is a reason of these kinds."""
    from ml_assets.automation.situation import gather, judged_at

    if replay_elsewhere(settings, system.name):
        return dg.SkipReason(REPLAYING)
    report_dead_runs(instance)
    with asking(settings, system.name):
        now = settings.clock_of(system.name).now()
        attempts = attempts_at(instance, settings, system.name, RETRAINING.format(system.name),
                               judged_at(system, settings))
        decision = decide(gather(system, settings, now, attempts), system.retraining, kinds)
        if not decision.train:
            return dg.SkipReason(decision.reason)
        return dg.RunRequest(tags={
            "ml_assets/reason": decision.kind, "ml_assets/why": decision.reason,
            **claim(instance, settings, system.name, now),
        })
