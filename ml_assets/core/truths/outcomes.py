"""Each outcome becomes known some time after its event, whatever was decided."""

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
class Outcomes(Truth):
    """The world answers: a chargeback comes, a parcel is delivered, a machine fails.

    after: how long after its event an outcome becomes known, if the archive does not say when
    silence: what is true if nothing was heard: False if only chargebacks are reported; None if
        every outcome is
    grace: how much longer than `after` is waited before silence says so. An outcome that is heard
        even later corrects it.

    An outcome that is the label of silence, and whose instant the archive does not know, is told
    by nobody: in history as in a replay it becomes known by silence.
    """

    source: str
    after: timedelta
    silence: Label | None = None
    grace: timedelta = timedelta(hours=1)
    maturity: timedelta = field(init=False)

    kind: ClassVar[str] = "outcomes"

    def __post_init__(self) -> None:
        require_source(self)
        require(self.after > timedelta(0), self, "after", self.after, "a positive time")
        require(self.grace > timedelta(0) or (self.silence is None and not self.grace), self,
                "grace", self.grace, "a positive time; zero only if silence says nothing: an "
                "outcome that is told exactly `after` its event must come before silence does")
        object.__setattr__(self, "maturity", self.after + self.grace)

    @property
    def says(self) -> str:
        rest = "" if self.silence is None else (
            f"; if nothing is heard within {in_words(self.maturity)}, it is {self.silence!r}")
        return f"each outcome becomes known {in_words(self.after)} after its event{rest}"

    @property
    def declared(self) -> tuple[Label, ...]:
        return () if self.silence is None else (self.silence,)

    @property
    def silence_speaks(self) -> bool:
        return self.silence is not None

    def of_silence(self, decision: Label) -> Label | None:
        return self.silence

    def known_at(self, event: ArchivedEvent) -> datetime | None:
        if event.known_at is not None:
            return event.known_at
        by_silence = self.silence is not None and event.outcome == self.silence
        return event.event_timestamp + (self.maturity if by_silence else self.after)
