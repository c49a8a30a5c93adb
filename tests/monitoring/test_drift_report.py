"""Laws of drift over days: confirmed when it lasts, cleared when it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.policies import DriftPolicy
from ml_assets.core.settings import Settings
from ml_assets.monitoring.drift import ColumnSamples
from ml_assets.monitoring.drift_report import (
    DriftReport,
    DriftReports,
    judge_day,
    nothing_deployed,
)
from tests.toy import TOY

FIRST = date(2024, 1, 8)
REFERENCE = np.linspace(0, 1, 500)
SAME = np.linspace(0, 1, 200)
SHIFTED = SAME + 0.5
POLICY = DriftPolicy(persistence=3, min_events=100)


def day(
    number: int,
    current: np.ndarray[tuple[int], np.dtype[np.float64]],
    previous: DriftReport | None,
    *,
    policy: DriftPolicy = POLICY,
    reference: str = "set1",
    rows: int = 200,
    whole: bool = True,
) -> DriftReport:
    columns = {"steady": ColumnSamples(reference=REFERENCE, current=SAME),
               "moving": ColumnSamples(reference=REFERENCE, current=current)}
    return judge_day(FIRST + timedelta(days=number), columns, previous, policy, model_version=1,
                     reference=reference, reference_rows=len(REFERENCE), rows=rows, whole=whole)


def run(shifted: list[bool], policy: DriftPolicy = POLICY) -> list[DriftReport]:
    reports: list[DriftReport] = []
    for number, moved in enumerate(shifted):
        previous = reports[-1] if reports else None
        reports.append(day(number, SHIFTED if moved else SAME, previous, policy=policy))
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
    first = run([True, True, True])[-1]
    later = replace(first.columns[1], name="steady", confirmed_on=FIRST + timedelta(days=9))
    both = replace(first, columns=(later, first.columns[1]))
    assert first.confirmed_since == both.confirmed_since == FIRST + timedelta(days=2)
    still = day(3, SHIFTED, both)
    assert still.confirmed_since == FIRST + timedelta(days=2)
    well = day(4, SAME, still)
    assert (well.confirmed_since, well.confirmed_at) == (None, None)
    again = well
    for number in (5, 6, 7):
        again = day(number, SHIFTED, again)
    assert again.confirmed_since == FIRST + timedelta(days=7)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_drift_is_confirmed_exactly_where_the_last_days_all_drifted(shifted: list[bool]) -> None:
    for number, report in enumerate(run(shifted)):
        lasting = number >= 2 and all(shifted[number - 2 : number + 1])
        assert report.confirmed == (("moving",) if lasting else ())


def test_another_reference_starts_the_count_again() -> None:
    before = run([True, True])[-1]
    after = day(2, SHIFTED, before, reference="set2")
    assert after.drifted == ("moving",)
    assert after.confirmed == ()
    assert after.columns[1].days == 1


def test_a_day_with_few_events_neither_confirms_nor_clears() -> None:
    before = run([True, True])[-1]
    quiet = day(2, SHIFTED, before, rows=99)
    assert not quiet.judged
    assert quiet.confirmed == ()
    assert quiet.note == "99 events in the window, 100 needed: this day does not count"
    assert day(3, SHIFTED, quiet).confirmed == ("moving",)
    assert day(3, SAME, quiet).confirmed == ()
    standing = run([True, True, True])[-1]
    assert day(3, SAME, standing, rows=0).confirmed == ("moving",)


def test_a_day_without_a_champion_says_so() -> None:
    report = nothing_deployed(FIRST)
    assert report.model_version is None
    assert "no model was deployed" in report.note
    assert day(1, SHIFTED, report).columns[1].days == 1


def test_reports_come_back_as_they_were_written(settings: Settings) -> None:
    reports = DriftReports(settings, TOY)
    assert reports.latest() is None
    assert reports.read(FIRST) is None
    written = run([True, True, True])
    for report in written:
        reports.write(report)
    assert reports.days() == [FIRST + timedelta(days=n) for n in range(3)]
    assert [reports.read(report.day) for report in written] == written
    assert reports.latest() == written[-1]
    assert list(reports.between(FIRST, FIRST + timedelta(days=2))) == written[:2]
    assert reports.folder == settings.lake / "toy" / "drift"


def test_days_whose_window_begins_before_going_live_do_not_count() -> None:
    """The first three days after going live are no sample of a week."""
    early = day(0, SHIFTED, None, policy=DriftPolicy(persistence=1), whole=False)
    assert (early.judged, early.confirmed) == (False, ())
    assert "begins before going live" in early.note
    later = day(1, SHIFTED, early, policy=DriftPolicy(persistence=1))
    assert later.confirmed == ("moving",)
