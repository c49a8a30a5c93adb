"""What is taken of the pages that each of two versions has made itself.

Leads compare orders of the same page, so they cannot tell whether anything on it was worth showing:
a page of which nothing is taken orders nothing, and what a version would bring up does not stand on
the pages of another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml_assets.core.system import System
from ml_assets.core.target import Bools
from ml_assets.evaluation.shares import SharesApart
from ml_assets.evaluation.subjects import subjects_of
from ml_assets.registry.judgement import PartEvidence
from ml_assets.registry.trials import Tried


@dataclass(frozen=True, kw_only=True)
class OwnPages:
    """Users who took something of the first pages that they were shown, out of all: of a version's,
    and of its reference's.

    worse: ln of the e-value against "nobody takes less often of the version's"
    """

    reference: int
    taken: int
    users: int
    other_taken: int
    other_users: int
    worse: float

    @property
    def part(self) -> PartEvidence:
        """As evidence beside that of the leads."""
        return PartEvidence(
            name="its own pages", pairs=self.users + self.other_users, lead=None, low=None,
            high=None, better=0.0, worse=self.worse,
            said=f"of its own pages {self.taken} of {self.users} took something on their first "
                 f"day, of version {self.reference}'s {self.other_taken} of {self.other_users}")


def own_pages(
    system: System, rows: pd.DataFrame, split_N: Bools, tried: Tried
) -> OwnPages | None:
    """None if it is not the target's models that select what is answered.

    rows: N with an outcome; split_N: when both versions had traffic, so that chance decided who
    answers

    A user's pages are alike, and he stays with his version, so each counts once: by the first day
    on which he was shown a page, which nothing later changes. Days are blocks, within which both
    groups are held to the same chance; so it may be looked at every day.
    """
    if not system.target.selects:
        return None
    by_N = rows["model_version"].to_numpy()
    rows = rows[split_N & np.isin(by_N, (tried.version, tried.reference))].reset_index(drop=True)
    apart = SharesApart()
    if rows.empty:
        return OwnPages(reference=tried.reference, taken=0, users=0, other_taken=0, other_users=0,
                        worse=apart.log_e)
    shown = pd.DataFrame({
        "user": system.target.units(subjects_of(system.target, rows)),
        "day": rows["event_timestamp"].dt.floor("D"),
        "own": rows["model_version"] == tried.version,
        "taken": system.target.codes(rows["label"].tolist()) > 0,
    })
    shown = shown[shown["day"] == shown.groupby("user")["day"].transform("min")]
    users = shown.groupby("user").agg(
        day=("day", "first"), own=("own", "min"), both=("own", "nunique"), taken=("taken", "max"))
    users = users[users["both"] == 1]
    for _, block in users.groupby("day"):
        mine, others = block[block["own"]]["taken"], block[~block["own"]]["taken"]
        apart.add(int(others.sum()), len(others), int(mine.sum()), len(mine))
    mine, others = users[users["own"]]["taken"], users[~users["own"]]["taken"]
    return OwnPages(reference=tried.reference, taken=int(mine.sum()), users=len(mine),
                    other_taken=int(others.sum()), other_users=len(others), worse=apart.log_e)
