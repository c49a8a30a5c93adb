"""What orders of slates are worth, for many weightings of the rows at once.

Ties are averaged: what a model says of rows to which it gives one score is the mean over all their
orders (McSherry and Najork, "Computing information retrieval performance measures efficiently in
the presence of tied scores", ECIR 2008). So a model that answers all rows alike is as good as
chance, and the order of the rows does not matter.
"""

from __future__ import annotations

import numpy as np

from ml_assets.core.data.metric import MeanOfShares
from ml_assets.core.data.subjects import Subjects, groups
from ml_assets.core.slates import SlatePolicy
from ml_assets.core.slates.propensity import inverse_propensities
from ml_assets.core.target import Bools, Floats, Whole
from ml_assets.targets.metrics.order import Order, slates_of

FEWEST_UNITS = 10
"""Users below which nothing has an interval."""
FEW_UNITS = f"fewer than {FEWEST_UNITS} users (slates, if those have none) are judged"
FEW_ITEMS = "fewer users are shown fewer items, so any sample understates it"


class MeasuredRanking:
    """N labels and one model's scores, see `core.data.metric.Measured`.

    labels_N: whether it was taken; scores_N: probabilities of that, with their losses
    unit_N: whose slate each is of, from 0 on; without a user of its own each slate is a unit

    All rows of a slate have one weight: slates are drawn whole.
    """

    def __init__(
        self, labels_N: Bools, scores_N: Floats, losses_N: Floats, subjects: Subjects,
        policy: SlatePolicy, unit_N: Whole,
    ) -> None:
        self.shares: dict[str, tuple[int, int]] = {}
        self.means: dict[str, MeanOfShares] = {}
        self.clustered: dict[str, Floats] = {}
        slate_N, position_N = slates_of(subjects.event_ids)
        order = Order.of(slate_N, scores_N)
        taken_N = labels_N[order.order].astype(np.float64)
        self._order, self._first = order.order, order.order[order.starts]
        self._by_slate = np.stack([
            *of_page(order, taken_N, policy.page), *_of_pairs(order, taken_N)], axis=1)
        weights_N = inverse_propensities(subjects.propensities)[order.order]
        agrees_N = _agrees(order, position_N[order.order] - 1)
        losses = losses_N[order.order]
        self._by_row = np.stack([
            losses, np.ones_like(losses), weights_N * losses, weights_N,
            weights_N * agrees_N * taken_N, weights_N * agrees_N], axis=1)
        self.contributions = self._of_units(unit_N)
        units = int(unit_N.max(initial=-1)) + 1
        self.unsure = {"coverage": FEW_ITEMS} if units >= FEWEST_UNITS else dict.fromkeys(
            ("coverage", *self.contributions), FEW_UNITS)
        items = subjects.keys.get(policy.item)
        self._known = subjects.known.get(policy.item, 0)
        on_page = order.before < policy.page
        self._shown = np.empty(0, dtype=np.int64) if items is None else \
            order.order[on_page & (items[order.order] != "")]
        item = np.empty(0, np.int64) if items is None else groups(items[self._shown])
        by_item = np.argsort(item, kind="stable")
        self._shown = self._shown[by_item]
        self._items = np.flatnonzero(np.diff(item[by_item], prepend=-1))

    def measure(self, weights_RN: Floats) -> dict[str, Floats]:
        """See `core.data.metric.Measured`.

        ndcg_loss: 1 - ndcg.
        ndcg, recall, mrr: at page, the mean over slates of which something was taken. Of an item
            that was taken, recall counts it, mrr the inverse of the first one's rank, ndcg each
            one's 1 / log2(rank + 1), divided by what the best order would reach.
        auc: in how many pairs of one slate what was taken is before what was not, ties half;
            the mean over slates that have such pairs.
        coverage: the share of the known items that are on the page of any slate.
        ips_log_loss: the mean loss if items had been shown by equal chance: rows weigh
            1 / propensity, clipped, and weights are divided by their sum (Schnabel et al.,
            "Recommendations as treatments", ICML 2016; Swaminathan and Joachims, "The
            self-normalized estimator for counterfactual learning", NeurIPS 2015).
        ips_taken: the share of shown items that are taken if the model orders the same slates:
            rows at whose position the model has the same item, weighed likewise (the
            item-position estimator of Li et al., "Offline evaluation of ranking policies with
            click models", KDD 2018).
        """
        rows = (weights_RN[:, self._order] @ self._by_row).T
        slates = (weights_RN[:, self._first] @ self._by_slate).T
        ndcg_R = _ratio(slates[0], slates[3])
        return {
            "ndcg_loss": 1 - ndcg_R,
            "log_loss": _ratio(rows[0], rows[1]),
            "ndcg": ndcg_R,
            "recall": _ratio(slates[1], slates[3]),
            "mrr": _ratio(slates[2], slates[3]),
            "auc": _ratio(slates[4], slates[5]),
            "coverage": self._coverage(weights_RN),
            "ips_log_loss": _ratio(rows[2], rows[3]),
            "ips_taken": _ratio(rows[4], rows[5]),
        }

    def _of_units(self, unit_N: Whole) -> dict[str, tuple[Floats, ...]]:
        """What each unit adds to a metric, which is a ratio of two sums over units."""
        rows: Floats = _summed(unit_N[self._order], self._by_row)
        slates: Floats = _summed(unit_N[self._first], self._by_slate)
        return {name: (_added(sums[:, part], sums[:, whole]),)
                for name, sums, part, whole in (
                    ("log_loss", rows, 0, 1), ("ips_log_loss", rows, 2, 3),
                    ("ips_taken", rows, 4, 5), ("ndcg", slates, 0, 3), ("recall", slates, 1, 3),
                    ("mrr", slates, 2, 3), ("auc", slates, 4, 5)) if sums[:, whole].sum() > 0}

    def _coverage(self, weights_RN: Floats) -> Floats:
        if not self._known:
            return np.full(len(weights_RN), np.nan)
        if not len(self._items):
            return np.zeros(len(weights_RN))
        weights = weights_RN[:, self._shown]
        seen: Floats = (np.maximum.reduceat(weights, self._items, axis=1) > 0).sum(axis=1)
        return seen / self._known


