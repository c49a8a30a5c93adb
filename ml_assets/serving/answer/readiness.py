"""Whether one system can give full answers now, and what needs a look though it answers."""

from __future__ import annotations

from time import monotonic

from ml_assets.core.errors import LogBusy, LogUnavailable, StateDamaged
from ml_assets.serving.answer.counters import Counters
from ml_assets.serving.answer.features import GuardedState
from ml_assets.serving.answer.instants import Instants
from ml_assets.serving.answer.log_handle import LogHandle
from ml_assets.serving.answer.slates.candidates import Candidates
from ml_assets.serving.models.pool import ModelPool


class Readiness:
    """Tries out what answers come from: log, feature store, model."""

    def __init__(
        self, system: str, *, log: LogHandle, instants: Instants, state: GuardedState,
        models: ModelPool, counters: Counters, candidates: Candidates | None = None,
    ) -> None:
        """candidates: what slates are made of, if the system answers with some"""
        self._candidates = candidates
        self._system, self._log, self._instants = system, log, instants
        self._state, self._models = state, models
        self._counters = counters

    def problems(self) -> list[str]:
        """Why full answers cannot be given now, tried out; empty if they can.

        One call at a time, as for the event log.
        """
        problems = []
        try:
            log = self._log.get()
            log.check()
            self._instants.hear(log)
        except LogUnavailable as error:
            if not isinstance(error, LogBusy):
                self._log.close()
            problems.append(str(error))
        try:
            self._state.check(self._instants.now())
        except StateDamaged as error:  # the clock's file
            problems.append(str(error))
        if self._state.problem is not None:
            problems.append(f"{self._state.problem}; predictions are degraded")
        if self._models.current is None:
            problems.append(self._models.why_none())
        elif self._models.problem is not None:
            problems.append(self._models.problem)
        return [f"{self._system}: {problem}" for problem in problems]

    def warnings(self) -> list[str]:
        """What needs a look though answers are given: a refused version, degraded answers.

        On any thread.
        """
        warnings: list[str] = []
        champion = self._models.current
        if champion is not None:
            instead = {
                "champion": f"{champion.version} stays",
                "challenger": f"{champion.version} has its traffic",
                "shadow": "it scores nothing",
            }
            warnings += [
                f"version {refused.version} was refused as {refused.role}, "
                f"{instead[refused.role]}: {refused.reason}" for refused in self._models.refusals
            ]
        warnings += filter(None, (self._models.problem, self._state.scores_problem,
                                  self._instants.clock.warning()))
        if self._candidates is not None and self._candidates.problem is not None:
            warnings.append(self._candidates.problem)
        warnings += self._counters.warnings(monotonic())
        return [f"{self._system}: {warning}" for warning in warnings]
