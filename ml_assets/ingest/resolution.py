"""Several words about one prediction to one label, as it was known over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from math import fsum
from operator import attrgetter

from ml_assets.core.feedback import ANONYMOUS, Crowd, FeedbackPolicy, TrustClass
from ml_assets.ingest.served import Feedback


@dataclass(frozen=True, kw_only=True)
class LabelChange:
    """From `known_at` on the label is this. by: the trust class that settled it."""

    known_at: datetime
    label: bool
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
    tally = _Tally(policy, first_heard or {})
    changes: list[LabelChange] = []
    label: bool | None = None
    for at, together in groupby(sorted(words, key=_received), key=_received):
        tally.hear(together)
        found = tally.label(known=label)
        if found is not None and found != label:
            changes.append(LabelChange(known_at=at, label=found, by=tally.authority(found)))
            label = found
    return Resolution(
        changes=tuple(changes), counted=frozenset(tally.counted()), says=tally.says(label)
    )


def first_words(feedback: Iterable[Feedback]) -> dict[str, datetime]:
    """When each source first spoke."""
    first: dict[str, datetime] = {}
    for said in feedback:
        first[said.source] = min(said.received_at, first.get(said.source, said.received_at))
    return first


_received = attrgetter("received_at")


@dataclass(frozen=True, kw_only=True)
class _Trusted:
    """The standing word of a trusted source."""

    label: bool
    at: datetime
    trust: TrustClass


@dataclass(frozen=True, kw_only=True)
class _Vote:
    """The standing word of an anonymous source. What it weighs was settled as it spoke."""

    label: bool
    newcomer: bool


class _Tally:
    """The standing words so far. Counts, not sums, so that no order of adding shows."""

    def __init__(self, policy: FeedbackPolicy, first_heard: Mapping[str, datetime]) -> None:
        self._policy, self._first = policy, first_heard
        self._trusted: dict[str, _Trusted] = {}
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
                standing = self._trusted.get(source)
                if standing is None or standing.label != label:
                    self._trusted[source] = _Trusted(label=label, at=at, trust=trust)
            else:
                self._vote(source, label, at, first)

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
            heavier = _heavier(self._say())
        elif self._policy.crowd is not None:
            heavier = self._settled(self._policy.crowd)
        else:
            heavier = None
        return known if heavier is None else heavier

    def _say(self) -> list[_Trusted]:
        """The trusted words that decide."""
        words = list(self._trusted.values())
        if self._policy.conflict == "majority_vote":
            return words
        if self._policy.conflict == "labeler_priority":
            heaviest = max(word.trust.weight for word in words)
            words = [word for word in words if word.trust.weight == heaviest]
        latest = max(word.at for word in words)
        return [word for word in words if word.at == latest]

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
        agreeing = [word.trust for word in self._say() if word.label == label]
        return min(agreeing, key=lambda trust: (-trust.weight, trust.name)).name

    def counted(self) -> Iterator[str]:
        """The sources that have a say."""
        if not self._trusted:
            weightless = self._policy.crowd is None or self._policy.crowd.newcomer_weight == 0
            yield from (source for source, vote in self._votes.items()
                        if not (vote.newcomer and weightless))
            return
        heaviest = max(word.trust.weight for word in self._trusted.values())
        ranked = self._policy.conflict == "labeler_priority"
        yield from (source for source, word in self._trusted.items()
                    if not ranked or word.trust.weight == heaviest)

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
        deciding = self._say()
        if _heavier(deciding) is None:
            return "trusted sources of equal weight contradict each other: what was known stays"
        rest = len(self._trusted) - sum(word.label == label for word in self._trusted.values())
        outvoted = f"; {rest} of {len(self._trusted)} trusted sources say otherwise" if rest else ""
        others = len(self._heard) > len(self._trusted)
        unheard = "; anonymous words change nothing beside it" if others else ""
        return f"a trusted source ({self.authority(bool(label))}) says so{outvoted}{unheard}"


def _heavier(words: Sequence[_Trusted]) -> bool | None:
    """The side that outweighs the other; None where neither does."""
    weight = {
        side: fsum(word.trust.weight for word in words if word.label == side)
        for side in (True, False)
    }
    return None if weight[True] == weight[False] else weight[True] > weight[False]
