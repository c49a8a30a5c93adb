"""The lists of one night: popular items and own ones as the deployed model orders them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.core.slates import Nightly, SlatePolicy
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.features.derived.declared import HAPPENED
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


class OwnItems:
    """The items of each user, looked up in the order of users' keys; none are held in memory but
    one user's."""

    def __init__(self, of_users: Iterable[tuple[str, Sequence[object]]]) -> None:
        """of_users: in the order of keys"""
        self._rest = iter(of_users)
        self._next = next(self._rest, None)

    def of(self, user: str) -> Sequence[object]:
        """user: none that comes before one that was asked for"""
        while self._next is not None and self._next[0] < user:
            self._next = next(self._rest, None)
        return self._next[1] if self._next is not None and self._next[0] == user else ()


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
        """First the newcomers' list, then one for each active user, in the order of keys: of the
        popular items and those that he took himself.

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
        offered = len(pool) + (0 if nightly.own is None else nightly.own.top)
        own = OwnItems(() if nightly.own is None else self.lately.own(nightly.own))
        for contexts in self.lately.contexts(nightly.active, max(1, ASKED_AT_ONCE // offered)):
            users = [key_text(context[self.policy.user]) for context in contexts]
            offers = [list(dict.fromkeys([*pool, *own.of(user)])) for user in users]
            bounds = list(accumulate(map(len, offers), initial=0))
            scores = self._scores(self.scorer, contexts, offers)
            for user, offer, (start, end) in zip(users, offers, pairwise(bounds), strict=True):
                mine = scores[start:end]
                best = chosen(mine, nightly, seed=f"{self.system.name}\0{self.end}\0{user}")
                yield UserList(user=user, items=[offer[each] for each in best],
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
            self.scorer, [context], [[each.item for each in popular]]).tolist()
        return scores

    def _scores(
        self, scorer: Scorer, contexts: Sequence[Mapping[str, Any]],
        offers: Sequence[Sequence[object]],
    ) -> npt.NDArray[np.float64]:
        """Of each context's items, those of the first context first."""
        rows = [{**context, self.policy.item: item}
                for context, items in zip(contexts, offers, strict=True) for item in items]
        at = pd.Series([self.end] * len(rows))
        needed = dict.fromkeys([*self.system.keys, *self.history.columns])
        keys = pd.DataFrame({
            name: at if name == HAPPENED else pd.Series([row[name] for row in rows], dtype=object)
            for name in needed})
        features = self.history.read(keys, at, accepted_at=at)
        parts = [np.empty(0)]
        for start in range(0, len(rows), SCORED_AT_ONCE):
            some = rows[start : start + SCORED_AT_ONCE]
            dense = dense_vectors(self.system, some, features[start : start + SCORED_AT_ONCE])
            parts.append(self.system.target.score(outputs_of(scorer, some, dense)))
        return np.concatenate(parts)


def chosen(scores: npt.NDArray[np.float64], nightly: Nightly, *, seed: str) -> list[int]:
    """Which of the items with these scores a list has, the best first; the same seed draws the
    same.

    Of equal scores the more popular item, which is given first, comes first.
    """
    order = np.argsort(-scores, kind="stable")
    if not nightly.drawn or len(order) <= nightly.top:
        first: list[int] = order[: nightly.top].tolist()
        return first
    best = nightly.top - max(1, round(nightly.drawn * nightly.top))
    draw = np.random.default_rng(list(seed.encode()))
    rest = np.sort(draw.choice(len(order) - best, nightly.top - best, replace=False))
    found: list[int] = order[[*range(best), *(best + rest)]].tolist()
    return found
