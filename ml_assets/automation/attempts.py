"""When a training was last requested, according to runs and sensor cursors.

Neither is trusted blindly. A cursor can be edited in Dagster's UI, and a clock can be set back:
anything unreadable, or ahead of the clock, is not an attempt.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import dagster as dg

from ml_assets.automation.dead_runs import DIED_TAG, STOPPED_TAG

ASKED_TAG = "ml_assets/asked_at"
"""When a retraining run was requested, on the system's clock."""

LOOKED_AT = 50
"""How many of the job's latest runs to read: no cooldown counts from an older attempt."""


def cursor_of(attempted_at: datetime | None) -> str:
    """What a sensor remembers from one tick to the next."""
    return json.dumps({"attempted_at": attempted_at and attempted_at.isoformat()})


def in_cursor(cursor: str | None, now: datetime) -> tuple[datetime | None, str | None]:
    """(when the sensor requested a training, on the system's clock; what is wrong with `cursor`)"""
    if not cursor:
        return None, None
    try:
        said = json.loads(cursor)["attempted_at"]
        at = None if said is None else _instant(said)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None, (f"cursor {cursor[:100]!r} cannot be read, expected "
                      f"{cursor_of(now)!r}: it is reset")
    if at is not None and at > now:
        return None, (f"cursor {cursor[:100]!r} lies ahead of the clock, {now.isoformat()}: "
                      "it is reset")
    return at, None


def last_attempt(
    instance: dg.DagsterInstance, job: str, now: datetime, by_cursor: datetime | None = None
) -> datetime | None:
    """When a training was last requested, at or before `now`; None if it never was.

    A run that died does not count, so its reason stands and fires again at once. If two in a row
    died, the later one counts: whatever kills trainings repeatedly waits for the cooldown.
    """
    # A run that a person started has no reason; one that a person stopped disproves none.
    latest = [run for run in instance.get_runs(dg.RunsFilter(job_name=job), limit=LOOKED_AT)
              if ASKED_TAG in run.tags and STOPPED_TAG not in run.tags][:2]
    died = [DIED_TAG in run.tags for run in latest]
    if died and died[0] and not all(died[1:] or [False]):
        latest, by_cursor = latest[1:], None
    known = [by_cursor, *(_asked(run) for run in latest)]
    return max((at for at in known if at is not None and at <= now), default=None)


def _asked(run: dg.DagsterRun) -> datetime | None:
    try:
        return _instant(run.tags[ASKED_TAG])
    except (ValueError, TypeError, LookupError, OverflowError):
        return None


def _instant(text: str) -> datetime:
    """Raises ValueError or TypeError if it is not an instant with a time zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("no time zone")
    return at.astimezone(UTC)
