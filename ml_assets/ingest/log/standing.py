"""Which words about one prediction stand at an instant, what they weigh, and what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ml_assets.core.feedback import ANONYMOUS, Crowd, FeedbackPolicy, TrustClass
from ml_assets.ingest.log.served import Feedback


@dataclass(frozen=True, kw_only=True)
class _Trusted:
    """The standing word of a trusted source."""

    label: bool
    trust: TrustClass


Side = tuple[TrustClass, bool]
"""The words of one class for one label."""


@dataclass(frozen=True, kw_only=True)
class _Vote:
    """The standing word of an anonymous source. What it weighs was settled as it spoke."""

    label: bool
    newcomer: bool


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
        self._votes: dict[str, _Vote] = {}
        self._counts: Counter[_Vote] = Counter()
        self._heard: dict[str, datetime] = {}

    def hear(self, together: Iterable[Feedback]) -> None:
        """Take in what was received in one instant."""
        said: dict[str, set[bool]] = {}
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
            else:
                self._vote(source, label, at, first)

    def _say(self, source: str, label: bool, at: datetime, trust: TrustClass) -> None:
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

    def _vote(self, source: str, label: bool, at: datetime, first: datetime) -> None:
        crowd, standing = self._policy.crowd, self._votes.get(source)
        if crowd is None or (standing is not None and standing.label == label):
            return
        if standing is not None:
            self._counts[standing] -= 1
        vote = _Vote(label=label, newcomer=at - first < crowd.probation)
        self._votes[source] = vote
        self._counts[vote] += 1

    def label(self, *, known: bool | None) -> bool | None:
        """What the label is now, if it was `known` before."""
        if self._trusted:
            heavier = _heavier(self._deciding())
        elif self._policy.crowd is not None:
            heavier = self._settled(self._policy.crowd)
        else:
            heavier = None
        return known if heavier is None else heavier

    def _deciding(self) -> Counter[Side]:
        """The trusted words that decide, by class and label."""
        if self._policy.conflict == "majority_vote":
            return self._sides
        _, said = self._newest[max(self._newest)]
        return said

    def _settled(self, crowd: Crowd) -> bool | None:
        lead = self._weight(crowd, True) - self._weight(crowd, False)
        return lead > 0 if abs(lead) >= crowd.quorum else None

    def _weight(self, crowd: Crowd, label: bool) -> float:
        """What the anonymous sources for `label` weigh together."""
        newcomers = self._counts[_Vote(label=label, newcomer=True)] * crowd.newcomer_weight
        established = self._counts[_Vote(label=label, newcomer=False)]
        return established + min(newcomers, crowd.newcomers_at_most)

    def authority(self, label: bool) -> str:
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
        vote, crowd = self._votes.get(source), self._policy.crowd
        return (vote is not None and crowd is not None
                and not (vote.newcomer and crowd.newcomer_weight == 0))

    def says(self, label: bool | None) -> str:
        """Why the label is what it is."""
        if self._trusted:
            return self._trusted_say(label)
        crowd = self._policy.crowd
        if crowd is None:
            return ("no trusted source has spoken, and the words of others make no label here")
        return (f"no trusted source has spoken; anonymous ones weigh {self._weight(crowd, True):g} "
                f"for True and {self._weight(crowd, False):g} for False, and a lead of "
                f"{crowd.quorum:g} settles it")

    def _trusted_say(self, label: bool | None) -> str:
        if _heavier(self._deciding()) is None:
            return "trusted sources of equal weight contradict each other: what was known stays"
        rest = sum(count for (_, side), count in self._sides.items() if side != label)
        outvoted = f"; {rest} of {len(self._trusted)} trusted sources say otherwise" if rest else ""
        others = len(self._heard) > len(self._trusted)
        unheard = "; anonymous words change nothing beside it" if others else ""
        return f"a trusted source ({self.authority(bool(label))}) says so{outvoted}{unheard}"


def _heavier(words: Mapping[Side, int]) -> bool | None:
    """The side that outweighs the other; None if neither does. In exact arithmetic."""
    weight = {True: Fraction(0), False: Fraction(0)}
    for (trust, side), count in words.items():
        weight[side] += Fraction(trust.weight) * count
    return None if weight[True] == weight[False] else weight[True] > weight[False]
