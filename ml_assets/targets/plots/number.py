"""The pictures of how well predicted quantities fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ml_assets.core.target import Floats
from ml_assets.targets.metrics.calibration import bins, wilson
from ml_assets.targets.plots.drawing import COLORS, Panels, name, on_top

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Models = Mapping[str, Floats]
"""Outputs of the same rows by name: the candidate, then the champion if any. (N, 1) or (N, 3):
the prediction, and the ends of its interval."""

MOST = 4_000
"""Points that are drawn one by one; of more rows an even choice."""
TAIL = 0.005
"""The share at either end that may lie beyond the axes: single values squeeze all others."""


def panels(
    true_N: Floats, models: Models, *, unit: str, tolerance: float, interval: float | None
) -> Panels:
    """Of N rows, by name.

    predicted: the true value by the candidate's prediction, and the diagonal.
    residuals: truth minus prediction by prediction: the mean and the middle 80% of equally
        filled bins.
    errors: how the errors lie; between the dotted lines a decision is right.
    within: the share of rows whose error is at most so large; of predictions with an interval
    coverage: the share of intervals that hold the truth, with 95% intervals of its own, in
        equally filled bins of the prediction; the dotted line is what was declared.
    """
    drawn: dict[str, Callable[..., None]] = {
        "predicted": partial(_predicted, unit=unit), "residuals": partial(_residuals, unit=unit),
        "errors": partial(_errors, unit=unit, tolerance=tolerance),
    }
    if interval is None:
        drawn["within"] = partial(_within, unit=unit, tolerance=tolerance)
    else:
        drawn["coverage"] = partial(_coverage, unit=unit, interval=interval)
    return {each: partial(draw, true_N=true_N, models=models) for each, draw in drawn.items()}


def _predicted(axes: Axes, true_N: Floats, models: Models, unit: str) -> None:
    model, predicted_N = next(_predictions(models))
    some = slice(None, None, max(1, -(-len(true_N) // MOST)))
    axes.scatter(predicted_N[some], true_N[some], s=5, color=COLORS[0], alpha=0.35, linewidths=0)
    low, high = _span(np.concatenate([true_N, predicted_N]))
    axes.plot([low, high], [low, high], color="grey", linestyle=":", linewidth=1)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    name(axes, f"true by predicted: {model}", f"predicted, {unit}", f"true, {unit}")


def _residuals(axes: Axes, true_N: Floats, models: Models, unit: str) -> None:
    axes.axhline(0, color="grey", linestyle=":", linewidth=1)
    for index, (model, predicted_N) in enumerate(_predictions(models)):
        bin_N = bins(predicted_N)
        parts = [bin_N == each for each in range(int(bin_N.max(initial=-1)) + 1)]
        residuals = [true_N[part] - predicted_N[part] for part in parts]
        centres = [predicted_N[part].mean() for part in parts]
        axes.plot(centres, [part.mean() for part in residuals], "o-", color=COLORS[index],
                  markersize=3.5, linewidth=1, label=model, zorder=on_top(index))
        low, high = (np.array([np.quantile(part, share) for part in residuals])
                     for share in (0.1, 0.9))
        axes.fill_between(centres, low, high, color=COLORS[index], alpha=0.15, linewidth=0)
    name(axes, "residuals: mean and middle 80%", f"predicted, {unit}",
         f"true minus predicted, {unit}")
    axes.legend(fontsize=7, frameon=False, loc="best")


def _errors(axes: Axes, true_N: Floats, models: Models, unit: str, tolerance: float) -> None:
    errors = {model: predicted_N - true_N for model, predicted_N in _predictions(models)}
    low, high = _span(np.concatenate([*errors.values(), [-tolerance, tolerance]]))
    edges = np.linspace(low, high, 41)
    for index, (model, errors_N) in enumerate(errors.items()):
        inside_N = np.clip(errors_N, low, high)
        if index == 0:
            axes.hist(inside_N, edges.tolist(), color=COLORS[0], label=model, alpha=0.5,
                      histtype="stepfilled")
        else:
            axes.hist(inside_N, edges.tolist(), color=COLORS[index], label=model, histtype="step")
    for edge in (-tolerance, tolerance):
        axes.axvline(edge, color="grey", linestyle=":", linewidth=1)
    axes.set_xlim(low, high)
    name(axes, "errors", f"predicted minus true, {unit}", "rows")
    axes.legend(fontsize=7, frameon=False, loc="upper right")


def _within(axes: Axes, true_N: Floats, models: Models, unit: str, tolerance: float) -> None:
    most = tolerance
    for index, (model, predicted_N) in enumerate(_predictions(models)):
        sizes = np.sort(np.abs(predicted_N - true_N))
        shares = np.arange(1, len(sizes) + 1) / max(1, len(sizes))
        axes.step(sizes, shares, where="post", color=COLORS[index], label=model,
                  zorder=on_top(index))
        if len(sizes):
            most = max(most, float(np.quantile(sizes, 0.98)))
    axes.axvline(tolerance, color="grey", linestyle=":", linewidth=1)
    axes.set_xlim(0, most * 1.02)
    axes.set_ylim(0, 1.02)
    name(axes, "share of rows within an error", f"size of the error, {unit}", "share of rows")
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def _coverage(
    axes: Axes, true_N: Floats, models: Models, unit: str, interval: float
) -> None:
    least = interval
    for index, (model, outputs_NW) in enumerate(models.items()):
        predicted_N, lower_N, upper_N = outputs_NW.T
        bin_N = bins(predicted_N)
        rows = np.bincount(bin_N)
        held = np.bincount(bin_N, weights=(lower_N <= true_N) & (true_N <= upper_N))
        low, high = wilson(held, rows)
        share = held / rows
        axes.errorbar(np.bincount(bin_N, weights=predicted_N) / rows, share,
                      np.array([share - low, high - share]), color=COLORS[index], label=model,
                      fmt="o-", markersize=3.5, capsize=2, linewidth=1, elinewidth=0.8,
                      zorder=on_top(index))
        least = min(least, float(low.min(initial=least)))
    axes.axhline(interval, color="grey", linestyle=":", linewidth=1)
    axes.set_ylim(max(0.0, least - 0.05), 1.01)
    name(axes, f"coverage of the {interval:.10g} interval", f"predicted, {unit}",
         "share within the interval")
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def _predictions(models: Models) -> Iterator[tuple[str, Floats]]:
    return ((model, outputs_NW[:, 0]) for model, outputs_NW in models.items())


def _span(values: Floats) -> tuple[float, float]:
    """Between which all but the tails lie, with a margin; of some width in any case."""
    if not len(values):
        return 0.0, 1.0
    low, high = (float(edge) for edge in np.quantile(values, [TAIL, 1 - TAIL]))
    margin = 0.03 * (high - low) or max(1.0, abs(high)) * 0.1
    return low - margin, high + margin
