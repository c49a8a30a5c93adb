"""What one day says about drift, and when enough days have said it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from ml_assets.core.policies import DriftPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.monitoring.drift.columns import SCORE
from ml_assets.monitoring.drift.judge import ColumnDrift, LiveColumn, judge
from ml_assets.monitoring.drift.together import Apart
from ml_assets.monitoring.reports import DailyReports


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """How the live days of a champion's reign differ from its training set, on one of them.

    model_version: the champion at the end of the day; None if nothing was deployed.
    reference: version of the training set that the champion was trained on.
    reference_rows, rows: its size, and how many predictions the window holds.
    judged: the window held enough events. If not, `columns` are those of the last day
        that was judged against the same reference, so a quiet day neither confirms nor
        clears a drift.
    columns: the features in the model's order, `model score`, `all columns together`.
    together: how well the day's rows are told from the reference by all numbers at once; None if
        they are too few.
    confirmed_since: the first of the days, without a break and against this reference, on which
        some column's drift stood confirmed; None if none does. Further columns that follow
        are the same drift: related features cross the limit one after the other.
    note: what a reader should know, in words.
    """

    day: date
    model_version: int | None
    reference: str
    reference_rows: int
    rows: int
    judged: bool
    columns: tuple[ColumnDrift, ...]
    confirmed_since: date | None
    note: str
    together: Apart | None = None

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that drift, the furthest first."""
        return tuple(column.name for column in self.by_size() if column.drifted)

    @property
    def confirmed(self) -> tuple[str, ...]:
        """The columns whose drift is confirmed, the furthest first."""
        return tuple(column.name for column in self.by_size() if column.confirmed_on is not None)

    @property
    def confirmed_at(self) -> datetime | None:
        """When the drift came to be confirmed: the end of that day."""
        return midnight(self.confirmed_since) + DAY if self.confirmed_since else None

    def by_size(self) -> list[ColumnDrift]:
        """The columns by their stability index, the largest first; those that drift go before.
        """
        return sorted(self.columns, key=lambda column: (not column.drifted, -column.effect))


class DriftReports(DailyReports[DriftReport]):
    """A system's drift reports: `<lake>/<system>/drift/<day>.json`."""

    def __init__(self, settings: Settings, system: System) -> None:
        super().__init__(settings.lake / system.name / "drift", DriftReport)


def judge_day(
    day: date,
    columns: Mapping[str, LiveColumn],
    previous: DriftReport | None,
    policy: DriftPolicy,
    *,
    model_version: int,
    reference: str,
    reference_rows: int,
    rows: int,
    lacking: str | None = None,
    together: Apart | None = None,
) -> DriftReport:
    """The report of `day`; `previous` is that of the day before, None if there is none.

    columns: their live days, `day` the last of them; rows: in the window

    lacking: why the day cannot be judged, in words; None if it can.
    """
    if previous is not None and previous.reference != reference:
        previous = None  # another champion: what was measured against the old one is over
    if lacking is None and rows < policy.min_events:
        lacking = f"{rows} events in the window, {policy.min_events} needed"
    judged = lacking is None
    if judged:
        earlier = {} if previous is None else {each.name: each for each in previous.columns}
        judgements = judge(columns, policy, day, earlier)
        drifted = sum(column.drifted for column in judgements)
        note = f"{drifted} of {len(judgements)} columns drift"
    else:
        judgements = previous.columns if previous is not None else ()
        note = f"{lacking}: this day does not count"
    since = None
    if any(column.confirmed_on is not None for column in judgements):
        since = previous.confirmed_since if previous is not None else None
        since = since or day
    return DriftReport(
        day=day, model_version=model_version, reference=reference, reference_rows=reference_rows,
        rows=rows, judged=judged, columns=judgements, confirmed_since=since, note=note,
        together=together if judged else None,
    )


def figures(report: DriftReport) -> dict[str, float | int | str]:
    """What of the report is followed from day to day."""
    sizes = {column.name: column.effect for column in report.columns}
    told = report.together
    apart = {} if told is None or told.auc.value is None else {"told_apart_auc": told.auc.value}
    return {
        "drifted": len(report.drifted),
        "confirmed": len(report.confirmed),
        "largest_index": max(sizes.values(), default=0.0),
        "score_index": sizes.get(SCORE, 0.0),
        **apart,
        "champion": report.model_version or 0,
        "note": report.note,
    }


def nothing_deployed(day: date) -> DriftReport:
    """The report of a day at whose end no model was deployed."""
    return DriftReport(day=day, model_version=None, reference="", reference_rows=0, rows=0,
                       judged=False, columns=(), confirmed_since=None,
                       note="no model was deployed by the end of the day: nothing to compare with")
