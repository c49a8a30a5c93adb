"""Whose word about a prediction becomes its label, and how much anyone may say."""

from __future__ import annotations

from dataclasses import field, replace
from datetime import timedelta
from math import isfinite
from typing import Literal

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require
from ml_assets.core.texts import SOURCE_LENGTH, name_fault
from ml_assets.core.truths.base import draw

ConflictPolicy = Literal["last_write_wins", "labeler_priority", "majority_vote", "median"]
"""How contradictions between trusted sources are resolved, in Feast's terms.

All but `median` are values of `feast.labeling.ConflictPolicy` (0.67). Feast's own resolver is not
used: only its UI server calls it (without priorities, so `labeler_priority` means the last write
there); it knows one label per entity, but not what was known when; and it counts every row, so
one labeler who repeats himself is a majority. What differs here:

- a source has one standing word, its latest, no matter how often it spoke;
- a tie outranks nothing: what was known before stays (Feast takes the latest word);
- an undeclared labeler does not just rank last: it has no vote beside a trusted one (Feast lets
  it win the last write and the majority).

As in a Feast `LabelView`, whose `labeler_field` is our `source`, every word is kept.
"""

ANONYMOUS = "anonymous"
"""The class of every source that no trusted class claims."""

AUDIT = "audit"
"""The class of those who answer audits, unless a policy has another one for them."""

TRUTH = "truth"
"""The class of the truth's source, if a policy trusts nobody by name."""


@declaration
class FeedbackLimit:
    """A source may say at most `words` new things within any period of `window`."""

    words: int
    window: timedelta

    def __post_init__(self) -> None:
        require(self.words >= 1, self, "words", self.words, "at least 1")
        require(self.window > timedelta(0), self, "window", self.window, "a positive time")


@declaration
class TrustClass:
    """Sources that are believed without confirmation.

    sources: names; one that ends in a colon is a prefix: `"analyst:"` claims `"analyst:ann"`, but
        not `"analyst:"` itself
    weight: compared with that of other trusted classes if the policy ranks or counts
    limit: None means the policy's limit
    unlimited: whether no limit holds at all, because it says what became of every event
    """

    name: str
    sources: tuple[str, ...]
    weight: float = 1.0
    limit: FeedbackLimit | None = None
    unlimited: bool = False

    def __post_init__(self) -> None:
        require(not (self.unlimited and self.limit), self, "limit", self.limit,
                "none if it is unlimited")
        require(self.name.isidentifier() and self.name != ANONYMOUS, self, "name", self.name,
                f"an identifier other than {ANONYMOUS!r}")
        require(bool(self.sources) and all(each.strip(":") for each in self.sources), self,
                "sources", self.sources, "at least one name, or a prefix such as 'ops:'")
        for source in self.sources:
            require(name_fault(source, SOURCE_LENGTH) is None, self, "sources", source,
                    f"text on one line of at most {SOURCE_LENGTH} characters, as the API accepts")
        require(isfinite(self.weight) and self.weight > 0, self, "weight", self.weight,
                "a positive number")


@declaration
class Crowd:
    """How anonymous sources count if no trusted one has spoken.

    Each source weighs 1; one that first spoke less than `probation` ago weighs
    `newcomer_weight`, and all newcomers for one label together weigh at most
    `newcomers_at_most`. A label is decided, or changed, once it outweighs every other by
    `quorum`. Newcomers alone can never do so, however many there are.
    """

    quorum: float = 3.0
    probation: timedelta = timedelta(days=7)
    newcomer_weight: float = 0.25
    newcomers_at_most: float = 1.0

    def __post_init__(self) -> None:
        require(isfinite(self.quorum) and self.quorum >= 1, self, "quorum", self.quorum,
                "at least 1: less than one source's word decides nothing")
        require(self.probation >= timedelta(0), self, "probation", self.probation,
                "no negative time")
        require(0 <= self.newcomer_weight <= 1, self, "newcomer_weight", self.newcomer_weight,
                "a share in [0, 1]")
        require(0 <= self.newcomers_at_most < self.quorum, self, "newcomers_at_most",
                self.newcomers_at_most, f"at least 0 and less than the quorum, {self.quorum:g}")


