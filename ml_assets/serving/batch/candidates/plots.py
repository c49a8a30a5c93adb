"""What the lists of a night offer, as a picture."""

from __future__ import annotations

import io

from ml_assets.serving.batch.candidates.storing import MadeLists


def coverage_plot(made: MadeLists, page: int) -> bytes:
    """A PNG of how popular the items are, and on how many users' first pages each is.

    Both over the items' rank in popularity: a model that repeats what is popular anyway shows the
    same few everywhere.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.8), dpi=90, layout="constrained")
    weights, pages = figure.subplots(1, 2)
    ranks = range(1, len(made.popular) + 1)
    weights.fill_between(ranks, [each.weight for each in made.popular], color="#2a7de1",
                         step="mid")
    weights.set(title="how popular", xlabel="item, by popularity", ylabel="choices, decayed")
    pages.bar(ranks, [made.first[each.item] for each in made.popular], color="#d6892b", width=1)
    share = "" if not made.popular else f": {made.coverage:.0%} of the items"
    pages.set(title=f"on first pages{share}", xlabel="item, by popularity",
              ylabel=f"users' first {page}")
    for axes in (weights, pages):
        axes.set_xlim(0.5, max(1, len(made.popular)) + 0.5)
        axes.set_ylim(bottom=0)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
