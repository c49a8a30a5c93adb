"""What must hold after all kills, checked in the log, the lake and Dagster's records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from benchmarks.fault_load.place import Place
from benchmarks.fault_load.traffic import Traffic
from ml_assets.automation.attempts import ASKED_TAG
from ml_assets.automation.dead_runs import DIED_TAG, IN_PROGRESS, STOPPED_TAG
from ml_assets.automation.instance import instance as instance_of
from ml_assets.automation.jobs import RETRAINING
from ml_assets.automation.retraining import decide
from ml_assets.automation.situation import gather
from ml_assets.core.settings import Settings
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.monitoring.parity import ParityReports
from ml_assets.systems.spam import SPAM

EVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class Verdict:
    """acknowledged: predictions and words of feedback that a client was told are kept

    lost: of these and of the replay's events, not in the log; twice: events with several
    predictions, and words that are there several times; checked, differing: served vectors, and
    those that history does not give again, bit by bit; died: runs that died; unsettled: reasons
    of these that came to no verdict since and stand no more; settled_twice: reasons that came to
    several verdicts; in_progress: runs that still count as in progress
    """

    acknowledged: int
    lost: int
    twice: int
    checked: int = 0
    differing: int = 0
    died: int = 0
    unsettled: list[str] = field(default_factory=list)
    settled_twice: list[str] = field(default_factory=list)
    in_progress: int = 0


def look(place: Place, traffic: Traffic, replayed: Sequence[str]) -> Verdict:
    """replayed: ids of the events that the replay has served so far."""
    settings = place.settings
    log = EventLog(settings.event_log)
    predicted = Counter(each.event_id for each in log.predictions(SPAM.name, *EVER))
    heard = Counter((each.prediction_id, each.source)
                    for each in log.feedback.between(SPAM.name, *EVER))
    log.close()
    found = Verdict(
        acknowledged=len(traffic.answered) + len(traffic.said) + len(replayed),
        lost=sum(event_id not in predicted for event_id in (*traffic.answered, *replayed))
        + sum(word not in heard for word in traffic.said),
        twice=sum(count > 1 for count in (*predicted.values(), *heard.values())),
    )
    for day in Lake(settings.lake).days(SPAM.name, "outcomes"):
        report = ParityReports(settings, SPAM).read(day)
        if report is not None:
            found.checked += report.checked
            found.differing += report.unexplained
    with instance_of(settings) as instance:
        found.in_progress = instance.get_runs_count(dg.RunsFilter(statuses=IN_PROGRESS))
        every = instance.get_runs()
        found.died = sum(DIED_TAG in run.tags for run in every)
        _reasons(instance, found)
        if found.unsettled and _a_reason_stands(place.settings):
            found.unsettled.clear()
    return found


def _a_reason_stands(settings: Settings) -> bool:
    """Whether the sensors request a training, once no other is in progress or too recent.

    The recorded days may end, within seconds, while a training that a killed daemon had queued
    still has the declared time to start; nothing evaluates the sensors after that.
    """
    situation = gather(SPAM, settings, settings.clock_of("spam").now())
    return decide(situation, SPAM.retraining).train


def _reasons(instance: dg.DagsterInstance, found: Verdict) -> None:
    """Each reason for which a training was requested has one verdict by now."""
    runs = list(reversed(instance.get_runs(dg.RunsFilter(
        job_name=RETRAINING.format(SPAM.name)))))
    asked: dict[tuple[str, str], list[bool]] = {}
    for run in runs:
        if ASKED_TAG in run.tags:
            reason = run.tags["ml_assets/reason"], run.tags[ASKED_TAG]
            asked.setdefault(reason, []).append(
                DIED_TAG not in run.tags and STOPPED_TAG not in run.tags)
    for reason, verdicts in asked.items():
        if sum(verdicts) > 1:
            found.settled_twice.append(" at ".join(reason))
        # A reason of another name, or at a later instant, may have been settled in its place.
        later = any(any(told) for (_, at), told in asked.items() if at >= reason[1])
        if not any(verdicts) and not later:
            found.unsettled.append(" at ".join(reason))
