"""One record of who answers: as a value, as a row, and what a history of them means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from ml_assets.core.time import utc
from ml_assets.registry.rollout import (
    Action,
    Approve,
    Canary,
    Challenger,
    Promote,
    Role,
    Rollback,
    Rollout,
    Shadow,
    Withdraw,
)

COLUMNS = ("system, version, previous, rollback, reason, by, at, action, challengers, shadows,"
           " salt, about")
"""Of the table `deployments`, in the order of `row_of`."""
BY_GUARDRAIL = "guardrail"
"""Who decides, in records of guardrails: followed by the name of the guardrail."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
Verb = Literal["promote", "canary", "shadow", "withdraw", "approve", "rollback"]
VERBS: dict[type[Action], Verb] = {
    Promote: "promote", Canary: "canary", Shadow: "shadow", Withdraw: "withdraw",
    Approve: "approve", Rollback: "rollback",
}


@dataclass(frozen=True, kw_only=True)
class Deployment(Rollout):
    """One record: who answers from `at` on, as a whole, and why.

    id: rises with every record of any system; version: the champion; previous: the champion
    that this one replaced, None for the first; replaced: the id of the record that was in force
    before; action: what was done; about: to which version, None of older records; rollback: it
    undid an earlier record; by: who decided; at: UTC
    """

    id: int
    system: str
    previous: int | None
    reason: str
    by: str
    at: datetime
    rollback: bool = False
    action: Verb = "promote"
    replaced: int | None = None
    about: int | None = None

    @property
    def state(self) -> Rollout:
        """Who answers, without when and why."""
        return Rollout(version=self.version, challengers=self.challengers, shadows=self.shadows,
                       salt=self.salt)


def in_force(history: Sequence[Deployment]) -> list[Deployment]:
    """The records that were not rolled back, oldest first; the state of the last is in force.

    history: all records of one system, oldest first.
    """
    standing: list[Deployment] = []
    for deployment in history:
        if deployment.rollback:
            standing.pop()
        elif deployment.action != "approve":  # it changed nothing that could be undone
            standing.append(deployment)
    return standing


def takeovers(history: Iterable[Deployment]) -> list[Deployment]:
    """The records with which another version became champion, in the order of `history`.

    history: all records of one system, oldest first.
    """
    changes: list[Deployment] = []
    for deployment in history:
        if not changes or changes[-1].version != deployment.version:
            changes.append(deployment)
    return changes


def came(history: Iterable[Deployment], version: int, role: Role) -> Deployment | None:
    """The record with which `version` last came to this role; None if it never had it.

    history: records of one system, oldest first; those up to an instant tell what was so then.
    """
    latest, had = None, None
    for record in history:
        has = record.role(version)
        if has == role != had:
            latest = record
        had = has
    return latest


def succeeding(
    current: Deployment | None,
    state: Rollout,
    action: Action,
    *,
    system: str,
    reason: str,
    by: str,
    at: datetime,
) -> Deployment:
    """The record that puts `state` in force after `current`; its id is 0 until it is stored."""
    if current is None:
        previous = None
    else:
        previous = current.previous if current.version == state.version else current.version
    return Deployment(
        id=0, system=system, version=state.version, challengers=state.challengers,
        shadows=state.shadows, salt=state.salt, previous=previous, reason=reason, by=by,
        at=utc(at), rollback=isinstance(action, Rollback), action=VERBS[type(action)],
        replaced=None if current is None else current.id,
        about=None if isinstance(action, Rollback) else action.version,
    )


def row_of(record: Deployment) -> tuple[object, ...]:
    """The values of `COLUMNS`."""
    challengers = [{"version": each.version, "slots": each.slots} for each in record.challengers]
    return (
        record.system, record.version, record.previous, record.rollback, record.reason, record.by,
        (record.at - EPOCH) // MICROSECOND, record.action, json.dumps(challengers),
        json.dumps(record.shadows), record.salt, record.about,
    )


def deployment_of(
    row: tuple[int, str, int, int | None, int, str, str, int, Verb, str, str, str, int | None,
               int | None],
) -> Deployment:
    """The inverse of `row_of`: from id, `COLUMNS` and the id of the record before."""
    (number, system, version, previous, rollback, reason, by, at, action, challengers, shadows,
     salt, about, replaced) = row
    return Deployment(
        id=number, system=system, version=version, previous=previous, reason=reason, by=by,
        at=EPOCH + at * MICROSECOND, rollback=bool(rollback),
        action="rollback" if rollback else action,
        challengers=tuple(
            Challenger(version=each["version"],
                       slots=tuple((start, end) for start, end in each["slots"]))
            for each in json.loads(challengers)
        ),
        shadows=tuple(json.loads(shadows)), salt=salt, replaced=replaced, about=about,
    )
