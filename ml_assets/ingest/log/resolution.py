"""Several words about one prediction to one label, as it was known over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.feedback import FeedbackPolicy
from ml_assets.core.target import Label
from ml_assets.ingest.log.served import Feedback
from ml_assets.ingest.log.standing import Standing


@dataclass(frozen=True, kw_only=True)
class LabelChange:
    """From `known_at` on the label is this. by: the trust class that settled it."""

    known_at: datetime
    label: Label
    by: str


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What the words about one prediction come to.

    changes: in the order of time; each has another label than the one before
    counted: the sources whose standing word has a say now; nobody else's has
    says:    why it stands as it does, in words
    """

    changes: tuple[LabelChange, ...]
    counted: frozenset[str]
    says: str


def resolve(
    words: Iterable[Feedback],
    policy: FeedbackPolicy,
    first_heard: Mapping[str, datetime] | None = None,
) -> Resolution:
    """The labels that follow from `words`, all of one prediction, under `policy`.

    first_heard: when each source first spoke of any prediction of the system, which tells
        newcomers from others; a source that is missing has first spoken here

    Pure. What changes at an instant follows from the words received up to it alone, words of
    one instant count together whatever their order, and a repetition changes nothing. A source
    that contradicts itself within one instant has said nothing then.
    """
    hearing = Hearing(policy, first_heard or {})
    for _, together in groupby(sorted(words, key=_received), key=_received):
        hearing.hear(list(together))
    return hearing.resolution()


class Hearing:
    """The words about one prediction as they come in, in the order of time.

    What one more word costs does not depend on how many there were.

    first_heard: as for `resolve`; it may learn of a source until that is heard
    changes: so far, as in `Resolution`
    """

    def __init__(self, policy: FeedbackPolicy, first_heard: Mapping[str, datetime]) -> None:
        self._standing = Standing(policy, first_heard)
        self.changes: list[LabelChange] = []
        self.latest: datetime | None = None
        """The instant of the latest words."""
        self._speaking: set[str] = set()
        """The sources that have been heard of that instant."""

    def hear(self, together: Sequence[Feedback]) -> None:
        """Take in words of one instant, which is that of the latest before or a later one.

        Raises OutOfOrder if it is an earlier one, or if a source has been heard of it already.
        """
        at = together[0].received_at
        if self.latest is not None and (
            at < self.latest
            or (at == self.latest and not self._speaking.isdisjoint(s.source for s in together))
        ):
            raise OutOfOrder(
                f"a word of {at.isoformat()} came after one of {self.latest.isoformat()}; sort them"
            )
        if at != self.latest:
            self.latest, self._speaking = at, set()
        self._speaking.update(said.source for said in together)
        self._standing.hear(together)
        if self.changes and self.changes[-1].known_at == at:
            self.changes.pop()  # words of one instant count together
        known = self.label
        found = self._standing.label(known=known)
        if found is not None and found != known:
            self.changes.append(
                LabelChange(known_at=at, label=found, by=self._standing.authority(found)))

    @property
    def label(self) -> Label | None:
        """What the words come to; None if nothing is settled."""
        return self.changes[-1].label if self.changes else None

    @property
    def says(self) -> str:
        """Why it stands as it does, in words."""
        return self._standing.says(self.label)

    def counts(self, source: str) -> bool:
        """Whether the source's standing word has a say now."""
        return self._standing.counts(source)

    def resolution(self) -> Resolution:
        return Resolution(changes=tuple(self.changes), says=self.says,
                          counted=frozenset(self._standing.counted()))


class OutOfOrder(MlAssetsError, ValueError):
    """Words were not heard in the order of time."""


def first_words(feedback: Iterable[Feedback]) -> dict[str, datetime]:
    """When each source first spoke."""
    first: dict[str, datetime] = {}
    for said in feedback:
        first[said.source] = min(said.received_at, first.get(said.source, said.received_at))
    return first


_received = attrgetter("received_at")
