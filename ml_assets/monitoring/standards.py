"""What live quality is compared with, and whether it has fallen below that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from ml_assets.core.errors import ContractViolation
from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.evaluation.comparison import Estimate
from ml_assets.evaluation.report import EvaluationReport
from ml_assets.monitoring.performance import WINDOWS, LiveQuality, mature, quality, said


@dataclass(frozen=True, kw_only=True)
class Standard:
    """What the champion's live loss is compared with.

    loss: None if there is none (yet); of: whose it is, in words; days: which of `WINDOWS` of live
    outcomes is compared; missing: why there is none, in words
    """

    loss: Estimate | None = None
    of: str = "the held-out"
    days: int = WINDOWS[-1]
    missing: str = ""

    def has_fallen(self, live: LiveQuality | None, *, loss: str, least: int) -> tuple[bool, str]:
        """Whether the live loss is significantly above this one, and why, in words.

        loss: its name; least: events that it takes
        """
        name = loss.replace("_", " ")
        n = 0 if live is None else live.n
        if live is None or n < least:
            return False, f"{n} mature outcomes of the champion, {least} needed to judge it"
        if self.missing:
            return False, self.missing
        now, known = live.loss, self.loss
        if known is None or known.high is None or now.low is None:
            return False, f"{self.of} {name} of the champion is not known"
        fallen = now.low > known.high
        return fallen, (
            f"live {name} {said(now)} on {n} events is "
            f"{'significantly worse than' if fallen else 'not significantly worse than'} "
            f"{self.of} {said(known)}"
        )


def held_out(target: Target, evaluation: Mapping[str, Any] | None) -> Standard:
    """The mean loss of a model on its held-out events, from its stored evaluation report.

    Without a loss if it was not evaluated, or by an earlier release.
    """
    if evaluation is None:
        return Standard()
    try:
        measured = EvaluationReport.from_json(evaluation).metrics.candidate
    except ContractViolation:
        return Standard()
    return Standard(loss=None if measured is None else measured.get(target.currency))


def first_served(
    system: System, outcomes: pd.DataFrame, end: datetime, *, champion: int, since: datetime
) -> Standard:
    """What the champion lost on its own first days: the standard if the target selects.

    Held-out rows were drawn, or another model selected them: what it loses on these says nothing
    of what it loses on its own. So it is compared with itself, as soon as a week of its outcomes
    lies wholly after its first one.

    outcomes: rows of `tables.outcomes_schema` from the day of `since` on; since: when it came to
        be champion
    """
    maturity, days = system.truth.maturity, WINDOWS[0]
    first_until = since + timedelta(days=days)
    due, of = first_until + maturity + timedelta(days=days), f"that of its first {days} days,"
    if end < due:
        return Standard(of=of, days=days, missing=(
            f"not comparable yet: version {champion} selects what it is judged by, so it is "
            f"compared with its own first {days} days, from {due:%Y-%m-%d} on"))
    first = mature(outcomes, first_until + maturity, maturity=maturity, days=days)
    first = first[first["model_version"] == champion].reset_index(drop=True)
    if len(first) < system.drift.min_events:
        return Standard(of=of, days=days, missing=(
            f"not comparable: version {champion} answered {len(first)} events with an outcome in "
            f"its first {days} days, {system.drift.min_events} needed"))
    return Standard(of=of, days=days, loss=quality(
        system.target, first, days=days, model_version=champion).loss)
