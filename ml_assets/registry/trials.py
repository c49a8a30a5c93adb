"""What is being tried, by the record of deployments: challengers, and a champion that is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ml_assets.registry.deployments import Deployment, takeovers


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A version on trial beside a reference: their losses on the same outcomes will decide.

    version: a challenger, or the champion itself while its predecessor scores in its shadow
    reference: the champion; or, of a new champion, its predecessor
    since: from when on their losses are compared
    share: of the traffic, that the version answers
    step_at: since when it has this share
    approved: a person approved its promotion
    """

    version: int
    reference: int
    since: datetime
    share: float
    step_at: datetime
    approved: bool = False


def challenged(history: Sequence[Deployment]) -> list[Tried]:
    """The versions that may become champion, those with most traffic first.

    history: all records of one system, oldest first. Each is compared with the champion since
    both have been there.
    """
    if not history:
        return []
    current = history[-1]
    tried = [_tried(history, version, current.version) for version in current.named[1:]
             if not _was_champion(history, version)]
    return sorted(tried, key=lambda each: (-each.share, each.since))


def watched(history: Sequence[Deployment]) -> Tried | None:
    """A promoted champion whose predecessor still scores in its shadow; None if there is none."""
    if not history:
        return None
    current, reign = history[-1], takeovers(history)[-1]
    if current.previous not in current.shadows or reign.action != "promote" or (
            not _was_champion(history, current.previous)):
        return None
    return Tried(version=current.version, reference=current.previous, since=reign.at,
                 share=current.share(current.version), step_at=reign.at)


def superseded(history: Sequence[Deployment]) -> list[int]:
    """Former champions that still score, although the champion after them is watched no more."""
    if not history:
        return []
    kept = watched(history)
    return [version for version in history[-1].shadows if _was_champion(history, version)
            and (kept is None or kept.reference != version)]


def had_its_trial(history: Sequence[Deployment], version: int) -> bool:
    """Whether the version ever had a role."""
    return any(version in record.named for record in history)


def _streak(history: Sequence[Deployment], version: int) -> list[Deployment]:
    """The latest records, without a break, in which the version had a role; oldest first."""
    streak: list[Deployment] = []
    for record in reversed(history):
        if version not in record.named:
            break
        streak.append(record)
    return streak[::-1]


def _was_champion(history: Sequence[Deployment], version: int) -> bool:
    """Whether the version is here only because it was champion."""
    return any(record.version == version for record in _streak(history, version))


def _tried(history: Sequence[Deployment], version: int, champion: int) -> Tried:
    streak, now = _streak(history, version), history[-1]
    stepped = next(record for place, record in enumerate(streak) if all(
        (each.role(version), each.share(version)) == (now.role(version), now.share(version))
        for each in streak[place:]))
    approved = any(each.action == "approve" and each.about == version for each in streak)
    return Tried(
        version=version, reference=champion, share=now.share(version),
        since=max(streak[0].at, takeovers(history)[-1].at), step_at=stepped.at, approved=approved)
