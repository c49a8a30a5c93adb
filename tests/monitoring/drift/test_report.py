"""Laws of drift over days: confirmed when it lasts, cleared when it ends."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from ml_assets.core.policies import DriftPolicy
from ml_assets.core.settings import Settings
from ml_assets.evaluation.comparison import Estimate
from ml_assets.monitoring.drift.bins import Counts, NumberBins
from ml_assets.monitoring.drift.evidence import Yardstick
from ml_assets.monitoring.drift.judge import LiveColumn
from ml_assets.monitoring.drift.together import Apart
from ml_assets.monitoring.drift_report import (
    DriftReport,
    DriftReports,
    figures,
    judge_day,
    nothing_deployed,
)
from tests.toy import TOY

FIRST = date(2024, 1, 8)
REFERENCE = np.linspace(0, 1, 500)
SAME = np.linspace(0, 1, 200)
SHIFTED = SAME + 0.5
BINS = NumberBins.of(REFERENCE)
POLICY = DriftPolicy(persistence=3, min_events=100)


def column(days: list[bool]) -> LiveColumn:
    counts: Counts = np.array([BINS.counted(SHIFTED if moved else SAME) for moved in days])
    return LiveColumn(
        yardstick=Yardstick(days_DB=BINS.counted(REFERENCE)[None, :], ordered=True),
        names=BINS.names, live_TB=counts)


def day(
    days: list[bool], previous: DriftReport | None, *, policy: DriftPolicy = POLICY,
    reference: str = "set1", rows: int = 200, lacking: str | None = None,
) -> DriftReport:
    """The report of the last of the live days, on which "moving" is shifted or not."""
    columns = {"steady": column([False] * len(days)), "moving": column(days)}
    return judge_day(FIRST + timedelta(days=len(days) - 1), columns, previous, policy,
                     model_version=1, reference=reference, reference_rows=len(REFERENCE),
                     rows=rows, lacking=lacking)


def run(shifted: list[bool], policy: DriftPolicy = POLICY) -> list[DriftReport]:
    reports: list[DriftReport] = []
    for number in range(len(shifted)):
        previous = reports[-1] if reports else None
        reports.append(day(shifted[:number + 1], previous, policy=policy))
    return reports


@pytest.mark.parametrize("persistence", [1, 2, 3, 5])
def test_a_planted_shift_is_confirmed_after_exactly_the_declared_days(persistence: int) -> None:
    reports = run([False, False] + [True] * 7, DriftPolicy(persistence=persistence))
    confirmed = [report.confirmed for report in reports]
    assert confirmed == [()] * (1 + persistence) + [("moving",)] * (8 - persistence)
    # The instant of confirmation stays that of the first time.
    turned = FIRST + timedelta(days=1 + persistence)
    assert {report.confirmed_at for report in reports} == {
        None, datetime(turned.year, turned.month, turned.day, tzinfo=UTC) + timedelta(days=1)}


def test_columns_that_follow_are_the_same_drift_until_all_are_well() -> None:
    """One episode is one reason to train, however many related columns cross the limit."""
    first = run([True] * 3)[-1]
    later = replace(first.columns[0], name="steady", confirmed_on=FIRST + timedelta(days=9))
    both = replace(first, columns=(later, first.columns[1]))
    assert first.confirmed_since == both.confirmed_since == FIRST + timedelta(days=2)
    still = day([True] * 4, both)
    assert still.confirmed_since == FIRST + timedelta(days=2)


def test_a_drift_that_has_ended_is_cleared_and_a_new_one_is_a_new_one() -> None:
    days = [True] * 4 + [False] * 10 + [True] * 4
    reports = run(days)
    assert [bool(report.confirmed) for report in reports[:4]] == [False, False, True, True]
    cleared = next(number for number in range(4, 14) if not reports[number].confirmed)
    assert not any(report.confirmed for report in reports[cleared:14])
    assert reports[cleared].confirmed_since is None
    again = reports[-1]
    assert again.confirmed == ("moving",)
    assert again.confirmed_since is not None and again.confirmed_since >= FIRST + timedelta(days=16)
    watched = again.columns[1].watched_from
    assert watched is not None and watched > FIRST + timedelta(days=4)


def test_another_reference_starts_anew() -> None:
    before = run([True, True])[-1]
    after = day([True], before, reference="set2")
    assert after.drifted == ("moving",)
    assert after.confirmed == ()
    assert after.columns[1].days == 1


def test_a_day_with_few_events_neither_confirms_nor_clears() -> None:
    before = run([True, True])[-1]
    quiet = day([True] * 3, before, rows=99)
    assert not quiet.judged
    assert quiet.confirmed == ()
    assert quiet.note == "99 events in the window, 100 needed: this day does not count"
    standing = run([True] * 3)[-1]
    assert day([True] * 4, standing, rows=0).confirmed == ("moving",)
    early = day([True] * 3, None, lacking="the window begins before going live")
    assert (early.judged, early.confirmed) == (False, ())
    assert "begins before going live" in early.note


def test_a_day_without_a_champion_says_so() -> None:
    report = nothing_deployed(FIRST)
    assert report.model_version is None
    assert "no model was deployed" in report.note
    assert day([True], report).columns[1].days == 1


def test_reports_come_back_as_they_were_written(settings: Settings) -> None:
    reports = DriftReports(settings, TOY)
    assert reports.latest() is None
    assert reports.read(FIRST) is None
    written = run([True, True, True])
    written[-1] = replace(written[-1], together=Apart(
        auc=Estimate(value=0.7, low=0.6, high=0.8), tells=("moving (100%)",)))
    for report in written:
        reports.write(report)
    assert reports.days() == [FIRST + timedelta(days=n) for n in range(3)]
    assert [reports.read(report.day) for report in written] == written
    assert reports.latest() == written[-1]
    assert list(reports.between(FIRST, FIRST + timedelta(days=2))) == written[:2]
    assert reports.folder == settings.lake / "toy" / "drift"
    path = reports.folder / f"{FIRST}.json"
    columns = json.loads(path.read_text())["columns"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "columns": [
        {name: each[name] for name in ("name", "reference_missing", "missing", "drifted", "days")}
        for each in columns]}))
    old = reports.read(FIRST)  # of an earlier release
    assert old is not None and old.columns[0].says == ""
    assert day([True, True], old).judged
    said = figures(written[-1])
    assert (said["drifted"], said["confirmed"], said["told_apart_auc"]) == (1, 1, 0.7)
