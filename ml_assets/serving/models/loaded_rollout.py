"""The loaded versions and what each of them does: immutable, so that a swap is one assignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ml_assets.ingest.log.served import AnsweringRole
from ml_assets.registry import routing
from ml_assets.registry.rollout import Rollout
from ml_assets.serving.models.scoring import Scorer


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model version that is ready to score."""

    version: int
    scorer: Scorer
    loaded_at: datetime


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Who answers an event, and how probable it was that it would be this one."""

    model: LoadedModel
    role: AnsweringRole
    propensity: float


class LineUp:
    """The versions that are loaded, in the roles that a rollout gives them.

    rollout: what this process does, which differs from what the record says if versions were
    refused; arms: the versions that answer; shadows: those that only score
    predecessor: the champion before this one, while it scores in its shadow; None if it does not
    compared: the versions that are tried, each with the one that it is compared with: a
    challenger with the champion, a new champion with its predecessor
    """

    def __init__(
        self, rollout: Rollout, models: Mapping[int, LoadedModel], previous: int | None = None
    ) -> None:
        """previous: the champion before this one, if it may be put back"""
        self.rollout = rollout
        self.models = {version: models[version] for version in rollout.named}
        self.champion = self.models[rollout.version]
        self.arms = {
            version: Arm(
                model=self.models[version],
                role="champion" if version == rollout.version else "challenger",
                propensity=routing.propensity(rollout, version),
            )
            for version in rollout.answering
        }
        self.shadows = tuple(self.models[version] for version in rollout.shadows)
        self.predecessor = next((each for each in self.shadows if each.version == previous), None)
        self.compared = dict.fromkeys(rollout.named[1:], rollout.version)
        if self.predecessor is not None:
            del self.compared[self.predecessor.version]
            self.compared[rollout.version] = self.predecessor.version

    def without(self, version: int) -> LineUp:
        """The same, with its share for the champion. Not for the champion itself."""
        rest = [each for each in self.rollout.named if each != version]
        return LineUp(self.rollout.only(rest), self.models,
                      None if self.predecessor is None else self.predecessor.version)

    def substitute(self, version: int) -> Arm | None:
        """Who answers what this version fails on: for a challenger the champion, for a new
        champion its predecessor; None if there is nobody."""
        if version != self.rollout.version:
            return self.arms[self.rollout.version]
        if self.predecessor is None:
            return None
        return Arm(model=self.predecessor, role="champion", propensity=1.0)

    def arm(self, key: str) -> Arm:
        """Who answers what `key` sends."""
        return self.arms[routing.arm(self.rollout, key)]
