"""The mails with the system's features: taken in and joined as the product does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.core.system import Calendar, System
from ml_assets.core.time import DAY
from ml_assets.systems.spam import SPAM
from ml_assets.training.rows.labelled import LabelledRows


@dataclass(frozen=True, kw_only=True, eq=False)
class Mails:
    """N mails by arrival, each with the features as of its own instant."""

    system: System
    rows: LabelledRows

    @property
    def first(self) -> int:
        """Of those that are tested: the last 40%."""
        return int(len(self.rows) * 0.6)

    @property
    def codes(self) -> npt.NDArray[np.float64]:
        return self.rows.codes

    def written(self) -> list[str]:
        """Each mail as peers get it: allow-listed headers and the visible text, without what the
        collector left in them.
        """
        return [f"{head}\n\n{body}" for head, body in zip(
            self.rows.texts["header_text"], self.rows.texts["body_text"], strict=True)]


def mails(folder: str) -> Mails:
    """In an installation of its own in `folder`; labels are known as the system's truth says."""
    from ml_assets.features.offline import OfflineFeatures
    from ml_assets.ingest.daily import store_events, store_labels, store_raw
    from ml_assets.ingest.lake import Lake
    from ml_assets.ingest.tables import events_schema

    settings = Settings(var=Path(folder) / "var", cache=Settings().cache)
    system = _system()
    first, end = SPAM.calendar.first_day, system.calendar.go_live
    days = [first + timedelta(days=number) for number in range((end - first).days)]
    store_raw(system, settings, days)
    store_events(system, settings, days)
    store_labels(system, settings, days)
    features, lake = OfflineFeatures(settings, system), Lake(settings.lake)
    events = lake.read(system.name, "events", events_schema(system), start=first, end=end + DAY)
    values = features.read(events, events["event_timestamp"], accepted_at=events["accepted_at"])
    archive = system.source
    truth = {event.event_id: event.outcome for event in archive.archive(
        archive.fetch(settings.cache))}
    numbers = system.model.numbers
    return Mails(system=system, rows=LabelledRows(
        texts={name: events[name].tolist() for name in
               dict.fromkeys((*system.model.texts, "header_text", "body_text"))},
        dense=np.hstack([events[list(numbers)].to_numpy(np.float32), values]),
        codes=np.array([float(bool(truth[each])) for each in events["event_id"]]),
        feature_names=(*numbers, *features.names)))


def _system() -> System:
    """The declared one, with all of the corpus as its history."""
    first, live = SPAM.calendar.first_day, SPAM.calendar.go_live
    return replace(SPAM, calendar=Calendar(first_day=first, go_live=live + timedelta(days=37)))
