"""How the scores of a day lie, as a picture."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from ml_assets.core.target import Target

BINS = 40


def score_histogram(scores: npt.ArrayLike, target: Target, *, title: str) -> bytes:
    """A PNG with a histogram of scores on a logarithmic count axis.

    A line says where the decision changes, if there is such a score.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure = Figure(figsize=(5.2, 2.6), dpi=90)
    axes = figure.subplots()
    # Set by hand, as the places of texts are: matplotlib's own layout doubles the time of a plot.
    figure.subplots_adjust(left=0.13, right=0.97, bottom=0.19, top=0.89)
    given = np.asarray(scores, dtype=np.float64)
    whole = None if target.boundary is None else (0.0, 1.0)
    counts, edges = np.histogram(given, bins=BINS, range=whole)
    axes.stairs(counts, edges, fill=True, color="#2a7de1")
    if counts.any():
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
    if target.boundary is not None:
        axes.axvline(target.boundary, color="#d64545", linewidth=1,
                     label=f"threshold {target.boundary:g}")
        axes.legend(frameon=False)
    axes.set_title(title, y=1.0)
    axes.set(xlabel=f"score ({target.name})", ylabel="events", xlim=(edges[0], edges[-1]))
    axes.xaxis.set_label_coords(0.5, -0.14)
    axes.yaxis.set_label_coords(-0.11, 0.5)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
