"""When a training was last asked for: what runs and sensor cursors say of it.

Both are read as they come. A cursor can be edited in Dagster's UI, and a clock can be set back:
what cannot be read, or lies ahead of the clock, is no attempt.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import dagster as dg

from ml_assets.automation.dead_runs import DIED_TAG, STOPPED_TAG

ASKED_TAG = "ml_assets/asked_at"
"""When a retraining run was asked for, on the system's clock."""

LOOKED_AT = 50
"""Runs of the job, the latest first: further back lies no attempt that a cooldown counts from."""


def cursor_of(attempted_at: datetime | None) -> str:
    """What a sensor keeps from one tick to the next."""
    return json.dumps({"attempted_at": attempted_at and attempted_at.isoformat()})


def in_cursor(cursor: str | None, now: datetime) -> tuple[datetime | None, str | None]:
    """(when the sensor asked for a training, on the system's clock; what is wrong with `cursor`)"""
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
    """When a training was last asked for, at or before `now`; None if it never was.

    A run that died does not count, so its reason stands and fires again at once. Of two that died
    one after the other the later counts: what kills a training again waits for the cooldown.
    """
    # What a person started, no reason asked for; what a person stopped says nothing against one.
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
    """Raises ValueError or TypeError if it is no instant with a time zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("no time zone")
    return at.astimezone(UTC)
