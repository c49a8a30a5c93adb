"""The proof that no feature knows its event's future finds one that does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.features.manifest import load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.training_sets.leakage import Bools, find_leaks, sample
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import events_schema
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record


def leaking_rows(settings: Settings, system: System, rows: pd.DataFrame) -> Bools:
    leaks = find_leaks(settings, system, rows)
    assert leaks.examined.all() and leaks.unseen == 0
    return leaks.leaking


NAMES = list(load_manifest(Settings()).service(SPAM).features)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(var=tmp_path_factory.mktemp("past"))
    record(settings, SPAM, first_days(SPAM, 7))
    return settings


def as_remembered(settings: Settings, later: pd.Timedelta | None = None) -> pd.DataFrame:
    """Every event with its features, as of its own instant or `later`."""
    events = Lake(settings.lake).read("spam", "events", events_schema(SPAM))
    shift = later or pd.Timedelta(0)
    values = OfflineFeatures(settings, SPAM).read(
        events, events["event_timestamp"] + shift, accepted_at=events["accepted_at"] + shift
    )
    return pd.concat([events, pd.DataFrame(values, columns=NAMES)], axis=1)


def test_features_of_the_past_alone_pass(past: Settings) -> None:
    assert not leaking_rows(past, SPAM, as_remembered(past)).any()


@pytest.mark.parametrize("later", [pd.Timedelta(microseconds=1), pd.Timedelta(days=1)])
def test_features_that_saw_their_own_event_are_found(past: Settings, later: pd.Timedelta) -> None:
    rows = as_remembered(past, later)
    known = (rows[list(SPAM.keys)] != "").any(axis=1).to_numpy()
    assert leaking_rows(past, SPAM, rows)[known].all()


def test_features_that_saw_what_arrived_late_are_found(past: Settings, tmp_path: Path) -> None:
    settings = Settings(var=tmp_path)
    lake, schema = Lake(settings.lake), events_schema(SPAM)
    for day in first_days(SPAM, 7):
        events = Lake(past.lake).read("spam", "events", schema, start=day, end=day + DAY)
        labels = Lake(past.lake).partition("spam", "labels", day)
        events["accepted_at"] = events["accepted_at"].max()
        lake.write("spam", "events", day, events, schema)
        target = lake.partition("spam", "labels", day)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(labels)
    rows = as_remembered(settings)
    assert not leaking_rows(settings, SPAM, rows).any()
    features = OfflineFeatures(settings, SPAM)
    rows[NAMES] = features.read(rows, rows["event_timestamp"])  # as if all had been known at once
    assert leaking_rows(settings, SPAM, rows).any()


def test_one_wrong_bit_is_found(past: Settings) -> None:
    rows = as_remembered(past)
    name = "sender_spam_rate_60d"
    known = rows.index[rows[name].notna()][-1]
    values = rows[name].to_numpy(dtype=np.float32, copy=True)
    values.view(np.uint32)[known] ^= 1
    found = leaking_rows(past, SPAM, rows.assign(**{name: values}))
    assert np.flatnonzero(found).tolist() == [known]


def test_a_value_where_there_is_no_entity_is_found(past: Settings) -> None:
    rows = as_remembered(past)
    stranger = rows.index[rows["sender"] == ""][0]
    rows.loc[stranger, "sender_events_7d"] = 3
    assert np.flatnonzero(leaking_rows(past, SPAM, rows)).tolist() == [stranger]


def test_no_row_leaks_nothing(past: Settings) -> None:
    assert leaking_rows(past, SPAM, as_remembered(past).head(0)).shape == (0,)


def test_of_many_rows_a_sample_is_examined_that_says_what_it_may_miss(past: Settings) -> None:
    """Which rows are in it depends on their ids alone."""
    rows = as_remembered(past, pd.Timedelta(days=1))
    leaks = find_leaks(past, SPAM, rows, at_most=30)
    assert leaks.examined.sum() == 30 and not leaks.leaking[~leaks.examined].any()
    assert leaks.leaking.sum() > 20
    assert (1 - leaks.unseen) ** 30 == pytest.approx(0.05)
    turned = rows[::-1].reset_index(drop=True)
    again = sample(turned["event_id"].tolist(), 30)
    assert set(turned["event_id"][again]) == set(rows["event_id"][leaks.examined])
