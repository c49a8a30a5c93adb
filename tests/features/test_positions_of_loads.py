"""Every load takes positions of the event log: the platform's own, and `feast materialize`."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY, EventClock, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.online import OnlineState
from ml_assets.features.online_load import load_view
from ml_assets.features.store import apply_if_changed, open_store
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import events_schema
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record
from tests.serving.test_real_stores import mail

pytestmark = pytest.mark.slow

DAYS = first_days(SPAM, 6)
NOON = midnight(DAYS[-1]) + timedelta(days=1, hours=12)
ASKED = [{**SPAM.source.parse(mail(n)), **{key: f"{key}-{n}" for key in SPAM.keys}}
         for n in range(5)]


def read(settings: Settings) -> tuple[npt.NDArray[np.float32], int]:
    with closing(EventLog(settings.event_log)) as log:
        values, _, position = OnlineState(log.connection, settings, SPAM).read(
            ASKED, [NOON] * len(ASKED))
    return values, position


def record_a_late_one(settings: Settings) -> None:
    """An event of the second day that reached the system on the fourth."""
    lake, schema, day = Lake(settings.lake), events_schema(SPAM), DAYS[3]
    there = lake.read("spam", "events", schema, start=day, end=DAYS[4])
    late = there.head(1).assign(event_id="late", event_timestamp=midnight(DAYS[1]),
                                **{key: f"{key}-0" for key in SPAM.keys})
    lake.write("spam", "events", day, pd.concat([there, late]), schema)


def test_what_feast_materialize_counts_is_recomputed_at_each_position(settings: Settings) -> None:
    """Loads of both kinds, in turns: each state that was read is a prefix of the log."""
    EventClock(settings.clock_file("spam")).set(NOON)
    record(settings, SPAM, DAYS)
    record_a_late_one(settings)
    apply_if_changed(settings)
    EventLog(settings.event_log).close()
    store, views = open_store(settings), load_manifest(settings).service(SPAM).views
    seen = []
    for first, last in ((0, 1), (2, 3)):
        start, end = midnight(DAYS[first]), midnight(DAYS[last]) + DAY
        store.materialize(start, end, feature_views=[view.name for view in views])
        seen.append(read(settings))
    for view in views:
        load_view(settings, view, DAYS)
    seen.append(read(settings))
    assert 0 < seen[0][1] < seen[1][1] < seen[2][1]
    assert np.nansum(seen[0][0]) < np.nansum(seen[1][0]) < np.nansum(seen[2][0])
    history = OfflineFeatures(settings, SPAM)
    for values, position in seen:
        np.testing.assert_array_equal(values, history.read_at(
            pd.DataFrame(ASKED), pd.Series([NOON] * len(ASKED)), np.full(len(ASKED), position)))
