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

        >>> whole = Audited(answered=200, error_rate=share(4, 200), reported={},
        ...                 reported_of_all=share(3, 4))
        >>> print(whole.says.replace("; ", ";\\n"))
        200 answered, 2.0% found wrong (95%: 0.6% to 4.8%);
        75.0% of these mistakes were reported (95%: 24.2% to 98.7%)
        """
        found = f"{self.answered:,} answered"
        if self.error_rate.value is not None:
            found += f", {_percent(self.error_rate, 'found wrong')}"
        if self.reported_of_all is not None and self.reported_of_all.value is not None:
            found += f"; {_percent(self.reported_of_all, 'of these mistakes were reported')}"
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


def _percent(each: Estimate, of: str) -> str:
    return f"{each.value:.1%} {of} (95%: {each.low:.1%} to {each.high:.1%})"
