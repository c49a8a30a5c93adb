"""What a search tried, drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from ml_assets.core.model.search import Among, Between
from ml_assets.core.time import DAY
from ml_assets.training.tuning.report import as_code
from ml_assets.training.tuning.study import Trial, best_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS, INCHES = 3, 3.0
COLOR, BEST = "#4c78a8", "#e45756"


def picture(trials: Sequence[Trial], space: Sequence[Between | Among], title: str) -> bytes:
    """A PNG: the loss of each trial and the least so far, then losses by each searched value."""
    from matplotlib.figure import Figure

    done = [trial for trial in trials if trial.loss is not None]
    panels, best = 1 + len(space), best_of(trials)
    rows = math.ceil(panels / COLUMNS)
    figure = Figure(figsize=(COLUMNS * INCHES, rows * INCHES), dpi=100, layout="tight")
    figure.suptitle(title, fontsize=10)
    order = figure.add_subplot(rows, COLUMNS, 1)
    losses = [trial.loss for trial in done if trial.loss is not None]
    order.scatter([trial.number for trial in done], losses, s=12, color=COLOR)
    order.step([trial.number for trial in done], list(accumulate(losses, min)), where="post",
               color=BEST)
    _name(order, "trial")
    for place, each in enumerate(space, start=2):
        axes = figure.add_subplot(rows, COLUMNS, place)
        values = [trial.values[each.name] for trial in done]
        if isinstance(each, Among):
            words = [*map(as_code, each.values)]
            axes.set_xticks(range(len(words)), words)
            at = [float(each.values.index(value)) for value in values]
        else:
            at = [value / DAY if isinstance(value, timedelta) else float(value)  # type: ignore[arg-type]
                  for value in values]
            axes.set_xscale("log" if each.log else "linear")
        axes.scatter(at, losses, s=12, color=COLOR)
        axes.scatter([at[done.index(best)]], [min(losses)], s=24, color=BEST)
        _name(axes, f"{each.name}, days" if isinstance(each, Between) and each.is_time
              else each.name)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _name(axes: Axes, by: str) -> None:
    axes.set_xlabel(by, fontsize=8)
    axes.set_ylabel("validation loss", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.5)
