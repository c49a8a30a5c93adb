"""How many of the highest groups of each day are right: those that somebody has time to look at."""

from __future__ import annotations

from typing import Literal

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require


@declaration
class TopPrecision:
    """Each day the rows are grouped by a key; a group scores as high as its highest row. Of the
    `top` groups that score highest, the share in which any row is True; the mean over days.

    by: an entity: the column of its key; rows without a key are in no group
    repeat: "daily": a group counts again on every day; "once": a group that was among the top and
        True is dealt with, and left out on later days
    """

    by: str
    top: int
    repeat: Literal["daily", "once"] = "daily"

    def __post_init__(self) -> None:
        require(self.by.isidentifier(), self, "by", self.by, "an entity's column")
        require(self.top >= 1, self, "top", self.top, "at least 1")

    @property
    def name(self) -> str:
        return f"precision_at_{self.top}_by_{self.by}"
