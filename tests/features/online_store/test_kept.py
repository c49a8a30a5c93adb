"""Rows of tables in the online store: loaded once they are known, each portion at a position."""

from __future__ import annotations

from contextlib import closing
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.codes import code_of
from ml_assets.core.settings import Settings
from ml_assets.core.time import midnight
from ml_assets.features.history.kept import kept_at
from ml_assets.features.history.prefix import LoadedRows
from ml_assets.features.online_load import load_table
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.following.kept import pack_versions, unpack_versions
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from ml_assets.features.online_store.versions import Column, PlainView
from ml_assets.features.service import TableView
from ml_assets.features.store import open_backend
from ml_assets.ingest.kept import store_table
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import last_position
from ml_assets.ingest.log.served import to_us
from tests.toy import SHOPS, TOY

DAYS = [TOY.calendar.first_day + timedelta(days=n) for n in range(7)]
PLAIN = PlainView(name="toy_shops_latest", keys=("shop",), columns=(
    Column("kind", "String"), Column("size", "Float64"), Column("staff", "Int64")))
VIEW = TableView(name="toy_shops_latest", system="toy", table="shops", plain=PLAIN,
                 definition=digest_of(PLAIN))
ROWS = st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.integers(-(2**62), 2**62),
                          st.integers(-(2**62), 2**62), st.binary(max_size=20)), max_size=6)


@given(ROWS)
def test_versions_are_packed_without_loss(rows: list[tuple[bytes, int, int, bytes]]) -> None:
    assert unpack_versions(pack_versions(rows)) == rows


@pytest.fixture
def stored(settings: Settings) -> Settings:
    store_table(TOY, settings, SHOPS, DAYS)
    return settings


def read(settings: Settings, day: date) -> tuple[list[list[float]], int]:
    """(size, staff, kind) of each shop at the end of a day, and the position of the log."""
    with closing(open_backend(settings)) as store:
        reader = FeatureReader(store, [Wanted(PLAIN, ("size", "staff", "kind"))])
        found = reader.read([{"shop": "corner"}, {"shop": "mall"}, {"shop": ""}],
                            [midnight(day) + timedelta(days=1)] * 3)
    with closing(EventLog(settings.event_log)) as log:
        return found.values.tolist(), last_position(log.connection)


def test_each_load_brings_what_became_known_since_the_one_before(stored: Settings) -> None:
    """And history, asked for that position of the log, gives the same."""
    told: list[tuple[date, Any, int]] = []
    for day, new in zip(DAYS, (1, 0, 0, 1, 1, 0, 0), strict=True):
        assert load_table(stored, VIEW, [day]).rows == new
        told.append((day, *read(stored, day)))
    assert [values[0][0] for _, values, _ in told] == [30.0] * 3 + [45.0] * 4
    with closing(EventLog(stored.event_log)) as log:
        loads = log.loads(VIEW.name, VIEW.definition)
    for day, values, position in told:
        again = kept_at(
            Lake(stored.lake).table("toy", "shops"), ["shop"], ["size", "staff", "kind"], 0,
            pd.DataFrame({"shop": ["corner", "mall", ""]}),
            np.full(3, to_us(midnight(day) + timedelta(days=1))),
            loaded=LoadedRows(upto=np.full(3, position), loads=loads))
        np.testing.assert_array_equal(np.array(values), again)


def test_a_load_may_be_repeated_and_skip_days(stored: Settings) -> None:
    assert load_table(stored, VIEW, [DAYS[6]]).rows == 3
    assert load_table(stored, VIEW, [DAYS[6]]).rows == 0
    assert load_table(stored, VIEW, [DAYS[2]]).rows == 0
    values, _ = read(stored, DAYS[6])
    assert values[0] == [45.0, 3.0, code_of("street")]
    np.testing.assert_array_equal(values[1:], [
        [np.nan, np.nan, code_of("centre")], [np.nan] * 3])


def test_a_lost_store_is_made_anew_from_the_log_and_the_lake(stored: Settings) -> None:
    """The log has forgotten the rows that were counted: they are in the lake."""
    load_table(stored, VIEW, [DAYS[6]])
    before, _ = read(stored, DAYS[6])
    with closing(open_backend(stored)) as store:
        store.drop(store.views()[VIEW.name].id)
    load_table(stored, VIEW, [DAYS[6]])
    assert str(read(stored, DAYS[6])[0]) == str(before)
