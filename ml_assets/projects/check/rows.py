"""Rows, days and features of a system."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.projects.check.finding import Noted, fail, ok, warn
from ml_assets.projects.check.history import RecordedHistory

QUARANTINE = 0.05
"""A day with a larger share of unusable rows stops the flow."""
SHOWN = 3


def about_features(system: System, settings: Settings) -> Noted:
    """Whether the feature service is declared, and the slices can be asked."""
    from ml_assets.evaluation.slices import require_slices
    from ml_assets.features.manifest import load_manifest

    try:
        service = load_manifest(settings).service(system)
        require_slices(system, service.features)
    except (MlAssetsError, RuntimeError) as error:
        return fail("features", str(error), "")
    return ok("features", f"{len(service.features)} features of {len(service.views)} views")


def about_rows(history: RecordedHistory) -> Iterator[Noted]:
    bad = sum(history.unusable.values())
    total = bad + history.usable
    for kind, count in history.unusable.most_common(SHOWN):
        note = fail if count > QUARANTINE * total else warn
        yield note("rows", f"{count:,} of {total:,} cannot be used, for example "
                   f"{history.examples[kind]}",
                   "Mend the declaration or the file; the loop sets them aside and stops on a day "
                   f"with more than {QUARANTINE:.0%} of them" if note is fail
                   else "They are set aside, each with its reason")
    if history.usable:
        yield ok("rows", f"{history.usable:,} of {total:,} fit the declaration")
    if history.unsorted:
        yield fail("rows", f"{history.unsorted} is earlier than the event before it",
                   "Let the source give events in order of time")


def about_days(history: RecordedHistory, today: date) -> Iterator[Noted]:
    calendar = history.system.calendar
    first, last = min(history.days), max(history.days)
    before = sum(n for day, n in history.days.items() if day < calendar.first_day)
    if before:
        yield fail("days", f"{before:,} events are before first_day, {calendar.first_day}: from "
                   f"{first} on", f"Set first_day={first!r}")
    if calendar.last_day is not None and last > calendar.last_day:
        after = sum(n for day, n in history.days.items() if day > calendar.last_day)
        yield warn("days", f"{after:,} events are after last_day, {calendar.last_day}",
                   "They are never taken in; set a later last_day")
    ahead = [day for day in history.days if day > today]
    if ahead:
        yield warn("days", f"{sum(history.days[day] for day in ahead):,} events are in the future, "
                   f"from {min(ahead)} on", "Is it the column that says when they happened, and "
                   "written so?")
    live = sum(n for day, n in history.days.items() if day >= calendar.go_live)
    past = [calendar.first_day + number * DAY
            for number in range((calendar.go_live - calendar.first_day).days)]
    empty = [day for day in past if not history.days[day]]
    if empty:
        share = len(empty) / len(past)
        (yield warn("days", f"{len(empty)} of {len(past)} days of history have no event, "
                    f"{empty[0]} first", "Features of these days are of nothing; is the calendar "
                    "right?")) if share > 0.2 else (
            yield ok("days", f"{len(past)} of history, {len(empty)} of them without events"))
    else:
        yield ok("days", f"{len(past)} of history, each with events")
    if live:
        yield ok("days", f"{live:,} events from {calendar.go_live} on can be replayed")
    else:
        yield warn("days", f"no event is from go_live, {calendar.go_live}, on",
                   "`ml-assets run` has nothing to replay; set an earlier go_live")


def duration(span: timedelta) -> str:
    """In days, or in hours."""
    return f"{span / DAY:.1f} days" if span >= DAY else f"{span / timedelta(hours=1):.1f} hours"
