"""Which items a page is chosen from if the request names none."""

from __future__ import annotations

from datetime import timedelta

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.slates.ids import LARGEST_SLATE

LARGEST_LIST = LARGEST_SLATE
"""Items that a user's list or a request may have: all of them are scored for one answer."""


@declaration
class Popular:
    """The items that were taken most of late, the same for everybody.

    half_life: how old a choice is that counts half as much as one of this moment
    top: how many items the list has
    """

    half_life: timedelta = timedelta(days=7)
    top: int = 200

    def __post_init__(self) -> None:
        require(self.half_life > timedelta(0), self, "half_life", self.half_life,
                "a positive time")
        require(1 <= self.top <= LARGEST_LIST, self, "top", self.top,
                f"1 to {LARGEST_LIST} items")


@declaration
class Nightly:
    """Each night a list for every user who was active lately, the best of the popular items.

    top: how many items a list has
    pool: of how many popular items, scored by the model that answers, it has the best
    active: a user whose latest event is older has no list
    """

    top: int = 200
    pool: int = 1000
    active: timedelta = timedelta(days=28)

    def __post_init__(self) -> None:
        require(1 <= self.top <= LARGEST_LIST, self, "top", self.top,
                f"1 to {LARGEST_LIST} items")
        require(self.pool >= self.top, self, "pool", self.pool, f"at least top, {self.top}")
        require(self.active > timedelta(0), self, "active", self.active, "a positive time")
