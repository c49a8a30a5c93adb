"""The pictures of how well yes-or-no answers fit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ml_assets.core.target import Bools, Floats
from ml_assets.targets.metrics.calibration import reliability
from ml_assets.targets.plots.drawing import COLORS, Panels, name, on_top

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Models = Mapping[str, Floats]
"""Scores of the same rows by name, (N,) each: the candidate, then the champion if any."""

TRUE, FALSE = "#f58518", "#54a24b"
MARKED_RATES = (0.005, 0.01)
"""The false positive rates of `recall_at_fpr_0.5%` and `recall_at_fpr_1%`."""


def panels(labels_N: Bools, models: Models) -> Panels:
    """Of N rows, by name.

    roc: recall by false positive rate, the rate in logarithms, because the first percent is
        what counts.
    precision_recall: precision by recall; the dotted line is the precision of chance.
    calibration: share of True by mean score, in equally filled bins with 95% intervals.
    scores: how many rows of each class got which score.
    """
    drawn = {"roc": _roc, "precision_recall": _precision_recall, "calibration": calibration,
             "scores": _scores}
    return {each: partial(draw, labels_N=labels_N, models=models) for each, draw in drawn.items()}


def _roc(axes: Axes, labels_N: Bools, models: Models) -> None:
    least = min(0.5 / max(1, int((~labels_N).sum())), MARKED_RATES[0] / 2)
    worst = 1.0
    for model, scores_N, color, height in _each(models):
        recall_U, rate_U, _ = _steps(labels_N, scores_N)
        axes.step(np.maximum(rate_U, least), recall_U, where="post", color=color,
                  label=model, zorder=height)
        worst = min(worst, float(recall_U[rate_U <= MARKED_RATES[0]].max(initial=0)))
    for rate in MARKED_RATES:
        axes.axvline(rate, color="grey", linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(least, 1)
    ticks = [tick for tick in (0.001, *MARKED_RATES, 0.1, 1) if tick >= least]
    axes.set_xticks(ticks, [f"{tick:.1%}" if tick < 0.01 else f"{tick:.0%}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(max(0.0, worst - 0.2), 1.01)
    name(axes, "ROC", "false positive rate (log)", "recall")
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def _precision_recall(axes: Axes, labels_N: Bools, models: Models) -> None:
    chance = float(labels_N.mean()) if len(labels_N) else 0.0
    for model, scores_N, color, height in _each(models):
        recall_U, _, precision_U = _steps(labels_N, scores_N)
        axes.step(recall_U, precision_U, where="pre", color=color, label=model,
                  zorder=height)
    axes.axhline(chance, color="grey", linestyle=":", linewidth=1)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.03)
    name(axes, "precision and recall", "recall", "precision")
    axes.legend(fontsize=7, frameon=False, loc="lower left")


def calibration(axes: Axes, labels_N: Bools, models: Models) -> None:
    """See `panels`."""
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for model, scores_N, color, height in _each(models):
        bins = reliability(labels_N, scores_N)
        reach = np.array([bins.share - bins.low, bins.high - bins.share])
        axes.errorbar(bins.mean_score, bins.share, reach, color=color, label=model, fmt="o-",
                      markersize=3.5, capsize=2, linewidth=1, elinewidth=0.8, zorder=height)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    name(axes, f"calibration: bins of {round(len(labels_N) / 10)} of {len(labels_N)} rows",
          "mean score", "share of True")
    axes.legend(fontsize=7, frameon=False, loc="upper center")


def _scores(axes: Axes, labels_N: Bools, models: Models) -> None:
    edges = np.linspace(0, 1, 26).tolist()
    for index, (model, scores_N) in enumerate(models.items()):
        for value, color in ((False, FALSE), (True, TRUE)):
            of_class = scores_N[labels_N == value]
            label = f"{value}: {model}"
            if index == 0:
                axes.hist(of_class, edges, color=color, label=label, alpha=0.5,
                          histtype="stepfilled")
            else:
                axes.hist(of_class, edges, color=color, label=label, histtype="step")
    axes.set_xlim(0, 1)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 2 * max(1, len(labels_N)))
    ticks = [tick for tick in (0, 1, 10, 100, 1000, 10_000) if tick <= len(labels_N)]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    name(axes, "scores by class", "score", "rows (log)")
    axes.legend(fontsize=7, frameon=False, loc="upper center")


def _each(models: Models) -> list[tuple[str, Floats, str, int]]:
    """(model, scores, colour, height): the candidate comes first and lies on top."""
    return [
        (model, scores_N, COLORS[index], on_top(index))
        for index, (model, scores_N) in enumerate(models.items())
    ]


def _steps(labels_N: Bools, scores_N: Floats) -> tuple[Floats, Floats, Floats]:
    """Recall, false positive rate and precision at every threshold, from the highest on.

    The first entry is a threshold above all scores.
    """
    order = np.argsort(-scores_N, kind="stable")
    last_of_step = np.append(np.diff(scores_N[order]) != 0, True)[: len(order)]
    hits = np.concatenate([[0], np.cumsum(labels_N[order])[last_of_step]])
    flagged = np.concatenate([[0], np.flatnonzero(last_of_step) + 1])
    positives, negatives = max(1, int(labels_N.sum())), max(1, int((~labels_N).sum()))
    precision = np.where(flagged > 0, hits / np.maximum(flagged, 1), 1.0)
    return hits / positives, (flagged - hits) / negatives, precision
