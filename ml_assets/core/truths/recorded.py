"""The archive says when each outcome became known."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime, timedelta
from typing import ClassVar

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.target import Label
from ml_assets.core.time import in_words
from ml_assets.core.truths.base import Truth, require_source


@declaration
class Recorded(Truth):
    """Each outcome has an instant of its own at which it became known, `known_at`.

    within: the longest that an outcome takes, from its event on. Silence says nothing.
    """

    source: str
    within: timedelta
    maturity: timedelta = field(init=False)

    kind: ClassVar[str] = "recorded"

    def __post_init__(self) -> None:
        require_source(self)
        require(self.within > timedelta(0), self, "within", self.within, "a positive time")
        object.__setattr__(self, "maturity", self.within)

    @property
    def says(self) -> str:
        return ("each outcome becomes known when the archive says so, within "
                f"{in_words(self.within)}")

    @property
    def silence_speaks(self) -> bool:
        return False

    def of_silence(self, decision: Label) -> Label | None:
        return None

    def known_at(self, event: ArchivedEvent) -> datetime | None:
        return event.known_at
