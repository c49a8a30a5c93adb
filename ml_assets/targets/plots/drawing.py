"""Four panels beside each other, as small PNGs: what the pictures of all kinds share."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panels = Mapping[str, Callable[["Axes"], None]]
"""Four, by name: each draws on axes of its own."""

COLORS = ("#e45756", "#4c78a8")
"""Candidate, champion."""
SIZE, HEADLINE = (9.0, 7.0), 0.05
"""Of the overview: inches, and the share of its height that the title takes."""
PALETTE = 64
"""Colours of a picture: a third of the bytes, and an asset's page holds all its pictures."""


def pictures(panels: Panels, title: str) -> dict[str, bytes]:
    """PNGs by name: `overview`, and each of the four panels that it consists of."""
    from matplotlib.figure import Figure

    # Neither pyplot, which keeps every figure in memory, nor a layout engine, which doubles
    # the time: each panel has its quarter, and is cut out of the whole instead of drawn again.
    figure = Figure(figsize=SIZE, dpi=100)
    figure.suptitle(title, fontsize=10, y=0.985)
    half = (1 - HEADLINE) / 2
    for index, draw in enumerate(panels.values()):
        left, bottom = 0.5 * (index % 2), half * (1 - index // 2)
        axes = figure.add_axes((left + 0.062, bottom + 0.07, 0.42, half - 0.11))
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
        draw(axes)
    pixels = _pixels(figure)
    height, width = pixels.shape[0], pixels.shape[1]
    top = round(height * HEADLINE)
    rows, columns = (height - top) // 2, width // 2
    made = {"overview": _png(pixels)}
    for index, name in enumerate(panels):
        row, column = top + rows * (index // 2), columns * (index % 2)
        made[name] = _png(pixels[row : row + rows, column : column + columns])
    return made


def name(axes: Axes, title: str, x: str, y: str) -> None:
    """Write the panel's title and what its axes show."""
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)


def on_top(index: int) -> int:
    """The height at which the model of this index is drawn: the candidate, the first, on top."""
    return 3 - index


def _pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """(height, width, 3)"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[:, :, :3]  # type: ignore[no-untyped-call]


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).quantize(PALETTE).save(buffer, "PNG")
    return buffer.getvalue()
