"""The pictures of how well answers with one of several classes fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ml_assets.core.target import Floats, Whole
from ml_assets.targets.metrics.calibration import reliability, wilson
from ml_assets.targets.plots.drawing import COLORS, Panels, name, on_top

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Models = Mapping[str, Floats]
"""Probabilities of the same rows by name, (N, K) each: the candidate, then the champion if any."""

MOST = 10
"""Classes that a panel has room for: the most frequent; all others are drawn as one."""
LONGEST = 10
"""Characters of a class's name at an axis."""
RIGHT, WRONG = "#54a24b", "#e45756"


def panels(classes: Sequence[str], true_N: Whole, models: Models) -> Panels:
    """Of N rows, by name.

    confusion: of the candidate: of each true class, the share decided for each class, and rows.
    recall: the share of each class's rows that is decided for it, with 95% intervals.
    calibration: share of right decisions by the probability of the class decided for.
    confidence: of the candidate: that probability, of right and of wrong decisions.
    """
    shown, place_of = _places(classes, true_N)
    drawn: dict[str, Callable[..., None]] = {
        "confusion": partial(_confusion, shown=shown, place_of=place_of),
        "recall": partial(_recall, shown=shown, place_of=place_of),
        "calibration": _calibration, "confidence": _confidence,
    }
    return {each: partial(draw, true_N=true_N, models=models) for each, draw in drawn.items()}


def _places(classes: Sequence[str], true_N: Whole) -> tuple[list[str], Whole]:
    """The names at the axes, and the place there of each class's code."""
    counts_K = np.bincount(true_N, minlength=len(classes))
    kept = sorted(np.argsort(-counts_K, kind="stable")[:MOST].tolist())
    place_of = np.full(len(classes), len(kept))
    place_of[kept] = np.arange(len(kept))
    names = [_short(classes[code]) for code in kept]
    return names + (["others"] if len(kept) < len(classes) else []), place_of


def _confusion(
    axes: Axes, true_N: Whole, models: Models, shown: list[str], place_of: Whole
) -> None:
    model, shares_NK = next(iter(models.items()))
    size = len(shown)
    cells = np.bincount(
        place_of[true_N] * size + place_of[shares_NK.argmax(axis=1)], minlength=size**2
    ).reshape(size, size)
    share = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    axes.grid(False)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(cells):
        if count:
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=7,
                      color="white" if share[row, column] > 0.5 else "black")
    _name_classes(axes, shown)
    axes.set_yticks(range(size), shown, fontsize=6)
    name(axes, f"rows: true, columns: decided; {model}", "", "")


def _recall(
    axes: Axes, true_N: Whole, models: Models, shown: list[str], place_of: Whole
) -> None:
    width = 0.8 / len(models)
    for index, (model, shares_NK) in enumerate(models.items()):
        right_N = shares_NK.argmax(axis=1) == true_N
        trials = np.bincount(place_of[true_N], minlength=len(shown))
        hits = np.bincount(place_of[true_N], weights=right_N, minlength=len(shown))
        places = np.flatnonzero(trials)
        share = hits[places] / trials[places]
        low, high = wilson(hits[places], trials[places])
        axes.bar(places + (index - (len(models) - 1) / 2) * width, share, width * 0.9,
                 yerr=np.array([share - low, high - share]), color=COLORS[index], label=model,
                 capsize=2, error_kw={"linewidth": 0.8})
    _name_classes(axes, shown)
    axes.set_ylim(0, 1.2)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    name(axes, "recall of each class", "", "share decided for it")
    axes.legend(fontsize=7, frameon=False, loc="upper center", ncols=2)


def _calibration(axes: Axes, true_N: Whole, models: Models) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for index, (model, shares_NK) in enumerate(models.items()):
        bins = reliability(shares_NK.argmax(axis=1) == true_N, shares_NK.max(axis=1))
        reach = np.array([bins.share - bins.low, bins.high - bins.share])
        axes.errorbar(bins.mean_score, bins.share, reach, color=COLORS[index], label=model,
                      fmt="o-", markersize=3.5, capsize=2, linewidth=1, elinewidth=0.8,
                      zorder=on_top(index))
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    name(axes, f"calibration: bins of {round(len(true_N) / 10)} of {len(true_N)} rows",
         "mean probability of the class decided for", "share that is right")
    axes.legend(fontsize=7, frameon=False, loc="upper left")


def _confidence(axes: Axes, true_N: Whole, models: Models) -> None:
    model, shares_NK = next(iter(models.items()))
    right_N = shares_NK.argmax(axis=1) == true_N
    chosen_N = shares_NK.max(axis=1)
    edges = np.linspace(0, 1, 26).tolist()
    axes.hist([chosen_N[right_N], chosen_N[~right_N]], edges, stacked=True, color=[RIGHT, WRONG],
              label=[f"right: {model}", f"wrong: {model}"])
    axes.set_xlim(0, 1)
    axes.set_ylim(top=max(1.0, axes.get_ylim()[1]) * 1.2)
    name(axes, "probability of the class decided for", "probability", "rows")
    axes.legend(fontsize=7, frameon=False, loc="upper left")


def _name_classes(axes: Axes, shown: list[str]) -> None:
    """Write the names below; many are slanted, and kept clear of the panel beneath."""
    many = len(shown) > 5
    axes.set_xticks(range(len(shown)), shown, fontsize=6, rotation=35 if many else 0,
                    ha="right" if many else "center", rotation_mode="anchor")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
