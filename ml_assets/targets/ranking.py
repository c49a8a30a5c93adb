"""A question that is answered by an order: which of these will be taken?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np

from ml_assets.core.data.subjects import Subjects, groups
from ml_assets.core.declaration import declaration
from ml_assets.core.policies import Gate
from ml_assets.core.slates import Nightly, Popular, SlatePolicy
from ml_assets.core.target import Cases, Floats, Measured, Metric, Whole
from ml_assets.targets.booleans import Booleans
from ml_assets.targets.metrics.order import Order, slates_of
from ml_assets.targets.metrics.ranking import MeasuredRanking, of_page


@declaration
class Ranking(Booleans):
    """Each item of a slate is a row, whose label says whether it was taken; a model answers with
    the probability of that, and the rows of a slate stand in its order.

    It is judged by its order: a case is a slate of which something was taken, and loses what its
    NDCG at `page` lacks to 1. Scores that are right on average among items drawn evenly are too
    high for the best ten of all, so log losses of rows drawn and of rows shown say nothing about
    each other.

    item, user, page, explore, candidates, newcomers, debias: see `SlatePolicy`
    """

    name: str
    item: str
    user: str | None = None
    page: int = 10
    explore: float = 0.0
    candidates: Nightly | None = None
    newcomers: Popular = Popular()
    debias: bool = False

    kind: ClassVar[str] = "ranking"
    metrics: ClassVar = {
        "ndcg_loss": Metric(higher=False, highest=1, complement_of="ndcg"),
        "log_loss": Metric(higher=False),
        "ndcg": Metric(higher=True, highest=1),
        "recall": Metric(higher=True, highest=1),
        "mrr": Metric(higher=True, highest=1),
        "auc": Metric(higher=True, highest=1),
        "coverage": Metric(higher=True, highest=1),
        "ips_log_loss": Metric(higher=False),
        "ips_taken": Metric(higher=True, highest=1),
    }
    shown: ClassVar = ("ndcg", "auc", "mrr", "ips_taken")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._policy()

    @cached_property
    def slates(self) -> SlatePolicy:
        return self._policy()

    @property
    def selects(self) -> bool:
        return True

    @property
    def entities(self) -> tuple[str, ...]:
        return (self.item,) if self.user is None else (self.user, self.item)

    @property
    def boundary(self) -> float:
        """From there on it is likelier that an item is taken than not; no order depends on it."""
        return 0.5

    @property
    def gates(self) -> tuple[Gate, ...]:
        return (Gate(metric="auc", at_least=0.5), *super().gates)

    def rates(self, codes_N: Floats, decisions_N: Floats) -> dict[str, tuple[int, int]]:
        return {"taken": (int((codes_N > 0).sum()), len(codes_N))}

    def cases(self, codes_N: Floats, outputs_NW: Floats, subjects: Subjects) -> Cases:
        """Each slate of which something was taken, in the order of their requests' ids."""
        slate_N, _ = slates_of(subjects.event_ids)
        order = Order.of(slate_N, outputs_NW[:, 0])
        ndcg_S, _, _, some_S = of_page(order, codes_N[order.order], self.page)
        first_S = np.full(len(order.starts), len(codes_N))
        np.minimum.at(first_S, slate_N, np.arange(len(codes_N)))
        judged = some_S > 0
        return Cases(losses=1 - ndcg_S[judged], rows=first_S[judged])

    def measured(self, codes_N: Floats, outputs_NW: Floats, subjects: Subjects) -> Measured:
        return MeasuredRanking(codes_N > 0, outputs_NW[:, 0], self.losses(codes_N, outputs_NW),
                               subjects, self.slates, self.units(subjects))

    def figures(
        self, codes_N: Floats, models: Mapping[str, Floats], title: str, subjects: Subjects
    ) -> dict[str, bytes]:
        from ml_assets.targets.plots import drawing
        from ml_assets.targets.plots import ranking as plots

        scores = {name: outputs_NW[:, 0] for name, outputs_NW in models.items()}
        return drawing.pictures(
            plots.panels(codes_N > 0, scores, subjects, self.slates), title)

    def units(self, subjects: Subjects) -> Whole:
        """The users; each slate that is nobody's, and all slates if they are of a single user."""
        slate_N, _ = slates_of(subjects.event_ids)
        users = subjects.keys.get(self.user) if self.user is not None else None
        if users is None or len(set(users)) < 2:
            return slate_N
        named = np.array([f"user {user}" if user else f"slate {slate}"
                          for user, slate in zip(users, slate_N, strict=True)], dtype=object)
        return groups(named)

    def _policy(self) -> SlatePolicy:
        return SlatePolicy(
            item=self.item, user=self.user, page=self.page, explore=self.explore,
            candidates=self.candidates, newcomers=self.newcomers, debias=self.debias)
