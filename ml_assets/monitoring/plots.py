"""The pictures on the pages of `drift` and `performance`, as small PNGs."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from ml_assets.core.texts import as_name
from ml_assets.monitoring.drift.judge import LiveColumn
from ml_assets.monitoring.drift_report import DriftReport
from ml_assets.monitoring.performance import WINDOWS, PerformanceReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 12
"""Columns in the bar chart: the furthest from their reference."""
LONGEST = 24
"""Characters of a name, for which there is room."""

CALM, WARNING, ALARM, BEFORE = "#4c78a8", "#f2a3a2", "#d62f2e", "#9d9d9d"
FORESEEN = "#54a24b"


def drift(report: DriftReport, columns: Mapping[str, LiveColumn], effect: float) -> bytes:
    """Stability index by column, with how sure each is, and the furthest one then and now.

    columns: those that the report judged, at least one.
    """
    worst = report.by_size()[:SHOWN]
    figure, (bars, shares) = _panels(height=1.2 + 0.24 * len(worst), left_margin=0.22)
    colors = [ALARM if column.confirmed_on else WARNING if column.drifted else CALM
              for column in worst]
    # What is not sure may be far off by chance, or differ from day to day: it sets no scale.
    reach = 2.4 * max(2 * effect, *(column.effect for column in worst if column.drifted), 0)
    bars.barh(range(len(worst)), [min(column.effect, reach) for column in worst], height=0.7,
              color=colors)
    bars.axvline(effect, color="black", linestyle="--", linewidth=1)
    for place, column in enumerate(worst):
        if column.drifted:
            bars.annotate(f" {column.says}, {column.odds}", (column.effect, place), fontsize=7,
                          va="center")
    bars.set_yticks(range(len(worst)), [as_name(column.name, LONGEST) + (
        " (ages)" if column.moves else "") for column in worst], fontsize=8)
    bars.invert_yaxis()
    bars.set_xlim(right=reach)
    bars.set_xlabel(f"stability index (limit {effect:g}); red: confirmed, pink: drifts, "
                    "blue: not sure", fontsize=8)
    bars.set_title(f"{report.day}: {report.rows:,} answers, {report.reference_rows:,} learnt from",
                   fontsize=8, y=1.0)
    _shares(shares, columns[worst[0].name], worst[0].since, report.day)
    shares.set_title(f"{as_name(worst[0].name, LONGEST)}: {worst[0].says}", fontsize=8, y=1.0)
    return _png(figure)


def performance(
    reports: Sequence[PerformanceReport], loss: str, maturity_days: int = 0
) -> bytes:
    """Error rate and mean loss of all that was served, by day, and where the model changed.

    loss: its name; maturity_days: after how many days an outcome is known. What was expected of a
    window before its labels is drawn on the day on which they are known, so beside the truth.
    """
    figure, panels = _panels(height=3.0, left_margin=0.05)
    titles = {"error_rate": "error rate", "loss": loss.replace("_", " ")}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        for days, color in zip(reversed(WINDOWS), (CALM, ALARM), strict=True):
            qualities = [(report.day, report.quality(days)) for report in reports]
            points = [(day, getattr(live, name)) for day, live in qualities if live and live.n]
            ordinals = [day.toordinal() for day, _ in points]
            axes.plot(ordinals, [value.value for _, value in points], color=color, marker=".",
                      label=f"events of {days} days")
            sure = [(day.toordinal(), value) for day, value in points if value.low is not None]
            axes.fill_between([ordinal for ordinal, _ in sure], [value.low for _, value in sure],
                              [value.high for _, value in sure], color=color, alpha=0.15)
        for then, now in itertools.pairwise(reports):
            if then.champion != now.champion:
                axes.axvline(now.day.toordinal(), color="black", linestyle=":", linewidth=1)
                axes.annotate(f"v{now.champion}", (now.day.toordinal(), 1), fontsize=7,
                              xycoords=("data", "axes fraction"), xytext=(2, -8),
                              textcoords="offset points")
        axes.set_ylim(bottom=0)
        axes.set_title(f"live {title}, with 95% intervals", fontsize=9, y=1.0)
    foreseen = np.array([
        (report.day.toordinal() + maturity_days, each.value, each.low, each.high)
        for report in reports if report.expected is not None for each in [report.expected.loss]
    ], dtype=np.float64).reshape(-1, 4)
    if len(foreseen):
        ahead, value, low, high = foreseen.T
        panels[1].plot(ahead, value, color=FORESEEN, linestyle="--", linewidth=1.2,
                       label="expected before labels")
        panels[1].fill_between(ahead, low, high, color=FORESEEN, alpha=0.12)
    judged = [(report.day.toordinal(), report.held_out_loss.value) for report in reports
              if report.held_out_loss is not None and report.held_out_loss.value is not None]
    if judged:
        panels[1].step([day for day, _ in judged], [value for _, value in judged], where="post",
                       color="black", linewidth=1, label="what it is held to")
    for axes in panels:
        _date_axis(axes, reports, maturity_days if len(foreseen) else 0)
        axes.legend(fontsize=7)
    return _png(figure)


def _shares(axes: Axes, column: LiveColumn, since: date | None, day: date) -> None:
    """Shares of rows by bin, in the reference and in the days since it differs most surely."""
    then_B = column.yardstick.counts_B
    days = min((day - since).days + 1 if since else 1, WINDOWS[0])
    now_B = column.live_TB[-days:].sum(axis=0)
    both = [counts / max(1, counts.sum()) for counts in (then_B, now_B)]
    shown = np.flatnonzero(then_B + now_B > 0)
    for side, (share_B, label, color) in enumerate(zip(
            both, ("learnt from", "live"), (BEFORE, ALARM), strict=True)):
        axes.bar(np.arange(len(shown)) + 0.4 * side - 0.2, share_B[shown], width=0.38, color=color,
                 alpha=0.8, label=label)
    names = [as_name(column.names[place], LONGEST) for place in shown]
    axes.set_xticks(range(len(shown)), names, fontsize=7, rotation=35, ha="right",
                    rotation_mode="anchor")
    axes.set_ylabel("share of rows", fontsize=8)
    axes.legend(fontsize=7)


def _date_axis(axes: Axes, reports: Sequence[PerformanceReport], ahead: int) -> None:
    """Days on the x axis. Own ticks: matplotlib's date locators cost more than the plot."""
    days = [report.day for report in reports]
    step = max(1, len(days) // 5)
    axes.set_xticks([day.toordinal() for day in days[::step]],
                    [f"{day:%d %b}" for day in days[::step]], fontsize=7)
    axes.set_xlim(days[0].toordinal() - 0.5, days[-1].toordinal() + ahead + 0.5)


def _panels(*, height: float, left_margin: float) -> tuple[Figure, tuple[Axes, Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), dpi=72)
    left, right = figure.subplots(1, 2)
    # Set by hand: matplotlib's own layout engine doubles the time of a plot.
    figure.subplots_adjust(left=left_margin, right=0.98, bottom=0.7 / height, wspace=0.2,
                           top=1 - 0.3 / height)
    for axes in (left, right):
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, (left, right)


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
