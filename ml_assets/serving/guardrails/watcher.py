"""Looks several times a second whether a version breaches a guardrail, and takes it out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from ml_assets.core.errors import ModelRefused, NotReady
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.record import BY_GUARDRAIL
from ml_assets.registry.rollout import Action, Withdraw
from ml_assets.registry.trials import Tried, challenged, watched
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.guardrails.side_by_side import Breach
from ml_assets.serving.models.pool import DeploymentRecord, ModelPool

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1


class WritableRecord(DeploymentRecord, Protocol):
    """The same, to be written too."""

    def history(self, system: str) -> list[Deployment]: ...

    def act(
        self, system: str, action: Action, *, reason: str, by: str, at: datetime,
        expecting: int | None = None,
    ) -> Deployment: ...


class Watcher:
    """Writes into the record of deployments that a version goes, as soon as it is known to be
    broken: a challenger leaves, a new champion makes way for its predecessor.

    Of several processes that see the same one writes: a record counts only if no other has come
    since the one that was judged. A record that cannot be written is tried again at each look;
    meanwhile a challenger has nothing to do in this process.

    stands: whether the system's clock stands still, as in a replay: then it judges when it is told
    to, at an instant of that clock, and never how long anything takes
    """

    def __init__(
        self, system: str, guard: Guard, models: ModelPool,
        open_deployments: Callable[[], WritableRecord], now: Callable[[], datetime],
        stands: Callable[[], bool],
    ) -> None:
        self._system, self._guard, self._models = system, guard, models
        self._open, self._now, self._stands = open_deployments, now, stands
        self._record: int | None = None
        self._trials: dict[tuple[int, int], Tried] = {}
        self._problem: str | None = None
        self._one_at_a_time = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look on from now on, until `stop`; not at all without a policy."""
        if self._guard.policy is not None:
            self._thread = threading.Thread(
                target=self._follow, name=f"guardrails of {self._system}", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def look(self) -> None:
        """Judge what was seen so far, unless a replay holds the clock."""
        self._guard.timed = not self._stands()
        if self._guard.timed:
            self.judge()

    def judge(self) -> None:
        """Take out whatever breaches a guardrail by now. Raises what the record of deployments
        raises.
        """
        with self._one_at_a_time:
            record = self._models.deployment
            if record is None or self._guard.policy is None:
                return
            if record.id != self._record:
                self._read()
            for trial in list(self._trials.values()):
                breach = self._guard.side((trial.version, trial.reference)).breach()
                if breach is not None:
                    self._take_out(trial, breach)

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.look()
                self._problem = None
            except Exception as error:
                # The thread must outlive whatever happens to the record; it looks again.
                problem = f"{type(error).__name__}: {error}"
                if problem != self._problem:
                    log.error("%s: guardrails cannot act: %s", self._system, problem)
                self._problem = problem

    def _read(self) -> None:
        history = self._open().history(self._system)
        new = watched(history)
        trials = {(each.version, each.reference): each
                  for each in (*challenged(history), *([new] if new is not None else []))}
        # One that left and came back begins once more, and one whose champion changed.
        self._guard.keep([key for key, each in trials.items()
                          if key not in self._trials or self._trials[key].since == each.since])
        self._trials, self._record = trials, history[-1].id if history else None

    def _take_out(self, trial: Tried, breach: Breach) -> None:
        version = trial.version
        reason = f"version {version} breaches `{breach.guardrail}`: {breach.reason}"
        lineup, record = self._models.lineup, self._record
        champion = lineup is not None and lineup.rollout.version == version
        if not champion:
            self._models.dismiss(version, ModelRefused(reason))
        try:
            written = self._open().act(
                self._system, Withdraw(version=version,
                                       instead=trial.reference if champion else None),
                reason=reason, by=f"{BY_GUARDRAIL} {breach.guardrail}", at=self._now(),
                expecting=record)
        except NotReady:
            self._record = None  # somebody else was first: read what is in force now
            return
        self._guard.breaches[version, breach.guardrail] += 1
        log.error("%s: record %d: %s", self._system, written.id, reason)
        self._models.refresh()
