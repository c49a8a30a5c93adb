"""What audits say of the served decisions, and of how many mistakes anybody reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ml_assets.core.system import System
from ml_assets.evaluation.comparison import Estimate, share
from ml_assets.ingest.audits import reporting
from ml_assets.ingest.lake import Lake


@dataclass(frozen=True, kw_only=True)
class Audited:
    """All audits so far, whatever the version.

    answered: those that somebody answered in time
    error_rate: the share of these of which silence would have said something wrong
    reported: the share of such mistakes that anybody else reported, by what silence says. Both
        with 95% intervals.
    """

    answered: int
    error_rate: Estimate
    reported: dict[str, Estimate]


def audited(lake: Lake, system: System, until: datetime) -> Audited | None:
    """What was known before `until`; None if the system has no audits."""
    known = reporting(lake, system, until=until)
    if known is None:
        return None
    return Audited(
        answered=known.audited, error_rate=share(known.wrong, known.audited),
        reported={name: share(each.reported, each.wrong) for name, each in known.groups.items()})


def audit_figures(found: Audited | None) -> dict[str, float | int]:
    """What is followed from day to day."""
    if found is None:
        return {}
    shares = {"audited_error_rate": found.error_rate, **{
        f"reported_of_{name}": each for name, each in found.reported.items()}}
    known = {name: each.value for name, each in shares.items() if each.value is not None}
    return {"audited": found.answered, **known}
