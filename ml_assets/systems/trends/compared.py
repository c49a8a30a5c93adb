"""What a week promises, compared with what is usual: logarithms, so that sizes do not matter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]

GIVES = (
    "change_1w", "change_2w", "change_3w", "change_8w", "change_13w", "unrest", "leaflet",
    "leaflet_before", "cover", "cover_before", "display", "display_before", "dearer",
    "shop_change",
)


def compared(rows: Mapping[str, Column]) -> dict[str, Column]:
    """Each against the mean of four weeks."""
    level = _log(rows["sold_4w"])
    found = {}
    for weeks in (1, 2, 3, 8, 13):
        found[f"change_{weeks}w"] = _log(rows[f"sold_{weeks}w"]) - level
    found["unrest"] = rows["sold_std_8w"] / (rows["sold_8w"] + 1)
    for column, name in (("mailed", "leaflet"), ("front", "cover"), ("displayed", "display")):
        usual = _log(rows[f"{column}_4w"])
        found[name] = _log(rows[column]) - usual
        found[f"{name}_before"] = _log(rows[f"{column}_1w"]) - usual
    found["dearer"] = _log(rows["price_1w"]) - _log(rows["price_13w"])
    found["shop_change"] = _log(rows["commodity_paid_7d"]) - _log(rows["commodity_paid_28d"] / 4)
    return {name: np.clip(found[name], -20, 20) for name in GIVES}


def _log(values: Column) -> Column:
    with np.errstate(invalid="ignore"):
        logs: Column = np.log1p(values)
    return logs
