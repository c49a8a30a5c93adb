"""The pictures of how well slates are ordered."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ml_assets.core.data.subjects import Subjects, groups
from ml_assets.core.slates import SlatePolicy
from ml_assets.core.target import Bools, Whole
from ml_assets.targets.metrics.calibration import wilson
from ml_assets.targets.metrics.order import Order, slates_of
from ml_assets.targets.plots.binary import Models, calibration
from ml_assets.targets.plots.drawing import COLORS, Panels, name, on_top

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANKS = 50
"""As many are drawn."""


def panels(labels_N: Bools, models: Models, subjects: Subjects, policy: SlatePolicy) -> Panels:
    """Of N rows, by name.

    ranks: the share of rows at each rank of a model's order that were taken, with 95% intervals
    recall: the share of what was taken that is among the first k
    calibration: share of True by mean score, in equally filled bins with 95% intervals
    items: how the places on the pages are spread over the items; even is a straight line
    """
    slate_N, _ = slates_of(subjects.event_ids)
    orders = {model: Order.of(slate_N, scores_N) for model, scores_N in models.items()}
    return {
        "ranks": partial(_ranks, labels_N=labels_N, orders=orders, page=policy.page),
        "recall": partial(_recall, labels_N=labels_N, orders=orders, page=policy.page),
        "calibration": partial(calibration, labels_N=labels_N, models=models),
        "items": partial(_items, subjects=subjects, orders=orders, policy=policy),
    }


Orders = Mapping[str, Order]
"""By model, the candidate first."""


def _ranks(axes: Axes, labels_N: Bools, orders: Orders, page: int) -> None:
    for index, (model, order) in enumerate(orders.items()):
        rank_N = _in_one_order(order)
        drawn = int(min(RANKS, rank_N.max(initial=-1) + 1))
        rows_K = np.bincount(rank_N, minlength=drawn)[:drawn]
        taken_K = np.bincount(rank_N, weights=labels_N[order.order], minlength=drawn)[:drawn]
        share_K = taken_K / rows_K
        low_K, high_K = wilson(taken_K, rows_K)
        axes.errorbar(np.arange(drawn) + 1, share_K, np.array([share_K - low_K, high_K - share_K]),
                      color=COLORS[index], label=model, fmt="o-", markersize=3.5, capsize=2,
                      linewidth=1, elinewidth=0.8, zorder=on_top(index))
    axes.axvline(page + 0.5, color="grey", linestyle=":", linewidth=1)
    axes.set_ylim(bottom=0)
    name(axes, "taken by rank", "rank in the model's order (dotted: the page ends)",
         "share that was taken")
    axes.legend(fontsize=7, frameon=False, loc="upper right")


def _recall(axes: Axes, labels_N: Bools, orders: Orders, page: int) -> None:
    for index, (model, order) in enumerate(orders.items()):
        taken_N = labels_N[order.order].astype(np.float64)
        longest = int(min(RANKS, (order.before + order.tied).max(initial=0)))
        recall_K = [0.0] + [
            float((taken_N * order.mean(np.ones(first))).sum() / max(1.0, taken_N.sum()))
            for first in range(1, longest + 1)]
        axes.plot(np.arange(longest + 1), recall_K, color=COLORS[index], label=model,
                  linewidth=1.5, zorder=on_top(index))
    axes.axvline(page, color="grey", linestyle=":", linewidth=1)
    axes.set_ylim(0, 1.03)
    axes.set_xlim(left=0)
    name(axes, "recall of what was taken", "first k of the model's order (dotted: page)", "recall")
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def _items(axes: Axes, subjects: Subjects, orders: Orders, policy: SlatePolicy) -> None:
    items_N, known = subjects.keys.get(policy.item), subjects.known.get(policy.item, 0)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for index, (model, order) in enumerate(orders.items()):
        on_page = order.order[_in_one_order(order) < policy.page]
        shown = np.bincount(groups(items_N[on_page])) if items_N is not None else np.empty(0)
        places = np.cumsum(np.sort(shown)[::-1]) / max(1, int(shown.sum()))
        share_I = np.arange(len(shown) + 1) / max(1, known)
        axes.plot(np.append(share_I, 1), np.concatenate([[0], places, [1]]), color=COLORS[index],
                  label=f"{model}: {len(shown):,} of {known:,}", linewidth=1.5,
                  zorder=on_top(index))
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.03)
    name(axes, "items on the pages", "share of the known items, the most shown first",
         "share of places")
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def _in_one_order(order: Order) -> Whole:
    """The rank (N,) of each row from 0 on, ties in the order that they have."""
    return np.arange(len(order.order)) - order.starts[order.slate]
