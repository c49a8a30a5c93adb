"""What was shown and not chosen is an answer too."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime, timedelta
from typing import ClassVar

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.target import Label
from ml_assets.core.time import in_words
from ml_assets.core.truths.base import Truth, draw, require_source


@declaration
class Choices(Truth):
    """Somebody who is shown something takes it soon, or not at all: a click, a booking.

    within: the time in which a choice is made. If the archive does not know when it was, a delay
        is drawn uniformly from `[0, within)`: the draws are hashes of the event id.
    rest: the label of what was not chosen by then
    """

    source: str
    within: timedelta
    rest: Label
    maturity: timedelta = field(init=False)

    kind: ClassVar[str] = "choices"

    def __post_init__(self) -> None:
        require_source(self)
        require(self.within > timedelta(0), self, "within", self.within, "a positive time")
        object.__setattr__(self, "maturity", self.within)

    @property
    def says(self) -> str:
        return (f"a choice is made within {in_words(self.within)} of the event; without one "
                f"it is {self.rest!r}")

    @property
    def declared(self) -> tuple[Label, ...]:
        return (self.rest,)

    @property
    def silence_speaks(self) -> bool:
        return True

    def of_silence(self, decision: Label) -> Label | None:
        return self.rest

    def known_at(self, event: ArchivedEvent) -> datetime | None:
        if event.known_at is not None:
            return event.known_at
        share = 1.0 if event.outcome == self.rest else draw(event.event_id, "delay")
        return event.event_timestamp + self.within * share