@declaration
class Audit:
    """A sample of predictions whose truth is asked for, whatever else is said of them.

    Where people report some of the mistakes only, silence turns the others into labels that
    agree with who made them. The sample tells how many: by it reports are weighed up again, see
    `ml_assets.ingest.audits`.

    share: of all predictions; which ones follows from their ids
    source: in whose name its answers come, through the same call as all feedback; it is trusted,
        and without a limit
    """

    share: float
    source: str = "audit"

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, self, "share", self.share, "a share in (0, 1]")
        require(name_fault(self.source, SOURCE_LENGTH) is None and not self.source.endswith(":"),
                self, "source", self.source, "text on one line that is no prefix")

    def propensity(self, prediction_id: str) -> float | None:
        """How probable it was that this prediction would be audited; None if it is not."""
        return self.share if draw(prediction_id, "audit") < self.share else None


@declaration
class FeedbackPolicy:
    """Which label follows from what several sources say about one prediction.

    A trusted source outranks all anonymous ones, however many there are and whenever they
    speak. Among trusted ones `conflict` decides, over the latest word of each:

    - `last_write_wins`: the latest word; of several in one instant the heavier side
    - `labeler_priority`: the heaviest class that has spoken; within it the latest word
    - `majority_vote`: the label with the greatest sum of weights
    - `median`: the weighted median, the lower of two middle ones; for labels that are numbers

    Labels agree if they are equal: two numbers that nearly are count as two opinions, of which
    all policies but `median` take the one that is latest, or that most share. A tie outranks
    nothing. Without a trusted word the `crowd` decides; with `crowd=None`
    anonymous words are kept but make no label. A known label stands until it is outranked. See
    `ml_assets.ingest.log.resolution.resolve`.

    `audit` asks for the truth of a sample.

    A source's name is the client's claim: if strangers can reach the API, accept a trusted name
    (`class_of` tells which ones are) only from clients entitled to it.
    """

    trusted: tuple[TrustClass, ...] = ()
    conflict: ConflictPolicy = "last_write_wins"
    crowd: Crowd | None = field(default_factory=Crowd)
    limit: FeedbackLimit = FeedbackLimit(words=100, window=timedelta(hours=1))
    audit: Audit | None = None

    def __post_init__(self) -> None:
        names = [trust.name for trust in self.trusted]
        require(len(set(names)) == len(names), self, "trusted", names, "each name once")
        require(len(set(self.claimed)) == len(self.claimed), self, "trusted", self.claimed,
                "each source in one class")
        require(bool(self.trusted) or self.crowd is not None, self, "crowd", self.crowd,
                "a Crowd if no source is trusted: otherwise no word could become a label")

    def propensity(self, prediction_id: str) -> float | None:
        """How probable it was that this prediction would be audited; None if it is not."""
        return None if self.audit is None else self.audit.propensity(prediction_id)

    @property
    def claimed(self) -> tuple[str, ...]:
        """The trusted sources, and prefixes of such."""
        return tuple(source for trust in self.trusted for source in trust.sources)

    def class_of(self, source: str) -> TrustClass | None:
        """The trusted class of a source; None for an anonymous one.

        A full name takes precedence over a prefix, a longer prefix over a shorter one.
        """
        claims = [(len(claim), trust) for trust in self.trusted for claim in trust.sources
                  if _claims(claim, source)]
        return max(claims, key=lambda found: found[0])[1] if claims else None

    def limit_of(self, source: str) -> FeedbackLimit | None:
        """How much this source may say; None if it may say anything."""
        trust = self.class_of(source)
        if trust is not None and trust.unlimited:
            return None
        return self.limit if trust is None or trust.limit is None else trust.limit


def trusting(policy: FeedbackPolicy, source: str) -> FeedbackPolicy:
    """`policy`; if it trusts nobody by name, with this source trusted, and without a limit. So
    are auditors."""
    trusted = policy.trusted or (TrustClass(name=TRUTH, sources=(source,), unlimited=True),)
    if policy.audit is not None and policy.class_of(policy.audit.source) is None:
        heaviest = max(trust.weight for trust in trusted)
        trusted = (*trusted, TrustClass(name=AUDIT, sources=(policy.audit.source,),
                                        weight=heaviest, unlimited=True))
    return policy if trusted == policy.trusted else replace(policy, trusted=trusted)


def _claims(claim: str, source: str) -> bool:
    if claim.endswith(":"):
        return source.startswith(claim) and len(source) > len(claim)
    return source == claim
