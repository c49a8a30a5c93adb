"""Which words about one prediction stand at an instant, what they weigh, and what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ml_assets.core.feedback import ANONYMOUS, FeedbackPolicy, TrustClass
from ml_assets.core.target import Label
from ml_assets.ingest.log.served import Feedback
from ml_assets.ingest.log.votes import Votes


@dataclass(frozen=True, kw_only=True)
class _Trusted:
    """The standing word of a trusted source."""

    label: Label
    trust: TrustClass


Side = tuple[TrustClass, Label]
"""The words of one class for one label."""


class Standing:
    """The words about one prediction that stand so far.

    Counts, not sums, so that no order of adding shows.

    first_heard: when each source first spoke of any prediction of the system; it may grow
    """

    def __init__(self, policy: FeedbackPolicy, first_heard: Mapping[str, datetime]) -> None:
        self._policy, self._first = policy, first_heard
        self._trusted: dict[str, _Trusted] = {}
        self._sides: Counter[Side] = Counter()
        self._newest: dict[float, tuple[datetime, Counter[Side]]] = {}
        """By weight, if that ranks: the standing words of the latest instant."""
        self._votes = None if policy.crowd is None else Votes(policy.crowd)
        self._heard: dict[str, datetime] = {}

    def hear(self, together: Iterable[Feedback]) -> None:
        """Take in what was received in one instant."""
        said: dict[str, set[Label]] = {}
        for word in together:
            said.setdefault(word.source, set()).add(word.label)
            at = word.received_at
        for source, labels in said.items():
            first = self._first.get(source, self._heard.setdefault(source, at))
            if len(labels) > 1:
                continue
            [label] = labels
            trust = self._policy.class_of(source)
            if trust is not None:
                self._say(source, label, at, trust)
            elif self._votes is not None and self._policy.crowd is not None:
                self._votes.say(source, label,
                                newcomer=at - first < self._policy.crowd.probation)

    def _say(self, source: str, label: Label, at: datetime, trust: TrustClass) -> None:
        standing = self._trusted.get(source)
        if standing is not None:
            if standing.label == label:
                return
            self._sides[standing.trust, standing.label] -= 1
        self._trusted[source] = _Trusted(label=label, trust=trust)
        self._sides[trust, label] += 1
        rank = trust.weight if self._policy.conflict == "labeler_priority" else 0.0
        when, said = self._newest.get(rank, (None, Counter[Side]()))
        if when != at:
            said = Counter()
        said[trust, label] += 1
        self._newest[rank] = (at, said)

    def label(self, *, known: Label | None) -> Label | None:
        """What the label is now, if it was `known` before."""
        if self._trusted:
            decided = self._decided()
        else:
            decided = None if self._votes is None else self._votes.settled()
        return known if decided is None else decided

    def _decided(self) -> Label | None:
        """What the trusted words come to; None if none outweighs the others."""
        words = self._deciding()
        return _median(words) if self._policy.conflict == "median" else _heaviest(words)

    def _deciding(self) -> Counter[Side]:
        """The trusted words that decide, by class and label."""
        if self._policy.conflict in ("majority_vote", "median"):
            return self._sides
        _, said = self._newest[max(self._newest)]
        return said

    def authority(self, label: Label) -> str:
        """Who has settled that it is `label`."""
        if not self._trusted:
            return ANONYMOUS
        agreeing = [trust for (trust, side), count in self._deciding().items()
                    if side == label and count]
        return min(agreeing, key=lambda trust: (-trust.weight, trust.name)).name

    def counted(self) -> Iterator[str]:
        """The sources that have a say."""
        return filter(self.counts, self._heard)

    def counts(self, source: str) -> bool:
        """Whether this source has a say."""
        if self._trusted:
            word = self._trusted.get(source)
            return word is not None and (self._policy.conflict != "labeler_priority"
                                         or word.trust.weight == max(self._newest))
        return self._votes is not None and self._votes.counts(source)

    def says(self, label: Label | None) -> str:
        """Why the label is what it is."""
        if self._trusted:
            return self._trusted_say(label)
        if self._votes is None:
            return ("no trusted source has spoken, and the words of others make no label here")
        return f"no trusted source has spoken; {self._votes.says()}"

    def _trusted_say(self, label: Label | None) -> str:
        if label is None or self._decided() is None:
            return "trusted sources of equal weight contradict each other: what was known stays"
        rest = sum(count for (_, side), count in self._sides.items() if side != label)
        outvoted = f"; {rest} of {len(self._trusted)} trusted sources say otherwise" if rest else ""
        others = len(self._heard) > len(self._trusted)
        unheard = "; anonymous words change nothing beside it" if others else ""
        return f"a trusted source ({self.authority(label)}) says so{outvoted}{unheard}"


def _weights(words: Mapping[Side, int]) -> dict[Label, Fraction]:
    """What each label weighs, in exact arithmetic."""
    weights: dict[Label, Fraction] = {}
    for (trust, label), count in words.items():
        if count:
            weights[label] = weights.get(label, Fraction(0)) + Fraction(trust.weight) * count
    return weights


def _heaviest(words: Mapping[Side, int]) -> Label | None:
    """The label that outweighs every other; None if none does."""
    weights = _weights(words)
    most = max(weights.values(), default=None)
    leading = [label for label, weight in weights.items() if weight == most]
    return leading[0] if len(leading) == 1 else None


def _median(words: Mapping[Side, int]) -> Label | None:
    """The smallest label that at least half of the weight does not exceed; None without words."""
    weights = _weights(words)
    half, below = sum(weights.values()) / 2, Fraction(0)
    for label in sorted(weights, key=float):
        below += weights[label]
        if below >= half:
            return label
    return None
