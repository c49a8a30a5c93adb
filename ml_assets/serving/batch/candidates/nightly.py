"""The lists of one night: the popular items as the deployed model orders them for each user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.core.slates import SlatePolicy
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.serving.batch.candidates.lately import Lately, PopularItem
from ml_assets.serving.batch.day import ASKED_AT_ONCE, SCORED_AT_ONCE, History
from ml_assets.serving.models.scoring import Scorer, dense_vectors, outputs_of

NIGHTLY, NEWCOMERS = "nightly", "newcomers"
"""What a list rests on: the column `basis`."""
ANY_TIME = timedelta(days=365)
"""How old the context may be in which the newcomers' list is scored."""


@dataclass(frozen=True, kw_only=True)
class UserList:
    """user: a key, empty for those who have no list; items, scores: (K), the best first"""

    user: str
    items: Sequence[object]
    scores: Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class NightlyScores:
    """Makes the lists as of an instant.

    scorer: the deployed model; without one there is only the newcomers' list, without scores
    """

    system: System
    policy: SlatePolicy
    scorer: Scorer | None
    history: History
    lately: Lately
    end: datetime

    def lists(self) -> Iterator[UserList]:
        """First the newcomers' list, then one for each active user, in the order of keys.

        A user is scored as if he asked at `end` in the context of his latest event. Memory does
        not grow with the number of users.
        """
        newcomers, nightly = self.policy.newcomers, self.policy.candidates
        popular = self.popular()
        first = popular[: newcomers.top]
        if first:
            yield UserList(user="", items=[each.item for each in first],
                           scores=self._newcomers_scores(first))
        if nightly is None or self.policy.user is None or self.scorer is None or not popular:
            return
        pool = [each.item for each in popular[: nightly.pool]]
        for contexts in self.lately.contexts(nightly.active, max(1, ASKED_AT_ONCE // len(pool))):
            scores = self._scores(self.scorer, contexts, pool).reshape(len(contexts), len(pool))
            for context, mine in zip(contexts, scores, strict=True):
                # Of equal scores the more popular item comes first.
                best = np.argsort(-mine, kind="stable")[: nightly.top].tolist()
                yield UserList(user=key_text(context[self.policy.user]),
                               items=[pool[each] for each in best],
                               scores=mine[best].tolist())

    def popular(self) -> list[PopularItem]:
        """All items that any list may have, the most popular first."""
        newcomers, nightly = self.policy.newcomers, self.policy.candidates
        return self.lately.popular(
            newcomers, max(newcomers.top, 0 if nightly is None else nightly.pool))

    def _newcomers_scores(self, popular: Sequence[PopularItem]) -> Sequence[float | None]:
        """What the model says of the items for a user whom nobody knows."""
        context = self.lately.context(ANY_TIME)
        if self.scorer is None or context is None:
            return [None] * len(popular)
        if self.policy.user is not None:
            context = {**context, self.policy.user: None}
        scores: list[float] = self._scores(
            self.scorer, [context], [each.item for each in popular]).tolist()
        return scores

    def _scores(
        self, scorer: Scorer, contexts: Sequence[Mapping[str, Any]], pool: Sequence[object]
    ) -> npt.NDArray[np.float64]:
        """(U * P) of P items for each of U contexts."""
        rows = [{**context, self.policy.item: item} for context in contexts for item in pool]
        keys = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object)
                             for name in self.system.keys})
        at = pd.Series([self.end] * len(rows))
        features = self.history.read(keys, at, accepted_at=at)
        parts = [np.empty(0)]
        for start in range(0, len(rows), SCORED_AT_ONCE):
            some = rows[start : start + SCORED_AT_ONCE]
            dense = dense_vectors(self.system, some, features[start : start + SCORED_AT_ONCE])
            parts.append(self.system.target.score(outputs_of(scorer, some, dense)))
        return np.concatenate(parts)
