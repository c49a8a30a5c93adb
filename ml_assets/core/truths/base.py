"""How the labels of a system become known.

From this one value follow: when a label has matured, what silence means, whose word is trusted,
when an outcome of recorded history counts, and what the people behind the events say when that
history is replayed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import ClassVar

from ml_assets.core.policies import require
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.target import Label
from ml_assets.core.texts import SOURCE_LENGTH, name_fault


class Truth(ABC):
    """One per system. Light, frozen, and free of I/O.

    source: in whose name a replay tells labels. A system's feedback policy must trust it; one
        that trusts nobody by name trusts this source.
    maturity: after this time from the event on, nothing more is expected. Silence makes its label
        then, and training sets and live performance judge only events of this age: earlier ones
        would be those whose labels came fast.
    """

    source: str
    maturity: timedelta

    kind: ClassVar[str]
    """For people: documentation and metadata. Nobody branches on it."""

    @property
    @abstractmethod
    def says(self) -> str:
        """When a label becomes known, as half a sentence for documentation."""

    @property
    def declared(self) -> tuple[Label, ...]:
        """The labels that the declaration names; the target must accept each."""
        return ()

    @property
    @abstractmethod
    def silence_speaks(self) -> bool:
        """Whether silence says something at all, see `of_silence`."""

    @abstractmethod
    def of_silence(self, decision: Label) -> Label | None:
        """What is true if nobody has said anything by `maturity`; None if that says nothing.

        decision: what was answered
        """

    @property
    def silence_agrees(self) -> bool:
        """Whether silence confirms whatever was answered: labels then side with who answered."""
        return False

    @abstractmethod
    def known_at(self, event: ArchivedEvent) -> datetime | None:
        """When the outcome of an event of recorded history becomes known; None if never.

        Never before the event, and not after its maturity if the archive's own `known_at` is not.
        """

    def told_at(
        self, event: ArchivedEvent, decision: Label, *, right: bool
    ) -> datetime | None:
        """When, in a replay, somebody says what the outcome of `event` is; None if nobody does.

        decision: what was answered
        right: whether somebody who knows the outcome would find nothing wrong with it
        """
        if event.known_at is None and event.outcome == self.of_silence(decision):
            return None
        return self.known_at(event)


def require_source(truth: Truth) -> None:
    """Raise DeclarationError unless the API would accept the truth's source."""
    require(bool(truth.source) and name_fault(truth.source, SOURCE_LENGTH) is None
            and not truth.source.endswith(":"), truth, "source", truth.source,
            f"text on one line of 1 to {SOURCE_LENGTH} characters that is no prefix")


def draw(event_id: str, purpose: str) -> float:
    """A number in [0, 1) that depends only on the event and the purpose."""
    digest = blake2b(f"{purpose}:{event_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
