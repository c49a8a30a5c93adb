"""How old the labels are that the features of a system have counted."""

from __future__ import annotations

import logging
from time import monotonic

from ml_assets.core.settings import Settings
from ml_assets.core.system import System

log = logging.getLogger(__name__)

KEPT_SECONDS = 5.0


class Freshness:
    """By feature view over labels: seconds since the instant that the online store holds of it.

    By the system's clock, which its replay moves. Views over events are not in it: each
    prediction feeds them at once. Kept for a few seconds; for one thread at a time.
    """

    def __init__(self, settings: Settings, system: System) -> None:
        self._settings, self._system = settings, system
        self._read_at = float("-inf")
        self._ages: dict[str, float] = {}

    def ages(self) -> dict[str, float]:
        """Empty if nothing was loaded, or if the event log cannot be read."""
        if monotonic() - self._read_at >= KEPT_SECONDS:
            try:
                self._ages = self._read()
            except Exception as error:
                log.warning("%s: how fresh the features are is not known: %s", self._system.name,
                            error)
                self._ages = {}
            self._read_at = monotonic()
        return self._ages

    def _read(self) -> dict[str, float]:
        from ml_assets.features.loads import is_loaded, loaded_until
        from ml_assets.features.manifest import load_manifest
        from ml_assets.features.online_store.following.stretches import EVENTS

        if not is_loaded(self._settings):
            return {}
        service = load_manifest(self._settings).service(self._system)
        now = self._settings.clock_of(self._system.name).now()
        held = loaded_until(self._settings, [
            view for view in service.views if view.table != EVENTS])
        return {name: (now - until).total_seconds() for name, until in held.items()}