def _summed(unit_N: Whole, columns_NC: Floats) -> Floats:
    """(U, C)"""
    return np.stack([np.bincount(unit_N, column_N).astype(np.float64)
                     for column_N in columns_NC.T], axis=1)


def _added(part_U: Floats, whole_U: Floats) -> Floats:
    ratio = part_U.sum() / whole_U.sum()
    added_U: Floats = ratio + (part_U - ratio * whole_U) / whole_U.mean()
    return added_U


def of_page(order: Order, taken_N: Floats, page: int) -> list[Floats]:
    """ndcg, recall, mrr at page and whether anything was taken, (S,) each; 0 if nothing was."""
    gains = 1 / np.log2(np.arange(page) + 2.0)
    taken_S = order.sums(taken_N)
    some_S = taken_S > 0
    best_S = np.cumsum(gains)[np.clip(taken_S.astype(np.int64), 1, page) - 1]
    found_S = order.sums(taken_N * order.mean(np.ones(page)))
    return [order.sums(taken_N * order.mean(gains)) / best_S,
            found_S / np.maximum(taken_S, 1), _first_found(order, taken_N, page),
            some_S.astype(np.float64)]


def _first_found(order: Order, taken_N: Floats, page: int) -> Floats:
    """The inverse of the rank of the first row that was taken, (S,); 0 if none is on the page.

    Of m tied rows r were taken: the chance that the first of these is the j-th is
    C(m - j, r - 1) / C(m, r), which the loop goes through.
    """
    opens = np.flatnonzero(np.diff(order.slate * (len(taken_N) + 1) + order.before, prepend=-1))
    if not len(opens):
        return np.empty(0)
    there = np.add.reduceat(taken_N, opens)
    slate, first = order.slate[opens], there > 0
    _, index = np.unique(slate[first], return_index=True)
    chosen = np.flatnonzero(first)[index]
    found, rows = there[chosen], order.tied[opens][chosen].astype(np.float64)
    rank, chance = order.before[opens][chosen] + 1.0, there[chosen] / rows
    value = np.zeros(len(chosen))
    for step in range(int(min(page, rows.max(initial=0)))):
        value += np.where(rank + step <= page, chance / (rank + step), 0)
        left = np.maximum(rows - step - 1, 1)
        chance = chance * np.maximum(rows - step - found, 0) / left
    values_S = np.zeros(len(order.starts))
    values_S[slate[chosen]] = value
    return values_S


def _of_pairs(order: Order, taken_N: Floats) -> list[Floats]:
    """The share of pairs in the right order and whether there are any, (S,) each."""
    taken_S, left_S = order.sums(taken_N), order.sums(1 - taken_N)
    pairs_S = taken_S * left_S
    passed = np.concatenate([[0.0], np.cumsum(1 - taken_N)])
    start_N = order.starts[order.slate]
    first_N = start_N + order.before
    higher_N = passed[first_N] - passed[start_N]
    same_N = passed[first_N + order.tied] - passed[first_N]
    lost_S = order.sums(taken_N * (higher_N + same_N / 2))
    return [np.where(pairs_S > 0, 1 - lost_S / np.maximum(pairs_S, 1), 0.0),
            (pairs_S > 0).astype(np.float64)]


def _agrees(order: Order, rank_N: Whole) -> Floats:
    """The chance (N,) that the model's order has a row at the rank, from 0 on, at which it was."""
    there_N = (order.before <= rank_N) & (rank_N < order.before + order.tied)
    chances_N: Floats = there_N / order.tied
    return chances_N


def _ratio(sums_R: Floats, counts_R: Floats) -> Floats:
    ratios_R: Floats = np.full(len(sums_R), np.nan)
    np.divide(sums_R, counts_R, out=ratios_R, where=counts_R > 0)
    return ratios_R
