"""What anonymous sources say about one prediction, and whether that settles its label."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush

from ml_assets.core.feedback import Crowd
from ml_assets.core.target import Label

SHOWN = 3
"""Labels whose weight is told: of numbers there may be as many as voices."""


@dataclass(frozen=True, kw_only=True)
class _Vote:
    """The standing word of an anonymous source. What it weighs was settled as it spoke."""

    label: Label
    newcomer: bool


class Votes:
    """The standing words of anonymous sources, each label with what it weighs.

    Counts, not sums, so that no order of adding shows. One more word costs the logarithm of the
    number of labels that were named, however many sources there are.
    """

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._votes: dict[str, _Vote] = {}
        self._counts: Counter[_Vote] = Counter()
        self._heaviest: list[tuple[float, Label]] = []
        """A heap of (minus weight, label); entries whose weight has changed since are stale."""

    def say(self, source: str, label: Label, *, newcomer: bool) -> None:
        """Take in a word; the same as its last one changes nothing, not even its weight."""
        standing = self._votes.get(source)
        if standing is not None:
            if standing.label == label:
                return
            self._counts[standing] -= 1
            self._weighed(standing.label)
        vote = _Vote(label=label, newcomer=newcomer)
        self._votes[source] = vote
        self._counts[vote] += 1
        self._weighed(label)

    def _weighed(self, label: Label) -> None:
        heappush(self._heaviest, (-self.weight(label), label))

    def weight(self, label: Label) -> float:
        """What the sources for `label` weigh together."""
        newcomers = self._counts[_Vote(label=label, newcomer=True)] * self._crowd.newcomer_weight
        established = self._counts[_Vote(label=label, newcomer=False)]
        return established + min(newcomers, self._crowd.newcomers_at_most)

    def heaviest(self, count: int) -> list[tuple[Label, float]]:
        """The labels that weigh most, each with its weight, above zero."""
        found: dict[Label, float] = {}
        while self._heaviest and len(found) < count:
            negative, label = heappop(self._heaviest)
            if label not in found and negative < 0 and -negative == self.weight(label):
                found[label] = -negative
        for label, weight in found.items():
            heappush(self._heaviest, (-weight, label))
        return list(found.items())

    def settled(self) -> Label | None:
        """The label that outweighs every other by the quorum; None if none does."""
        leading = self.heaviest(2)
        if not leading:
            return None
        second = leading[1][1] if len(leading) > 1 else 0.0
        label, weight = leading[0]
        return label if weight - second >= self._crowd.quorum else None

    def counts(self, source: str) -> bool:
        """Whether this source has a say."""
        vote = self._votes.get(source)
        return vote is not None and not (vote.newcomer and self._crowd.newcomer_weight == 0)

    def says(self) -> str:
        """How far they have come."""
        weights = " and ".join(f"{weight:g} for {label!r}" for label, weight in
                               self.heaviest(SHOWN)) or "nothing"
        return f"anonymous ones weigh {weights}, and a lead of {self._crowd.quorum:g} settles it"
