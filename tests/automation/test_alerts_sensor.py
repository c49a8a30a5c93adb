"""A tick of the alerts' sensor: tells what the latest reports say, and starts no run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import dagster as dg

from ml_assets.automation.sensors import build
from ml_assets.core.runtime.locks import alone
from ml_assets.core.settings import Settings
from ml_assets.core.time import EventClock
from ml_assets.monitoring.alerts.telling import record_of
from ml_assets.monitoring.drift.judge import ColumnDrift
from ml_assets.monitoring.drift_report import DriftReport, DriftReports
from ml_assets.monitoring.parity import Mismatch, ParityDay, ParityReports
from ml_assets.monitoring.performance import PerformanceReport, PerformanceReports
from tests.monitoring.alerts.servers import mailbox
from tests.toy import TOY

DAY = date(2024, 1, 9)


def tick(settings: Settings) -> str:
    [sensor] = [one for one in build(TOY) if one.name == "toy_alerts_sensor"]
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(
            instance=instance, resources={"settings": settings}) as context:
        ticked = sensor.evaluate_tick(context)
    assert not ticked.run_requests
    return ticked.skip_message or ""


def drift(settings: Settings, columns: int) -> None:
    DriftReports(settings, TOY).write(DriftReport(
        day=DAY, model_version=1, reference="r", reference_rows=900, rows=300, judged=True,
        confirmed_since=DAY, note="", columns=tuple(ColumnDrift(
            name=f"column_{number}", effect=0.3, log_e=12.0, says="higher by 0.50 standard "
            "deviations", reference_missing=0.0, missing=0.0, drifted=True, days=3,
            since=date(2024, 1, 7), confirmed_on=DAY) for number in range(columns))))


def test_thirty_columns_of_drift_and_a_fall_are_one_letter_that_explains_itself(
    settings: Settings,
) -> None:
    EventClock(settings.clock_file(TOY.name)).set(datetime(2024, 1, 10, tzinfo=UTC))
    drift(settings, 30)
    PerformanceReports(settings, TOY).write(PerformanceReport(
        day=DAY, champion=1, live=(), fallen=True, fallen_since=DAY,
        note="live log loss 0.9 is significantly worse than the held-out 0.5"))
    with mailbox() as box:
        told = replace(settings, smtp=f"smtp://127.0.0.1:{box.port}?from=a@example.com"
                                             "&to=b@example.com")
        assert "opened drift; 1 messages delivered" in tick(told)
        assert "nothing new" in tick(told)
        ((_, letter),) = box.mails
        body = letter.get_content()
    assert letter["Subject"] == "[toy] drift of column_0, column_1, column_2 and 27 more"
    assert "Since 2024-01-07" in body and "and 22 more" in body
    assert "- column_0: higher by 0.50 standard deviations (index 0.30" in body
    assert "probably because of it, since 2024-01-10: version 1 is worse" in body
    assert "most of what is asked has changed at once" in body
    assert "http://localhost:3000/assets/toy/drift" in body


def test_a_broken_parity_is_the_root_of_what_follows(settings: Settings) -> None:
    EventClock(settings.clock_file(TOY.name)).set(datetime(2024, 1, 10, tzinfo=UTC))
    ParityReports(settings, TOY).write(ParityDay(
        day=date(2024, 1, 6), checked=100, unexplained=7, degraded=0, other_features=0,
        unparsable=0, worst=(Mismatch(prediction_id="p1", feature="amount", served=1.0,
                                      recomputed=2.0),)))
    drift(settings, 1)
    said = tick(settings)
    assert "drift, parity stands; opened parity" in said and "nobody is told" in said
    (standing,) = record_of(TOY, settings).open()
    assert standing.title == "7 of 100 served vectors differ from history"
    assert "amount of p1: served 1, history 2" in standing.what


def test_a_replay_elsewhere_is_left_alone(settings: Settings) -> None:
    drift(settings, 1)
    with alone(settings, TOY.name):
        assert "a replay is under way" in tick(settings)
