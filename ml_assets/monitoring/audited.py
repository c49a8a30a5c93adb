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
    reported: the share of such mistakes that anybody else reported, by what silence says
    reported_of_all: the same whatever silence says; None in a report written before it was kept.
        All with 95% intervals.
    """

    answered: int
    error_rate: Estimate
    reported: dict[str, Estimate]
    reported_of_all: Estimate | None = None

    @property
    def says(self) -> str:
        """In words, intervals included.

        >>> Audited(answered=200, error_rate=share(4, 200), reported={},
        ...         reported_of_all=share(3, 4)).says
        '200 answered: 2.0% wrong [0.6%, 4.8%]; of these 75% reported [24%, 99%]'
        """
        wrong, reported = self.error_rate, self.reported_of_all
        found = f"{self.answered:,} answered"
        if wrong.value is not None:
            found += f": {wrong.value:.1%} wrong [{wrong.low:.1%}, {wrong.high:.1%}]"
        if reported is not None and reported.value is not None:
            found += (f"; of these {reported.value:.0%} reported "
                      f"[{reported.low:.0%}, {reported.high:.0%}]")
        return found


def audited(lake: Lake, system: System, until: datetime) -> Audited | None:
    """What was known before `until`; None if the system has no audits."""
    known = reporting(lake, system, until=until)
    if known is None:
        return None
    return Audited(
        answered=known.audited, error_rate=share(known.wrong, known.audited),
        reported={name: share(each.reported, each.wrong) for name, each in known.groups.items()},
        reported_of_all=share(known.whole.reported, known.wrong))


def audit_figures(found: Audited | None) -> dict[str, float | int | str]:
    """What is followed from day to day."""
    if found is None:
        return {}
    shares = {"audited_error_rate": found.error_rate, **{
        f"reported_of_{name}": each for name, each in found.reported.items()}}
    known = {name: each.value for name, each in shares.items() if each.value is not None}
    return {"audited": found.answered, **known, "audits": found.says}
