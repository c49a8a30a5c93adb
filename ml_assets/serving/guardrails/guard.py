"""The trials of one system as its calls see them: who is compared with whom, and what was seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from ml_assets.core.policies import Guardrails
from ml_assets.serving.guardrails.side_by_side import SideBySide
from ml_assets.serving.models.loaded_rollout import LineUp
from ml_assets.serving.models.scoring import OutputsRefused

Trial = tuple[int, int]
"""A version, and the one that it is compared with."""


class Guard:
    """What the versions of one system were seen to do. Its calls come one at a time, those of the
    watcher on another thread.

    level: of the policy, for this process
    timed: whether real time passes, so that versions may be probed now and then; not in a replay
    failures: calls in which a version failed and another one answered, by version
    breaches: which version this process took out for which guardrail, and how often
    """

    def __init__(
        self, policy: Guardrails | None, *, bounds: tuple[float, float] | None,
        processes: int = 1,
    ) -> None:
        """bounds: of outputs; None if the target has none"""
        self.policy, self._bounds = policy, bounds
        self.level = 1.0 if policy is None else policy.level / processes
        self.timed = False
        self.failures: Counter[int] = Counter()
        self.breaches: Counter[tuple[int, str]] = Counter()
        self._sides: dict[Trial, SideBySide] = {}

    def of(self, lineup: LineUp) -> Mapping[int, SideBySide]:
        """What is compared among these, by version."""
        return {version: self.side((version, reference))
                for version, reference in lineup.compared.items()}

    def side(self, trial: Trial) -> SideBySide:
        """What is known of a trial, nothing if it is new."""
        side = self._sides.get(trial)
        if side is None:
            side = self._sides.setdefault(trial, SideBySide(
                *trial, self.policy, self.level, self._bounds))
        return side

    def answered(self, lineup: LineUp, version: int, events: int, *, degraded: bool) -> None:
        """A version answered events of one batch."""
        for own, reference in lineup.compared.items():
            if version in (own, reference):
                side = self.side((own, reference))
                side.read(version, degraded=degraded)
                if version == own:
                    side.scored(events)

    def failed(self, lineup: LineUp, version: int, error: Exception) -> bool:
        """A version failed on what the one that it is compared with scored. Returns whether it
        should do nothing more here."""
        self.failures[version] += 1
        reference = lineup.compared.get(version)
        return reference is None or self.side((version, reference)).failed(
            error, invalid=isinstance(error, OutputsRefused))

    def keep(self, trials: Collection[Trial]) -> None:
        """Forget all others: one that begins once more begins with nothing."""
        for trial in list(self._sides):
            if trial not in trials:
                self._sides.pop(trial, None)
