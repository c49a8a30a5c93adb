"""What has been asked for and not been judged: who may ask for a training, and what failed.

Runs and requests tell, never the cursor of one automaton: several ask for the same training. A
request is claimed under a lock before it is returned to Dagster, so of two automata that see a
reason at once one asks, and a request that got lost with its daemon is noticed. Nothing that can be
edited, or that a clock that was set back contradicts, is trusted blindly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import dagster as dg

from ml_assets.automation.dead_runs import DIED_TAG, IN_PROGRESS, START_S, STOPPED_TAG
from ml_assets.core.settings import Settings
from ml_assets.core.time import WallClock

ASKED_TAG = "ml_assets/asked_at"
"""When a retraining run was requested, on the system's clock."""
REQUEST_TAG = "ml_assets/request"
"""Which request a run answers."""

LOOKED_AT = 50
"""How many of the job's latest runs to read: no back-off counts more failures."""
KEY = "ml_assets/request/{}"


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """At trainings that have not been judged.

    at: when the latest was asked for, on the system's clock; None if none was
    failed: how many in a row ended without a judged candidate
    in_progress: one is under way, or has just been asked for
    """

    at: datetime | None = None
    failed: int = 0
    in_progress: bool = False


def attempts_at(
    instance: dg.DagsterInstance, settings: Settings, system: str, job: str,
    judged_at: datetime | None,
) -> Attempts:
    """The attempts since the latest judged training, which was as of `judged_at`.

    A run that died does not count, so its reason stands and fires again at once. The second death
    in a row counts: whatever kills trainings repeatedly must not do so every 30 seconds.
    """
    # A replay asks alone, and runs what is asked for before it looks again.
    request = None if settings.in_replay else _request(instance, system)
    if instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=IN_PROGRESS)) or (
            request is not None and _is_pending(instance, request)):
        return Attempts(in_progress=True)
    at, failed, died = None, 0, False
    for asked_at, has_died in reversed(list(_ended(instance, job, judged_at))):
        if not has_died or died:
            at, failed = asked_at, failed + 1
        died = has_died
    return Attempts(at=at, failed=failed)


def _ended(
    instance: dg.DagsterInstance, job: str, judged_at: datetime | None
) -> Iterator[tuple[datetime, bool]]:
    """(when it was asked for, whether it died) of each run without a judged candidate, the latest
    first."""
    for run in instance.get_runs(dg.RunsFilter(job_name=job), limit=LOOKED_AT):
        at = _instant(run.tags.get(ASKED_TAG))
        if run.status == dg.DagsterRunStatus.SUCCESS or (
                at is not None and judged_at is not None and at <= judged_at):
            return
        # A run that a person started has no reason; one that a person stopped disproves none.
        if at is not None and STOPPED_TAG not in run.tags:
            yield at, DIED_TAG in run.tags


def claim(
    instance: dg.DagsterInstance, settings: Settings, system: str, now: datetime
) -> dict[str, str]:
    """Note that a training is asked for; the tags by which its run is known."""
    if settings.in_replay:
        return {ASKED_TAG: now.isoformat()}
    request = {"id": uuid4().hex, "wall": WallClock().now().isoformat()}
    instance.daemon_cursor_storage.set_cursor_values({KEY.format(system): json.dumps(request)})
    return {ASKED_TAG: now.isoformat(), REQUEST_TAG: request["id"]}


def _request(instance: dg.DagsterInstance, system: str) -> dict[str, str] | None:
    """The latest that was claimed; None if none was, or if it cannot be read."""
    key = KEY.format(system)
    stored = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
    try:
        request = json.loads(stored or "null")
        return {"id": str(request["id"]), "wall": str(request["wall"])}
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _is_pending(instance: dg.DagsterInstance, request: dict[str, str]) -> bool:
    """Whether the request has no run yet, and one may still come."""
    asked = _instant(request["wall"])
    waited = None if asked is None else abs(WallClock().now() - asked)
    return waited is not None and waited < timedelta(seconds=START_S) and not (
        instance.get_runs_count(dg.RunsFilter(tags={REQUEST_TAG: request["id"]})))


def _instant(text: str | None) -> datetime | None:
    """None if it is not an instant with a time zone."""
    try:
        at = datetime.fromisoformat(text or "")
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
