"""Six days of mail that are loaded, and mail of the seventh that only the log knows."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from typing import Any

import numpy as np

from ml_assets.core.settings import Settings
from ml_assets.core.time import EventClock, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.online import OnlineState
from ml_assets.features.online_load import load_view
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.served import prediction_id
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record
from tests.serving.test_real_stores import mail

DAYS = first_days(SPAM, 6)
NOON = midnight(DAYS[-1]) + timedelta(days=1, hours=12)
ASKED = [SPAM.source.parse(mail(n)) for n in range(8)]


def load_mail(settings: Settings) -> None:
    EventClock(settings.clock_file("spam")).set(NOON)
    record(settings, SPAM, DAYS)
    for view in load_manifest(settings).service(SPAM).views:
        load_view(settings, view, DAYS)
    with (closing(EventLog(settings.event_log)) as log,
          closing(OnlineState(log.connection, settings, SPAM)) as state):
        for n in range(20):
            at = NOON - timedelta(minutes=n)
            event = {**SPAM.source.parse(mail(n)), "event_id": f"m{n}", "event_timestamp": at,
                     "accepted_at": at}
            # Half of them as they are logged while nobody can say what they count.
            counts, _ = state.count([event])
            log.append([answer_to(n, event)], counts if n % 2 else None)


def answer_to(n: int, event: dict[str, Any]) -> Prediction:
    return Prediction(
        prediction_id=prediction_id("spam", event["event_id"]), system="spam",
        event_id=event["event_id"], event_timestamp=event["event_timestamp"],
        accepted_at=event["accepted_at"], request=json.dumps(mail(n)),
        features_as_of=event["event_timestamp"], features=np.zeros(1, np.float32),
        feature_names=("a",), model_version=1, score=0.5, decision=False,
    )
