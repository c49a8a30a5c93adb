"""A day's labels come from what a day can hold, and are those that come from everything."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from ml_assets.core.feedback import Crowd, FeedbackPolicy, TrustClass
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY, midnight
from ml_assets.core.truths import Complaints
from ml_assets.ingest.daily import store_labels
from ml_assets.ingest.labels import labels_known_in
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import known_schema, raw_schema
from tests.ingest.test_labels import said, served
from tests.toy import TOY

SYSTEM = replace(
    TOY, truth=Complaints(source="buyer", within=2 * DAY, maturity=3 * DAY),
    feedback=FeedbackPolicy(
        trusted=(TrustClass(name="reader", sources=("buyer",)),),
        crowd=Crowd(quorum=2, probation=4 * DAY, newcomers_at_most=1)),
)
LIVE = midnight(TOY.calendar.go_live)
DAYS = [TOY.calendar.go_live + timedelta(days=number) for number in range(12)]


@pytest.mark.parametrize("seed", range(3))
def test_days_read_for_themselves_give_what_the_whole_log_gives(
    settings: Settings, seed: int
) -> None:
    """Words about old predictions, and sources that spoke long ago of others, among them."""
    draw = random.Random(seed)
    predictions = [served(LIVE + draw.random() * 8 * DAY, event_id=f"e{n}",
                          decision=draw.random() < 0.5) for n in range(80)]
    words = sorted(
        (said(LIVE + draw.random() * 12 * DAY, draw.random() < 0.5, f"e{draw.randrange(80)}",
              source=draw.choice(["buyer", "one", "two", "three"])) for _ in range(120)),
        key=lambda word: word.received_at)
    with closing(EventLog(settings.event_log)) as log:
        log.append(predictions)
        for word in words:
            log.feedback.add(word)
        heard = list(log.feedback.between("toy", LIVE, LIVE + 12 * DAY))
    store_labels(SYSTEM, settings, DAYS)
    stored = Lake(settings.lake).read("toy", "labels", known_schema(SYSTEM))
    whole = labels_known_in(
        SYSTEM.truth, SYSTEM.feedback, start=LIVE, end=LIVE + 12 * DAY,
        archived=pd.DataFrame(columns=raw_schema(SYSTEM).names),
        predictions=sorted(predictions, key=lambda each: each.accepted_at), feedback=heard)
    assert set(whole["basis"]) == {"feedback", "silence"}
    order = ["known_at", "event_id"]
    pd.testing.assert_frame_equal(
        stored[whole.columns].sort_values(order, ignore_index=True),
        whole.sort_values(order, ignore_index=True), check_dtype=False)
