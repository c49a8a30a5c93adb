"""The model that answers: follows the deployments, and never stops answering meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Protocol

from ml_assets.serving.scoring import Scorer

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
RETRY_SECONDS = 30.0
"""A version that could not be loaded is tried again after this time: its store may be back."""


class Deployment(Protocol):
    """The decision that put a version in charge, as `ml_assets.registry.deployments` keeps it."""

    @property
    def version(self) -> int: ...
    @property
    def previous(self) -> int | None: ...
    @property
    def reason(self) -> str: ...
    @property
    def by(self) -> str: ...
    @property
    def at(self) -> datetime: ...


class Deployments(Protocol):
    """The record of deployments, as `ml_assets.registry.deployments` keeps it."""

    def sequence(self) -> int:
        """Grows with every decision; cheap to ask."""
        ...

    def current(self, system: str) -> Deployment | None: ...


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model version that is ready to answer."""

    version: int
    scorer: Scorer
    loaded_at: datetime


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A deployed version that cannot be served, and why."""

    version: int
    reason: str


class ModelPool:
    """Holds the deployed version of one system, loaded and proved.

    A new version is loaded beside the old one and takes over by one assignment, so every
    request is answered wholly by one version, and none waits. A version that cannot be
    loaded is refused and the old one stays.

    open_deployments: opens the record of deployments, again after it could not be read
    load: loads and proves a version; whatever it raises refuses the version
    """

    def __init__(
        self,
        system: str,
        open_deployments: Callable[[], Deployments],
        load: Callable[[int], Scorer],
        now: Callable[[], datetime],
    ) -> None:
        self.system = system
        self.current: Loaded | None = None
        self.deployment: Deployment | None = None
        self.refusal: Refusal | None = None
        self.problem: str | None = None
        """Why the deployments could not be read at the latest look; None where they could."""
        self._open, self._load, self._now = open_deployments, load, now
        self._refused_at = 0.0
        self._looking = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def refresh(self) -> None:
        """Look at the deployments now; returns once their version is loaded or refused.

        Raises nothing: `refusal` and `problem` say what went wrong.
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

    def _follow(self) -> None:
        deployments: Deployments | None = None
        seen: int | None = None
        while not self._stop.wait(POLL_SECONDS):
            try:
                deployments = deployments or self._open()
                sequence = deployments.sequence()
                retry = self.refusal and monotonic() - self._refused_at > RETRY_SECONDS
                if sequence != seen or retry:
                    self._look(deployments)
                    seen = sequence
                self.problem = None
            except Exception as error:
                # The thread must outlive whatever happens to the record; it says so and goes on.
                deployments = None
                self._note(error)

    def _note(self, error: Exception) -> None:
        problem = f"the deployments cannot be read: {type(error).__name__}: {error}"
        if problem != self.problem:
            log.error("%s: %s", self.system, problem)
        self.problem = problem

    def _look(self, deployments: Deployments) -> None:
        with self._looking:
            deployed = deployments.current(self.system)
            self.deployment = deployed
            if deployed is None:
                return
            loaded = self.current
            if loaded is not None and loaded.version == deployed.version:
                self.refusal = None
                return
            try:
                scorer = self._load(deployed.version)
            except Exception as error:
                self._refuse(deployed.version, error)
                return
            self.current = Loaded(
                version=deployed.version, scorer=scorer, loaded_at=self._now()
            )
            self.refusal = None
            log.info("%s: version %d answers from now on", self.system, deployed.version)

    def _refuse(self, version: int, error: Exception) -> None:
        kept = f"version {self.current.version} stays" if self.current else "nothing can answer"
        reason = f"{type(error).__name__}: {error}"
        if self.refusal is None or self.refusal.reason != reason:
            log.error("%s: version %d is refused, %s: %s", self.system, version, kept, reason)
        self.refusal = Refusal(version=version, reason=reason)
        self._refused_at = monotonic()
