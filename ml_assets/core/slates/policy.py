"""How a system answers with slates."""

from __future__ import annotations

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.slates.candidates import Nightly, Popular, Taken

LARGEST_PAGE = 100
"""Items that one answer may show: each of them is a row of the log."""

OF_ROWS = ("position", "propensity")
"""What is known of each row of a slate, beside its columns: where it stood, from 1 on, and how
probable that was; null if nobody has logged it."""


@declaration
class SlatePolicy:
    """Each request is answered with some of the items, in an order.

    item: the column of the rows that says which item was shown, an entity
    user: the column that says whom a slate is for, an entity; None if nothing is known of him
    page: how many items a slate has unless its request says
    explore: the share of slates in which an item is shown that the order would not show there
    candidates: the lists that slates are made of if a request names no items; None if only the
        newcomers' list is made
    newcomers: the list of those who have none
    debias: whether rows count in a fit by the inverse of their propensity, see `propensity`
    """

    item: str
    user: str | None = None
    page: int = 10
    explore: float = 0.0
    candidates: Nightly | None = None
    newcomers: Popular = Popular()
    debias: bool = False

    def __post_init__(self) -> None:
        require(self.item.isidentifier(), self, "item", self.item, "an identifier")
        require(self.user is None or self.user.isidentifier(), self, "user", self.user,
                "none, or an identifier")
        require(self.user != self.item, self, "user", self.user, "another column than `item`")
        require(1 <= self.page <= LARGEST_PAGE, self, "page", self.page,
                f"1 to {LARGEST_PAGE} items")
        require(self.candidates is None or self.user is not None, self, "candidates",
                self.candidates, "none without `user`, whose lists they would be")
        require(0 <= self.explore < 1, self, "explore", self.explore, "a share in [0, 1)")

    @property
    def taken(self) -> tuple[Taken, ...]:
        """Where it is said what was taken."""
        own = None if self.candidates is None else self.candidates.own
        return (self.newcomers,) if own is None else (self.newcomers, own)
