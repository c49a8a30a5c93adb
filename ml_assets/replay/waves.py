"""Which recorded events a replay may send together, so that nothing comes out differently."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.features.engine.events import entity_key
from ml_assets.features.manifest import load_manifest
from ml_assets.ingest.contracts.rows import read_event
from ml_assets.replay.people import audited_at
from ml_assets.replay.slates import asks_for_slate

LARGEST = 256
"""As many as the API answers at once."""

Entity = tuple[tuple[str, ...], bytes]
"""The columns that a feature view joins on, and who that is."""


class Waves:
    """Cuts a day's events into waves; those of a wave are sent in one request.

    An event sees those before it through the features of its entities, and through nothing else.
    So a wave holds no two events of one entity of a feature view, and ends before anybody says
    what was true, or anything happens in another stream. Sent one by one, each event would get
    the same answer.
    """

    def __init__(self, system: System, keys: Iterable[tuple[str, ...]]) -> None:
        """keys: the columns that each of the system's feature views joins on"""
        self._system, self._keys = system, sorted(set(keys))

    @classmethod
    def of(cls, system: System, settings: Settings) -> Waves:
        return cls(system, [view.keys for view in load_manifest(settings).service(system).views])

    def take(
        self, events: Sequence[ArchivedEvent], start: int, until: datetime
    ) -> Sequence[ArchivedEvent]:
        """The wave that begins with the event at `start`, which is sent whatever it is.

        events: in the order of time; until: no later one is in the wave
        """
        seen = self._entities(events[start])
        end = start + 1
        while seen is not None and end < min(len(events), start + LARGEST):
            until = min(until, self._earliest_word(events[end - 1], until))
            theirs = self._entities(events[end])
            if theirs is None or events[end].event_timestamp > until or not seen.isdisjoint(theirs):
                break
            seen |= theirs
            end += 1
        return events[start:end]

    def _entities(self, event: ArchivedEvent) -> set[Entity] | None:
        """Who the event is about; None if it is sent alone."""
        if () in self._keys or asks_for_slate(self._system, event):
            return None  # what one counts, all others see; which items, nobody knows yet
        try:
            row = read_event(self._system, json.dumps(dict(event.request)))
            found = {keys: entity_key([row.get(name) for name in keys]) for keys in self._keys}
        except (MlAssetsError, ArithmeticError, LookupError, TypeError, ValueError):
            return None  # the API says what is wrong with it
        return {(keys, entity) for keys, entity in found.items() if entity}

    def _earliest_word(self, event: ArchivedEvent, otherwise: datetime) -> datetime:
        """Before this nobody says what was true, whatever is decided."""
        truth = self._system.truth
        if event.outcome is None:
            return otherwise
        label = self._system.target.label(event.outcome)
        words = [truth.told_at(event, label, right=right) for right in (True, False)]
        words += [truth.known_at(event), audited_at(self._system, event)]
        return min((at for at in words if at is not None),
                   default=otherwise)
