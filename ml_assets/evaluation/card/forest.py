"""The metric that counts, on all rows and on each slice, with intervals: a forest plot as SVG."""

from __future__ import annotations

from html import escape
from math import isfinite

from ml_assets.core.target import Target
from ml_assets.evaluation.card.parts import CardFigure
from ml_assets.evaluation.comparison import Estimate, Estimates
from ml_assets.evaluation.gates import Part
from ml_assets.evaluation.report import EvaluationReport
from ml_assets.targets.plots.drawing import COLORS

WIDTH, LEFT, RIGHT, ROW, FOOT = 900, 210, 40, 34, 44
MOST = 20
"""Slices that are drawn."""


def forest(report: EvaluationReport, target: Target) -> CardFigure | None:
    """None without a slice that was judged."""
    parts: dict[str, Part] = {"all rows": report.metrics, **report.slices}
    lines = [(name, each, color)
             for name, part in list(parts.items())[: MOST + 1]
             for each, color in _models(part, target.currency, report.champion)]
    ends = [end for _, each, _ in lines for end in (each.low, each.high, each.value)
            if end is not None and isfinite(end)]
    names = list(dict.fromkeys(name for name, _, _ in lines))
    if len(names) < 2 or min(ends) == max(ends):
        return None
    low, high = min(ends), max(ends)
    low, high = low - 0.03 * (high - low), high + 0.03 * (high - low)
    height = ROW * len(names) + FOOT

    def place(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    drawn = [_axis(low, high, place(low), place(high), height)]
    for row, name in enumerate(names):
        middle = ROW * row + ROW / 2
        drawn.append(f'<text x="{LEFT - 12}" y="{middle + 4:.1f}" text-anchor="end">'
                     f"{escape(name)}</text>")
        its = [(each, color) for found, each, color in lines if found == name]
        for index, (each, color) in enumerate(its):
            drawn.append(_mark(each, color, middle + (index - (len(its) - 1) / 2) * 11, place))
    said = f"version {report.candidate}" + (
        "" if report.champion is None else f" (red) and version {report.champion} (blue)")
    return CardFigure(
        caption=f"{target.currency.replace('_', ' ')} of {said}, " + (
            "with 95% intervals" if any(each.low is not None for _, each, _ in lines)
            else "without intervals: none is known to hold"),
        image=f'<svg viewBox="0 0 {WIDTH} {height}" role="img" font-size="13" '
              f'font-family="inherit">{"".join(drawn)}</svg>')


def _models(part: Part, metric: str, champion: int | None) -> list[tuple[Estimate, str]]:
    both: list[Estimates | None] = [part.candidate, part.champion if champion else None]
    return [(each[metric], color) for each, color in zip(both, COLORS, strict=True)
            if each is not None and each[metric].value is not None]


def _mark(each: Estimate, color: str, y: float, place: object) -> str:
    assert callable(place) and each.value is not None
    line = "" if each.low is None or each.high is None else (
        f'<line x1="{place(each.low):.1f}" x2="{place(each.high):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke="{color}" stroke-width="2"/>')
    return (f'{line}<circle cx="{place(each.value):.1f}" cy="{y:.1f}" r="4" fill="{color}"/>')


def _axis(low: float, high: float, first: float, last: float, height: int) -> str:
    from matplotlib.ticker import MaxNLocator

    y = height - FOOT + 8
    ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    drawn = [f'<line x1="{first:.1f}" x2="{last:.1f}" y1="{y}" y2="{y}" stroke="#999"/>']
    for tick in ticks:
        x = first + (tick - low) / (high - low) * (last - first)
        drawn.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{y + 4}" stroke="#e3e3e3"/>'
                     f'<text x="{x:.1f}" y="{y + 22}" text-anchor="middle" fill="#555">'
                     f"{tick:.10g}</text>")
    return "".join(drawn)
