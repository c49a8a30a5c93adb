"""Who answers: champion, challengers, shadows; and the actions that change it. Pure values.

Traffic is a million slots, into which the events' keys are hashed (`routing`). A challenger
owns the slots that it was given; all others are the champion's. So a share is exact, two
challengers never overlap, and a share that grows takes slots from the champion alone: nobody
else changes sides.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

SLOTS = 1_000_000
MOST = 0.5
"""What all challengers may have together: the champion keeps at least half of the traffic.

Half of the users at most meet what is not proved yet, and what a rollback changes is bounded
by the same half. It costs next to nothing: the best share of a control that k arms are compared
with is sqrt(k) / (k + sqrt(k)), which is 0.5 for one arm and 0.41 for two (Dunnett 1955, "A
multiple comparison procedure for comparing several treatments with a control").
"""

Role = Literal["champion", "challenger", "shadow"]
Slots = tuple[tuple[int, int], ...]
"""Half-open ranges of slots, in the order in which they were taken."""


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """A version that answers the events which fall into its slots."""

    version: int
    slots: Slots

    @property
    def share(self) -> float:
        """Of all traffic, in (0, 0.5]."""
        return size(self.slots) / SLOTS


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Who answers, as a whole. No version has two roles.

    version: the champion, which answers whatever no challenger answers
    shadows: score what others have answered, and answer nothing
    salt: of the hash that draws the slots; another one draws them anew
    """

    version: int
    challengers: tuple[Challenger, ...] = ()
    shadows: tuple[int, ...] = ()
    salt: str = ""

    @property
    def answering(self) -> tuple[int, ...]:
        """The versions that have a share of the traffic, champion first."""
        return (self.version, *(challenger.version for challenger in self.challengers))

    @property
    def named(self) -> tuple[int, ...]:
        """All versions that must be loaded, champion first."""
        return (*self.answering, *self.shadows)

    def role(self, version: int) -> Role | None:
        """None if the version has nothing to do."""
        if version == self.version:
            return "champion"
        if version in self.shadows:
            return "shadow"
        return "challenger" if version in self.answering else None

    def share(self, version: int) -> float:
        """Of all traffic: what the version answers."""
        challenged = sum(size(challenger.slots) for challenger in self.challengers)
        if version == self.version:
            return (SLOTS - challenged) / SLOTS
        return sum((each.share for each in self.challengers if each.version == version), 0.0)

    @property
    def told(self) -> str:
        """Who answers, in a line."""
        parts = [f"version {self.version} answers {percent(self.share(self.version))}"]
        parts += [f"version {each.version} {percent(each.share)}" for each in self.challengers]
        if self.shadows:
            parts.append(f"shadow{'s' * (len(self.shadows) > 1)} "
                         f"{', '.join(map(str, self.shadows))}")
        return ", ".join(parts)

    def only(self, versions: Collection[int]) -> Rollout:
        """The same without challengers and shadows other than these; the champion stays."""
        return Rollout(
            version=self.version, salt=self.salt,
            challengers=tuple(each for each in self.challengers if each.version in versions),
            shadows=tuple(version for version in self.shadows if version in versions),
        )


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Let `version` be the champion.

    alone: without any challenger beside it
    watched: the champion before it scores in its shadow, so that the two can be compared
    """

    version: int
    alone: bool = False
    watched: bool = False


@dataclass(frozen=True, kw_only=True)
class Canary:
    """Give `version` this share of the traffic, in place of the one it had; 0 takes it out.

    reshuffle: draw anew who meets which challenger.
    """

    version: int
    share: float
    reshuffle: bool = False


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """Let `version` score what others answer; `stop` ends that."""

    version: int
    stop: bool = False


@dataclass(frozen=True, kw_only=True)
class Withdraw:
    """Let `version` do nothing any more. `instead`: who takes its place if it is the champion."""

    version: int
    instead: int | None = None


@dataclass(frozen=True, kw_only=True)
class Approve:
    """Let `version` be promoted once the evidence is there; nobody changes sides by it."""

    version: int


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """Put back, whole, what the latest change replaced."""


Change = Promote | Canary | Shadow | Withdraw | Approve
Action = Change | Rollback


def size(slots: Slots) -> int:
    """How many slots these are."""
    return sum(end - start for start, end in slots)


def percent(share: float) -> str:
    """A share as people write it: 5%, 33.3333%."""
    return f"{share * 100:.6g}%"
