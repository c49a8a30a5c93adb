"""A store that is rebuilt from lake and log gives the same bits, and parity still holds."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from click.testing import CliRunner

from ml_assets.cli import main
from ml_assets.core.errors import NotReady, StateDamaged
from ml_assets.core.settings import Settings
from ml_assets.core.time import EventClock, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.online import OnlineFeatures
from ml_assets.features.online_load import load_view
from ml_assets.features.rebuild import Rebuild
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.served import prediction_id
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record
from tests.serving.test_real_stores import mail

pytestmark = pytest.mark.slow

DAYS = first_days(SPAM, 6)
NOON = midnight(DAYS[-1]) + timedelta(days=1, hours=12)
ASKED = [SPAM.source.parse(mail(n)) for n in range(8)]


@pytest.fixture
def installed(settings: Settings) -> Settings:
    """Six loaded days of mail, and since then some that only the log knows."""
    EventClock(settings.clock_file("spam")).set(NOON)
    record(settings, SPAM, DAYS)
    for view in load_manifest(settings).service(SPAM).views:
        load_view(settings, view, DAYS)
    with closing(EventLog(settings.event_log)) as log:
        features = OnlineFeatures(log.connection, settings, SPAM)
        for n in range(20):
            at = NOON - timedelta(minutes=n)
            event = {**SPAM.source.parse(mail(n)), "event_id": f"m{n}", "event_timestamp": at,
                     "accepted_at": at}
            log.append([answer_to(n, event)],
                       also=lambda connection, new, event=event: features.remember([event]))  # type: ignore[misc]
    return settings


def answer_to(n: int, event: dict[str, Any]) -> Prediction:
    return Prediction(
        prediction_id=prediction_id("spam", event["event_id"]), system="spam",
        event_id=event["event_id"], event_timestamp=event["event_timestamp"],
        accepted_at=event["accepted_at"], request=json.dumps(mail(n)),
        features_as_of=event["event_timestamp"], features=np.zeros(1, np.float32),
        feature_names=("a",), model_version=1, score=0.5, decision=False,
    )


def served(settings: Settings) -> tuple[npt.NDArray[np.float32], int]:
    with closing(EventLog(settings.event_log)) as log:
        features = OnlineFeatures(log.connection, settings, SPAM)
        values, _, position = features.read(ASKED, [NOON] * len(ASKED))
    return values, position


def damage(settings: Settings) -> None:
    with closing(EventLog(settings.event_log)) as log:
        log.connection.execute("update online_state set state = x'00' where entity <> x''")
        log.connection.execute("delete from online_journal where true")


def test_a_damaged_store_is_rebuilt_to_the_same_bits(installed: Settings) -> None:
    before, position = served(installed)
    assert np.nansum(before) > 0
    damage(installed)
    with pytest.raises(StateDamaged, match="ml-assets store rebuild spam"):
        served(installed)
    told = CliRunner().invoke(main, ["store", "rebuild", "spam"],
                              env={"ML_ASSETS_VAR": str(installed.var)})
    assert told.exit_code == 0, told.output
    assert "20 events that only the event log has" in told.output
    after, later = served(installed)
    np.testing.assert_array_equal(after, before)
    history = OfflineFeatures(installed, SPAM)
    keys, at = pd.DataFrame(ASKED), pd.Series([NOON] * len(ASKED))
    # The lake does not have today's mail: of what it has, both positions give the same.
    np.testing.assert_array_equal(
        history.read_at(keys, at, np.full(len(ASKED), position)),
        history.read_at(keys, at, np.full(len(ASKED), later)),
    )


def test_a_rebuild_that_fails_leaves_everything_as_it_was(installed: Settings) -> None:
    before, position = served(installed)
    work = Rebuild(installed, SPAM)
    Lake(installed.lake).partition("spam", "labels", DAYS[3]).unlink()
    with pytest.raises(NotReady, match=f"spam/labels of {DAYS[3]} is not in the lake"):
        work.run()
    after, same = served(installed)
    np.testing.assert_array_equal(after, before)
    assert same == position


def test_rebuilding_twice_changes_nothing_more(installed: Settings) -> None:
    steps: list[int] = []
    work = Rebuild(installed, SPAM)
    first = work.run(lambda: steps.append(1))
    assert len(steps) == work.steps
    before, _ = served(installed)
    assert Rebuild(installed, SPAM).run() == first
    after, _ = served(installed)
    np.testing.assert_array_equal(after, before)


def test_where_nothing_was_loaded_there_is_nothing_to_rebuild(settings: Settings) -> None:
    told = CliRunner().invoke(main, ["store", "rebuild", "spam"],
                              env={"ML_ASSETS_VAR": str(settings.var)})
    assert told.exit_code == 0, told.output
    assert "nothing to rebuild" in told.output
