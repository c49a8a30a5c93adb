"""The models that answer: follow the deployments, and never stop answering meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Protocol

from ml_assets.core.errors import MlAssetsError, NotReady
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.rollout import Role
from ml_assets.serving.models.loaded_rollout import LineUp, LoadedModel
from ml_assets.serving.models.scoring import Scorer

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
RETRY_SECONDS = 30.0
"""A version that could not be loaded is tried again after this time: its store may be back."""


class DeploymentRecord(Protocol):
    """The record of deployments, as `ml_assets.registry.deployments` keeps it."""

    def sequence(self) -> int:
        """Grows with every decision; cheap to ask."""
        ...

    def current(self, system: str) -> Deployment | None: ...


@dataclass(frozen=True, kw_only=True)
class RefusedVersion:
    """A version that the record names and that does nothing here, and why.

    role: the one that the record gives it; loaded: it failed when it was to score.
    """

    version: int
    role: Role
    reason: str
    loaded: bool = False


class ModelPool:
    """Holds all versions of one system that the record in force names, loaded and proved.

    New versions are loaded beside the old ones and take over by one assignment, so every
    event is answered wholly by one version, and none waits. A version that cannot be loaded is
    refused: in a champion's place the champion before it stays, and a challenger's traffic is
    the champion's. Versions that are named no longer are let go.

    open_deployments: opens the record of deployments, again after it could not be read
    load: loads and proves a version; whatever it raises refuses the version
    """

    def __init__(
        self,
        system: str,
        open_deployments: Callable[[], DeploymentRecord],
        load: Callable[[int], Scorer],
        now: Callable[[], datetime],
    ) -> None:
        self.system = system
        self.lineup: LineUp | None = None
        self.deployment: Deployment | None = None
        self.refusals: tuple[RefusedVersion, ...] = ()
        self.problem: str | None = None
        """Why the deployments could not be read at the latest look; None if they could."""
        self._open, self._load, self._now = open_deployments, load, now
        self._refused_at = 0.0
        self._looking = threading.Lock()
        self._assigning = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> LoadedModel | None:
        """The champion that answers here; None if nothing can answer."""
        lineup = self.lineup
        return None if lineup is None else lineup.champion

    def require(self) -> LineUp:
        """The versions that are loaded. Raises NotReady, saying why there are none."""
        lineup = self.lineup
        if lineup is None:
            raise NotReady(self.why_none())
        return lineup

    def why_none(self) -> str:
        """Why no model is loaded, if none is."""
        for refused in self.refusals:
            if refused.role == "champion":
                return (f"version {refused.version} of {self.system!r} is deployed but was "
                        f"refused: {refused.reason}")
        if self.problem is not None:
            return self.problem
        return (f"no model of {self.system!r} is deployed: materialise {self.system}/deployment "
                "or run the loop")

    def refresh(self) -> None:
        """Look at the deployments now; returns once their versions are loaded or refused.

        Raises nothing: `refusals` and `problem` say what went wrong.
        """
        try:
            self._look(self._open())
            self.problem = None
        except Exception as error:
            self._note(error)

    def start(self) -> None:
        """Follow the deployments in a thread, four looks a second, until `stop`."""
        self._thread = threading.Thread(
            target=self._follow, name=f"models of {self.system}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a load in progress is given ten seconds to end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def dismiss(self, version: int, error: Exception) -> None:
        """Take a version out that failed to score, until the next record; on any thread.

        The champion stays, whatever it did: nobody else may answer in its place.
        """
        with self._assigning:
            lineup = self.lineup
            role = None if lineup is None else lineup.rollout.role(version)
            if lineup is None or role is None or role == "champion":
                return
            reason = f"it failed to score: {type(error).__name__}: {error}"
            log.error("%s: version %d is a %s no longer, %s", self.system, version, role, reason,
                      exc_info=error)
            refusal = RefusedVersion(version=version, role=role, reason=reason, loaded=True)
            self.refusals = (*self.refusals, refusal)
            self.lineup = lineup.without(version)

    def _follow(self) -> None:
        deployments: DeploymentRecord | None = None
        seen: int | None = None
        while not self._stop.wait(POLL_SECONDS):
            try:
                deployments = deployments or self._open()
                sequence = deployments.sequence()
                failed = any(not refusal.loaded for refusal in self.refusals)
                retry = failed and monotonic() - self._refused_at > RETRY_SECONDS
                if sequence != seen or retry:
                    self._look(deployments)
                    seen = sequence
                self.problem = None
            except Exception as error:
                # The thread must outlive whatever happens to the record; it says so and goes on.
                deployments = None
                self._note(error)

    def _note(self, error: Exception) -> None:
        kind = "" if isinstance(error, MlAssetsError) else f"{type(error).__name__}: "
        problem = f"the deployments cannot be read: {kind}{error}"
        if problem != self.problem:
            log.error("%s: %s", self.system, problem)
        self.problem = problem

    def _look(self, deployments: DeploymentRecord) -> None:
        with self._looking:
            record = deployments.current(self.system)
            before, self.deployment = self.deployment, record
            if record is None:
                return
            if before is None or before.id != record.id:
                self._forget_failures()
            models = {} if self.lineup is None else dict(self.lineup.models)
            refusals: list[RefusedVersion] = []
            for version in record.named:
                if version not in models and not self._failed(version):
                    self._try(record, version, models, refusals)
                # The champion, who comes first, waits for no other: a rollback is in a hurry.
                # While the others load, their share is its.
                self._assign(record, models)
                if deployments.current(self.system) != record:
                    return
            with self._assigning:
                self.refusals = (*refusals, *(each for each in self.refusals if each.loaded))

    def _try(
        self,
        record: Deployment,
        version: int,
        models: dict[int, LoadedModel],
        refusals: list[RefusedVersion],
    ) -> None:
        """Load the version into `models`, or add why not to `refusals`."""
        try:
            scorer = self._load(version)
        except Exception as error:
            role = record.role(version)
            assert role is not None
            reason = f"{type(error).__name__}: {error}"
            refusals.append(RefusedVersion(version=version, role=role, reason=reason))
            self._refused_at = monotonic()
            if all(known.version != version or known.reason != reason for known in self.refusals):
                log.error("%s: version %d is refused, %s: %s", self.system, version,
                          self._instead(role), reason)
            return
        models[version] = LoadedModel(version=version, scorer=scorer, loaded_at=self._now())

    def _instead(self, role: Role) -> str:
        if role == "shadow":
            return "it scores nothing"
        if self.current is None:
            return "nothing can answer"
        if role == "challenger":
            return "the champion has its traffic"
        return f"version {self.current.version} stays"

    def _assign(self, record: Deployment, models: Mapping[int, LoadedModel]) -> None:
        """Let what is loaded do what the record says."""
        with self._assigning:
            before = self.lineup
            ready = [version for version in record.named
                     if version in models and not self._failed(version)]
            rollout = record.state
            if record.version not in ready:
                if before is None:
                    return
                kept = before.champion.version
                rollout = replace(rollout, version=kept)
                ready = [version for version in ready if version != kept]
            rollout = rollout.only(ready)
            if before is not None and before.rollout == rollout:
                return
            same_champion = rollout.version == record.version
            self.lineup = LineUp(rollout, models, record.previous if same_champion else None)
        log.info("%s: from now on %s", self.system, rollout.told)

    def _failed(self, version: int) -> bool:
        return any(each.loaded and each.version == version for each in self.refusals)

    def _forget_failures(self) -> None:
        """A new record is a new chance for what failed under the one before."""
        with self._assigning:
            self.refusals = tuple(each for each in self.refusals if not each.loaded)
