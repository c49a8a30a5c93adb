"""Only mistakes are reported; a decision that nobody complains about stands."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.target import Label
from ml_assets.core.time import in_words
from ml_assets.core.truths.base import Truth, draw, require_source


@declaration
class Complaints(Truth):
    """People see each decision and report the wrong ones: a filter's, a sorter's.

    within: the time in which they do. In a replay each complaint comes after a delay drawn
        uniformly from `[0, within)`, or at the archive's `known_at`; the draws are hashes of the
        event id.
    maturity: from then on the decision stands, at least `within`
    reported: the share of wrong decisions that a replay reports. A mistake that nobody reports
        becomes a wrong label, as it does in life.

    Recorded history has outcomes but no decisions: they count at the archive's `known_at`, or
    `maturity` after the event.
    """

    source: str
    within: timedelta
    maturity: timedelta
    reported: float = 1.0

    kind: ClassVar[str] = "complaints"

    def __post_init__(self) -> None:
        require_source(self)
        require(self.within > timedelta(0), self, "within", self.within, "a positive time")
        require(self.maturity >= self.within, self, "maturity", self.maturity,
                f"at least `within`, {self.within}")
        require(0 <= self.reported <= 1, self, "reported", self.reported, "a share in [0, 1]")

    @property
    def says(self) -> str:
        return (f"a wrong decision is reported within {in_words(self.within)}; one that nobody "
                f"complained about stands after {in_words(self.maturity)}")

    @property
    def silence_speaks(self) -> bool:
        return True

    @property
    def silence_agrees(self) -> bool:
        return True

    def of_silence(self, decision: Label) -> Label | None:
        return decision

    def known_at(self, event: ArchivedEvent) -> datetime | None:
        return event.known_at or event.event_timestamp + self.maturity

    def told_at(
        self, event: ArchivedEvent, decision: Label, *, right: bool
    ) -> datetime | None:
        if right or draw(event.event_id, "reports") >= self.reported:
            return None
        drawn = event.event_timestamp + self.within * draw(event.event_id, "delay")
        return event.known_at or drawn
