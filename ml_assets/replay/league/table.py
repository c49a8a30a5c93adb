"""The league as a table and as a picture: quality against cost."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from rich.table import Table

from ml_assets.core.time import DAY
from ml_assets.replay.league.machine import Played

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#eeca3b",
           "#000000")


def table(played: Sequence[Played], *, title: str, measure: str, training: float) -> Table:
    """One line for each policy, the cheapest first."""
    best = min((each.total(training) for each in played if each.policy == "oracle"),
               default=None)
    cheapest = sorted(played, key=lambda each: each.total(training))
    made = Table(title=title, title_style="", caption_style="", caption_justify="left", caption=(
        "digests: " + ", ".join(f"{each.policy} {each.digest}" for each in cheapest)))
    made.add_column("policy", no_wrap=True)
    # Eighty columns hold these, broken as they are.
    for name in ("trained\nanew", "new\nchampions", f"{measure}\nof all", "trainings\ncost",
                 "total", "above\noracle"):
        made.add_column(name, justify="right")
    for each in cheapest:
        total = each.total(training)
        made.add_row(
            each.policy, str(each.retrainings), champions(each), f"{each.measure_M.sum():,.1f}",
            f"{training * each.retrainings:,.1f}", f"{total:,.1f}",
            "" if best is None else f"{total / best - 1:+.1%}")
    return made


def champions(played: Played) -> str:
    """How often another version came to answer most."""
    if not played.records:
        return str(played.retrainings)
    versions = [each.version for each in played.records]
    return str(sum(before != after for before, after in pairwise(versions)))


def plot(played: Sequence[Played], *, title: str, measure: str, training: float) -> bytes:
    """A PNG: what all answers came to against what the trainings cost, with lines of equal total;
    and how far each policy's total lay above that of the first model, day by day."""
    import matplotlib.pyplot as plt

    figure, (plane, course) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    colours = {each.policy: COLOURS[place % len(COLOURS)] for place, each in enumerate(played)}
    spent = {each.policy: training * each.retrainings for each in played}
    lost = {each.policy: float(each.measure_M.sum()) for each in played}
    for each in played:
        plane.scatter(spent[each.policy], lost[each.policy], color=colours[each.policy], s=45,
                      marker="*" if each.policy == "oracle" else "o", zorder=3)
    near = max([*spent.values(), training]) / 4, max(np.ptp(list(lost.values())), 1e-9) / 25
    beside: list[list[str]] = []
    for name in sorted(spent, key=lambda name: (lost[name], spent[name])):
        # Names whose points are close enough for their texts to meet stand beside the first.
        place = next((names for names in beside
                      if abs(lost[name] - lost[names[0]]) < near[1]
                      and abs(spent[name] - spent[names[0]]) < near[0]), None)
        if place is None:
            beside.append([name])
        else:
            place.append(name)
    for names in beside:
        plane.annotate(", ".join(names), (spent[names[0]], lost[names[0]]), fontsize=8,
                       xytext=(5, 5), textcoords="offset points")
    reach = np.array([0.0, max([*spent.values(), training]) * 1.05])
    for total in np.linspace(min(lost[name] + spent[name] for name in lost),
                             max(lost[name] + spent[name] for name in lost), 4):
        plane.plot(reach, total - reach, color="#cccccc", linewidth=0.8, zorder=1)
    low, high = min(lost.values()), max(lost.values())
    room = 0.12 * max(high - low, 1e-9)
    plane.set(xlabel=f"trainings, in {measure}", ylabel=f"{measure} of all answers",
              ylim=(low - room, high + room), title="grey: equal total cost")
    standard = next((each for each in played if each.policy == "never"), played[0])
    for each in played:
        days, above = _course(each, standard, training)
        course.plot(days, above, color=colours[each.policy], label=each.policy, linewidth=1.4)
    course.set(ylabel=f"total so far, above {standard.policy!r}")
    course.legend(fontsize=7, ncols=2)
    course.tick_params(axis="x", rotation=30, labelsize=7)
    figure.suptitle(title, fontsize=10)
    made = io.BytesIO()
    figure.savefig(made, format="png", dpi=110)
    plt.close(figure)
    return made.getvalue()


def _course(
    played: Played, standard: Played, training: float
) -> tuple[list[pd.Timestamp], list[float]]:
    """(the ends of days, by how much the total so far is above that of `standard`)"""
    days = pd.date_range(played.at.iloc[0].floor("D") + DAY, played.at.iloc[-1] + DAY, freq="D")
    above = [
        float(played.measure_M[(played.at < day).to_numpy()].sum()
              - standard.measure_M[(standard.at < day).to_numpy()].sum()
              + training * sum(at < day for at, _ in played.trainings[1:])
              - training * sum(at < day for at, _ in standard.trainings[1:]))
        for day in days
    ]
    return list(days), above
