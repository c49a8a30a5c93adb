"""What makes up, among outcomes that two models are compared on, for mistakes that nobody reports.

Of a row whose mistake becomes known with a chance q, either the truth y is known or silence says d.
The lead (lead(y) - (1 - q) lead(d)) / q where the truth is known, and lead(d) where it is not, has
the mean lead(y): the rows that silence has wrong count as often as those that stand for them take
back (Natarajan et al., "Learning with noisy labels", NeurIPS 2013, lemma 1, for a rate that is
known). The rate is estimated by audits, so what follows is as sure as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats, Whole
from ml_assets.ingest.audits import contradicts, reporting
from ml_assets.ingest.lake import Lake


@dataclass(frozen=True, kw_only=True, eq=False)
class Unreported:
    """Of each of N rows: the code that silence would have given it, whether what is known says
    something else, and how probable it is that a mistake becomes known.

    >>> made = Unreported(silent_N=np.zeros(2), apart_N=np.array([True, False]),
    ...                   chances_N=np.array([0.5, 0.5]))
    >>> made.leads(np.array([-0.2, 0.3]), np.array([0.3, 0.3]))
    array([-0.7,  0.3])
    """

    silent_N: Floats
    apart_N: Bools
    chances_N: Floats

    def of_rows(self, chosen: Bools | Whole) -> Unreported:
        return Unreported(silent_N=self.silent_N[chosen], apart_N=self.apart_N[chosen],
                          chances_N=self.chances_N[chosen])

    def leads(self, known_N: Floats, silent_N: Floats) -> Floats:
        """The leads by what is known and by what silence says, made one."""
        made_N: Floats = np.where(
            self.apart_N, (known_N - (1 - self.chances_N) * silent_N) / self.chances_N, known_N)
        return made_N

    @property
    def reaches_N(self) -> Floats:
        """How many times as far from 0 a lead may be."""
        reaches_N: Floats = (2 - self.chances_N) / self.chances_N
        return reaches_N


def unreported(
    system: System, settings: Settings, rows: pd.DataFrame, until: datetime
) -> Unreported | None:
    """By the audits known before `until`; None if there are none, or rows are judged by the slate.

    rows: of `tables.outcomes_schema`, one for each prediction
    """
    if system.target.slates is not None or not len(rows):
        return None
    known = reporting(Lake(settings.lake), system, until=until)
    if known is None:
        return None
    decisions = rows["decision"].tolist()
    silent = [system.truth.of_silence(each) for each in decisions]
    said = [decision if each is None else each
            for decision, each in zip(decisions, silent, strict=True)]
    return Unreported(
        silent_N=system.target.codes(said), chances_N=known.chances(system.target, said),
        apart_N=contradicts(system, rows["label"].tolist(), decisions))
