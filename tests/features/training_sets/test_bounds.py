"""A training set looks back as far as is declared, and the one before it is looked at in part."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.training_sets.labelled import drawn
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import events_schema
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record

DAYS = first_days(SPAM, 10)
AS_OF = midnight(DAYS[-1]) + DAY


def looking_back(history: timedelta | None) -> System:
    return replace(SPAM, model=replace(SPAM.model, history=history, holdout=DAY))


def test_events_before_the_declared_history_are_left_out_and_the_others_unchanged(
    settings: Settings,
) -> None:
    record(settings, SPAM, DAYS)
    all_rows = TrainingSets(settings, looking_back(None)).build(AS_OF).rows
    rows = TrainingSets(settings, looking_back(6 * DAY)).build(AS_OF).rows
    young = all_rows[all_rows["event_timestamp"] >= AS_OF - 6 * DAY].reset_index(drop=True)
    assert 0 < len(rows) < len(all_rows)
    pd.testing.assert_frame_equal(rows, young)


def test_a_history_that_holds_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"Model\.history is .*days=1"):
        looking_back(DAY)


def test_a_changed_lake_shows_in_the_part_of_a_training_set_that_is_built_again(
    settings: Settings,
) -> None:
    """One value of one event; also that some events are gone, or that there are more."""
    record(settings, SPAM, DAYS, per_day=40)
    sets, lake, schema = TrainingSets(settings, SPAM), Lake(settings.lake), events_schema(SPAM)
    built = sets.build(AS_OF)
    share = 50 / len(built.rows)
    assert sets.difference(built.version, at_most=50) is None
    chosen = built.rows["event_id"][drawn(built.rows["event_id"], share)].iloc[0]
    for day in DAYS:
        events = lake.read(SPAM.name, "events", schema, start=day, end=day + DAY)
        if chosen in set(events["event_id"]):
            changed = events.assign(subject=events["subject"].where(
                events["event_id"] != chosen, "new"))
            for rows in (changed, events[events["event_id"] != chosen]):
                lake.write(SPAM.name, "events", day, rows, schema)
                said = sets.difference(built.version, at_most=50)
                assert said is not None and "were built again" in said
            lake.write(SPAM.name, "events", day, events, schema)
    assert sets.difference(built.version, at_most=50) is None
