"""How the scores of a day lie, as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence


def score_histogram(
    counts: Sequence[int], threshold: float | None, positive: str, *, title: str
) -> bytes:
    """A PNG with a histogram of scores on a logarithmic count axis, and the threshold.

    counts: how many scores lie in each of as many equal parts of [0, 1]
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 2.6), dpi=90, layout="constrained")
    axes = figure.subplots()
    edges = [place / len(counts) for place in range(len(counts) + 1)]
    axes.stairs(counts, edges, fill=True, color="#2a7de1")
    if any(counts):
        axes.set_yscale("log")
    if threshold is not None:
        axes.axvline(threshold, color="#d64545", linewidth=1, label=f"threshold {threshold:g}")
        axes.legend(frameon=False)
    axes.set(title=title, xlabel=f"score ({positive})", ylabel="events", xlim=(0, 1))
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
