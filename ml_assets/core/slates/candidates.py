"""Which items a page is chosen from if the request names none."""

from __future__ import annotations

from datetime import timedelta

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.slates.ids import LARGEST_SLATE

LARGEST_LIST = LARGEST_SLATE
"""Items that a user's list or a request may have: all of them are scored for one answer."""


@declaration
class Taken:
    """The items that were taken most of late.

    half_life: how old a take is that counts half as much as one of this moment
    top: how many items there are
    stream: whose events say what was taken, in the columns that the target names `item` and
        `user`; None if only the choices do: what was taken of a page
    """

    half_life: timedelta = timedelta(days=7)
    top: int = 200
    stream: str | None = None

    def __post_init__(self) -> None:
        require(self.half_life > timedelta(0), self, "half_life", self.half_life,
                "a positive time")
        require(1 <= self.top <= LARGEST_LIST, self, "top", self.top,
                f"1 to {LARGEST_LIST} items")


@declaration
class Popular(Taken):
    """By anybody: the same for everybody."""


@declaration
class Own(Taken):
    """By the user himself: what one may take again."""


@declaration
class Nightly:
    """Each night a list for every user who was active lately, the best of the popular items and
    of his own.

    top: how many items a list has, at most
    pool: from how many popular items, scored by the model that answers, it is chosen
    own: from which of his own beside them; None if an item is hardly taken twice
    drawn: the share of a list that is drawn from all that it would lack, and not chosen by the
        model that answers: so another model may bring it up
    active: a user whose latest event is older has no list
    """

    top: int = 200
    pool: int = 1000
    own: Own | None = None
    drawn: float = 0.0
    active: timedelta = timedelta(days=28)

    def __post_init__(self) -> None:
        require(1 <= self.top <= LARGEST_LIST, self, "top", self.top,
                f"1 to {LARGEST_LIST} items")
        offered = self.pool + (0 if self.own is None else self.own.top)
        require(offered >= self.top, self, "pool", self.pool,
                f"at least top, {self.top}, together with `own`")
        require(0 <= self.drawn < 1, self, "drawn", self.drawn, "a share in [0, 1)")
        require(self.active > timedelta(0), self, "active", self.active, "a positive time")
