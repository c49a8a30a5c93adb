"""The life of one challenger, played by the product's own policy, evidence and record of trials."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from benchmarks.judgement_load.models import HELD_OUT, Two
from ml_assets.core.data.subjects import Subjects
from ml_assets.core.policies import RolloutPolicy
from ml_assets.core.target import Floats
from ml_assets.evaluation.report import JudgedRows, loss_bound
from ml_assets.evaluation.sequential import BoundedLeads
from ml_assets.feedback.judging import weighed
from ml_assets.feedback.pairs import Paired, Pairs
from ml_assets.registry.judgement import judge_challenger, judge_champion
from ml_assets.registry.rollout import Canary, Promote, Withdraw
from ml_assets.registry.trials import Tried
from ml_assets.targets import Binary

TARGET = Binary(name="label")
START = datetime(2024, 1, 1, tzinfo=UTC)
PER_DAY = 100
"""Labels that mature in a day; each day there is one decision."""


@dataclass(frozen=True, kw_only=True)
class Life:
    """What became of a challenger: on which label it was promoted or sent back, None if never;
    exposed: how many events it answered by then, or in all."""

    promoted: int | None
    sent_back: int | None
    exposed: int


def leads_of(two: Two, rows: int, seed: int) -> tuple[Floats, float, Floats]:
    """Leads (N,), their reach, and membership of the slice, as the product makes them."""
    generator = np.random.default_rng(seed)
    codes_N, champion_N1, own_N1, _ = two.draw(HELD_OUT, generator)
    bound = loss_bound(TARGET, JudgedRows(
        codes=codes_N, subjects=Subjects.unknown(HELD_OUT), candidate=own_N1, champion=champion_N1))
    assert bound is not None
    codes_N, champion_N1, own_N1, member_N = two.draw(rows, generator)
    own_N, others_N = (np.minimum(TARGET.losses(codes_N, each), bound)
                       for each in (own_N1, champion_N1))
    return others_N - own_N, bound, member_N.astype(float)


def _pairs(leads_N: Floats, bound: float) -> Pairs:
    """Of independent rows."""
    all_N = np.ones(len(leads_N), dtype=bool)
    return Pairs(leads_C=leads_N, reaches_C=np.full(len(leads_N), bound), units_C=None,
                 supports_C=all_N, accuses_C=all_N)


def live(two: Two, policy: RolloutPolicy, days: int, seed: int) -> Life:
    """One life of so many days: trial, promotion, watch."""
    rows = days * PER_DAY
    leads_N, bound, member_N = leads_of(two, rows, seed)
    at = pd.Series(pd.to_datetime(
        [START + timedelta(days=row / PER_DAY) for row in range(rows)], utc=True))
    tried = Tried(version=2, reference=1, since=START, share=0.0, step_at=START)
    promoted: int | None = None
    began, exposed = 0, 0.0
    for day in range(1, days + 1):
        now, known = START + timedelta(days=day), day * PER_DAY
        exposed += tried.share * PER_DAY
        chosen = slice(began, known)
        some_N = leads_N[chosen]
        seen = weighed(Paired(
            at=at[chosen], whole=_pairs(some_N, bound),
            slices={"part": _pairs(some_N[member_N[chosen] > 0], bound)}), policy,
            step_at=tried.step_at, intervals=False)
        judged = (judge_challenger if promoted is None else judge_champion)(
            tried, seen, policy, now=now)
        match judged.action:
            case Withdraw():
                return Life(promoted=promoted, sent_back=known if judged.harmful else None,
                            exposed=round(exposed))
            case Canary(share=share):
                tried = Tried(version=2, reference=1, since=START, share=share, step_at=now)
            case Promote():
                promoted, began = known, known
                tried = Tried(version=2, reference=1, since=now, share=1.0, step_at=now)
            case None:
                pass
            case _:
                break  # the predecessor has retired
    return Life(promoted=promoted, sent_back=None, exposed=round(exposed))


def first_crossing(leads_N: Floats, bound: float, needed: float) -> int | None:
    """The label after which the evidence of improvement first reaches this, looked at after each
    one."""
    path_N = BoundedLeads.of(leads_N, bound).path(0.0)
    reached = np.flatnonzero(path_N >= needed)
    return int(reached[0]) + 1 if len(reached) else None
