"""What the version that answers says of all candidates of a page, and the order that follows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, chain, pairwise

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import NotReady
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.slates import SlatePolicy
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.ingest.log.served import AnsweringRole
from ml_assets.registry.routing import sticky_key
from ml_assets.serving.answer.by_version import Seen, see
from ml_assets.serving.answer.features import GuardedState
from ml_assets.serving.answer.slates.candidates import Candidates
from ml_assets.serving.answer.slates.page import Page
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.models.loaded_rollout import Arm, LineUp
from ml_assets.serving.models.pool import ModelPool
from ml_assets.serving.models.scoring import checked, outputs_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """K candidates of one page, scored by one version.

    order: the indices of the K candidates, the best first
    features: (K, D) in the order of `names`; as_of: (K) the instants whose state they show
    outputs: (K, W)
    position: of the log, that the features were read at; None if the page is degraded
    """

    order: Sequence[int]
    version: int
    role: AnsweringRole
    propensity: float
    names: tuple[str, ...]
    features: npt.NDArray[np.float32]
    as_of: Sequence[datetime]
    position: int | None
    outputs: npt.NDArray[np.float64]


class PageScores:
    """Scores the candidates of one system's pages. One call at a time.

    A page is answered by one version alone. Without features, or if the model fails, its order is
    that of the latest night's list.
    """

    def __init__(
        self, system: System, policy: SlatePolicy, state: GuardedState, models: ModelPool,
        candidates: Candidates, lines: SparseLog, guard: Guard,
    ) -> None:
        self._item, self._guard = policy.item, guard
        self._system, self._state, self._models = system, state, models
        self._candidates, self._lines = candidates, lines

    def score(self, pages: Sequence[Page]) -> list[Ranked]:
        """Of each page, in order; all candidates are read and scored at once.

        Raises NotReady if there is no model, and no list that one has made. If the champion fails
        with several pages, its error is raised: who is to blame is found out page by page.
        """
        lineup = self._models.lineup
        if lineup is None:
            return [self._kept(page, NotReady(self._models.why_none())) for page in pages]
        ranked: dict[int, Ranked] = {}
        seen: dict[tuple[str, ...], Seen] = {}
        for arm, mine in self._by_arm(lineup, pages):
            try:
                found = self._score_by(arm, mine, pages, seen)
            except Exception as error:
                found = self._instead(lineup, arm.model.version, mine, pages, seen, error)
            self._guard.answered(lineup, found[0].version, len(mine),
                                 degraded=found[0].position is None)
            ranked.update(zip(mine, found, strict=True))
        return [ranked[index] for index in range(len(pages))]

    def _by_arm(
        self, lineup: LineUp, pages: Sequence[Page]
    ) -> Iterator[tuple[Arm, list[int]]]:
        """Who answers which pages."""
        arms: dict[int, Arm] = {}
        mine: dict[int, list[int]] = {}
        for index, page in enumerate(pages):
            # An item is no answer to who asks.
            event = {**page.rows[0], self._item: None}
            arm = lineup.arm(sticky_key(self._system, event, page.request_id))
            arms[arm.model.version] = arm
            mine.setdefault(arm.model.version, []).append(index)
        yield from ((arms[version], indices) for version, indices in mine.items())

    def _score_by(
        self, arm: Arm, mine: Sequence[int], pages: Sequence[Page],
        seen: dict[tuple[str, ...], Seen],
    ) -> list[Ranked]:
        """One version's pages, scored as one batch.

        seen: by the names of the features, what all pages have read of them so far
        """
        model, names = arm.model, tuple(arm.model.scorer.feature_names)
        if names not in seen:
            seen[names] = see(
                self._system, self._state, names,
                list(chain.from_iterable(page.rows for page in pages)),
                [page.at for page in pages for _ in page.rows])
        dense, until, position = seen[names]
        bounds = list(pairwise(accumulate((len(page.rows) for page in pages), initial=0)))
        rows = [row for index in mine for row in pages[index].rows]
        parts = [dense[slice(*bounds[index])] for index in mine]
        outputs = outputs_of(model.scorer, rows, parts[0] if len(parts) == 1
                             else np.concatenate(parts))
        target = self._system.target
        checked(model.version, outputs, target)
        ranked, start = [], 0
        for index, features in zip(mine, parts, strict=True):
            page, end = pages[index], start + len(features)
            of_page = outputs[start:end]
            ranked.append(Ranked(
                order=kept_order(page) if position is None else best_first(target.score(of_page)),
                version=model.version, role=arm.role, propensity=arm.propensity, names=names,
                features=features, as_of=until[slice(*bounds[index])], position=position,
                outputs=of_page))
            start = end
        return ranked

    def _instead(
        self, lineup: LineUp, version: int, mine: Sequence[int], pages: Sequence[Page],
        seen: dict[tuple[str, ...], Seen], error: Exception,
    ) -> list[Ranked]:
        """What another version says of the pages that this one failed on."""
        substitute = lineup.substitute(version)
        if substitute is None:
            return [self._without_model(pages, error)]
        try:
            found = self._score_by(substitute, mine, pages, seen)
        except Exception:
            # Both fail: a page is to blame. Which one, is found out page by page.
            return [self._without_model(pages, error)]
        if self._guard.failed(lineup, version, error):
            self._models.dismiss(version, error)
        return found

    def _without_model(self, pages: Sequence[Page], error: Exception) -> Ranked:
        """The one page that the champion fails on."""
        if len(pages) > 1:
            raise error
        self._lines.say(log, logging.ERROR, (self._system.name, "ranking", type(error)),
                        "%s: the champion failed to score a page: %s; it has the order of the "
                        "latest lists", self._system.name, error, error=error)
        return self._kept(pages[0], error)

    def _kept(self, page: Page, why: Exception) -> Ranked:
        """The page as the latest night's model had it. Raises `why` if there was none."""
        version, kept = self._candidates.version, page.kept
        if version is None or not kept:
            raise why
        of = {key_text(item): score for item, score in
              zip(kept.items, kept.scores.tolist(), strict=True)}
        last = min(of.values())
        scores = np.array([[of.get(key_text(item), last)] for item in page.items])
        return Ranked(
            order=kept_order(page), version=version, role="champion", propensity=1.0, names=(),
            features=np.empty((len(page.items), 0), np.float32),
            as_of=[page.at] * len(page.items), position=None, outputs=scores)


def best_first(scores: npt.NDArray[np.float64]) -> list[int]:
    """The indices of K scores, the highest first; of equal ones in the order of the candidates."""
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return order


def kept_order(page: Page) -> list[int]:
    """The candidates as the kept list has them, then all others as they were given."""
    place = {} if page.kept is None else {
        key_text(item): index for index, item in enumerate(page.kept.items)}
    return sorted(range(len(page.items)),
                  key=lambda index: place.get(key_text(page.items[index]), len(place)))
