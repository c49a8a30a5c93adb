"""Where a model's order puts each row of its slate, ties included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml_assets.core.data.subjects import Texts, groups
from ml_assets.core.slates import split
from ml_assets.core.target import Floats, Whole


def slates_of(event_ids: Texts) -> tuple[Whole, Whole]:
    """(slate, position), (N,) each, of N rows; slates are counted from 0 on, positions from 1.

    A row that is of no slate is one of its own.
    """
    named = [split(event_id) or (event_id, 1) for event_id in event_ids]
    requests = np.array([request for request, _ in named], dtype=object)
    return groups(requests), np.array([position for _, position in named], dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """Rows by slate, and in each by score, the highest first.

    Rows of one slate with one score are tied: any order of them is as probable as any other.

    order: where each of the N sorted rows was among those given
    slate: of each, from 0 on; starts: (S,) where each slate begins
    before: how many rows of its slate score higher, tied: how many score the same, itself included
    """

    order: Whole
    slate: Whole
    starts: Whole
    before: Whole
    tied: Whole

    @classmethod
    def of(cls, slate_N: Whole, scores_N: Floats) -> Order:
        order = np.lexsort((-scores_N, slate_N))
        slate, scores = slate_N[order], scores_N[order]
        opens = np.diff(slate, prepend=-1) != 0
        differs = opens | (np.diff(scores, prepend=np.inf) != 0)
        starts, ties, tie = np.flatnonzero(opens), np.flatnonzero(differs), np.cumsum(differs) - 1
        sizes = np.diff(np.append(ties, len(order)))
        return cls(order=order, slate=slate, starts=starts,
                   before=(ties[tie] - starts[slate]).astype(np.int64),
                   tied=sizes[tie].astype(np.int64))

    def mean(self, of_ranks: Floats) -> Floats:
        """The mean (N,) over each row's ranks of what a rank is worth.

        of_ranks: by rank from 0 on; what comes later is worth nothing
        """
        sums = np.concatenate([[0.0], np.cumsum(of_ranks)])
        ends = [np.minimum(each, len(of_ranks)) for each in (self.before + self.tied, self.before)]
        means: Floats = (sums[ends[0]] - sums[ends[1]]) / self.tied
        return means

    def sums(self, values_N: Floats) -> Floats:
        """The sum (S,) over each slate's rows, sorted as these are."""
        if not len(self.starts):
            return np.empty(0)
        summed: Floats = np.add.reduceat(values_N, self.starts)
        return summed
