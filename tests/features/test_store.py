"""The real stores: DuckDB over the lake, SQLite online, both through Feast's own calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml_assets.core.errors import NotReady, UnknownName
from ml_assets.core.settings import ROOT, Settings
from ml_assets.core.time import DAY, midnight
from ml_assets.features.manifest import Service, load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.online import OnlineFeatures
from ml_assets.features.online_load import load_view
from ml_assets.features.store import apply_if_changed, load_log, open_store
from ml_assets.features.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import events_schema
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record, remember

pytestmark = pytest.mark.slow

DAYS = first_days(SPAM, 9)
KEYS = [{key: f"{key}-{number}" for key in SPAM.keys} for number in range(6)]
KEYS += [dict.fromkeys(SPAM.keys, "")]


@pytest.fixture(scope="module")
def service() -> Service:
    return load_manifest(Settings()).service(SPAM)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Settings:
    """Nine days of mail with their histories; nothing is in the online store."""
    settings = Settings(var=tmp_path_factory.mktemp("past"))
    record(settings, SPAM, DAYS)
    remember(settings, SPAM, service.views, DAYS)
    return settings


@pytest.fixture
def settings(past: Settings, tmp_path: Path) -> Settings:
    """The same past, in an installation of its own."""
    (tmp_path / "lake").symlink_to(past.lake)
    return Settings(var=tmp_path)


@pytest.fixture
def online(settings: Settings) -> Iterator[OnlineFeatures]:
    features = OnlineFeatures(settings, SPAM)
    yield features
    features.close()


def load(settings: Settings, service: Service, *numbers: int) -> None:
    for view in service.views:
        load_view(settings, view, [DAYS[number] for number in numbers])


def the_same(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> bool:
    return np.array_equal(left, right, equal_nan=True)


def test_online_and_offline_agree_after_every_load(
    settings: Settings, service: Service, online: OnlineFeatures
) -> None:
    offline = OfflineFeatures(settings, SPAM)
    assert online.names == offline.names == service.features
    shown = []
    for number, day in enumerate(DAYS):
        load(settings, service, number)
        now = midnight(day) + 1.5 * DAY
        values, as_of = online.read(KEYS, [now] * len(KEYS))
        assert as_of == [midnight(day) + DAY] * len(KEYS)
        assert the_same(values, offline.read(pd.DataFrame(KEYS), pd.Series(as_of)))
        assert np.isnan(values[-2:]).all(), "neither a key never seen nor an empty one is known"
        shown.append(values)
    assert not the_same(shown[-1], shown[-2]), "and the days differ"


def test_before_the_first_load_nothing_is_remembered(online: OnlineFeatures) -> None:
    values, as_of = online.read(KEYS, [midnight(DAYS[3])] * len(KEYS))
    assert np.isnan(values).all()
    assert set(as_of) == {midnight(SPAM.calendar.first_day)}


def test_no_request_is_no_row(online: OnlineFeatures, settings: Settings) -> None:
    values, as_of = online.read([], [])
    assert (values.shape, as_of) == ((0, len(online.names)), [])
    offline = OfflineFeatures(settings, SPAM)
    assert offline.read(pd.DataFrame(columns=list(SPAM.keys)), pd.Series([])).shape == values.shape


def test_the_days_that_were_missed_are_loaded_too(
    settings: Settings, service: Service, online: OnlineFeatures
) -> None:
    load(settings, service, 0)
    load(settings, service, 8)
    values, as_of = online.read(KEYS, [midnight(DAYS[8]) + DAY] * len(KEYS))
    offline = OfflineFeatures(settings, SPAM)
    assert the_same(values, offline.read(pd.DataFrame(KEYS), pd.Series(as_of)))


def test_loading_a_loaded_day_again_changes_nothing(
    settings: Settings, service: Service, online: OnlineFeatures
) -> None:
    load(settings, service, *range(9))
    before = online.read(KEYS, [midnight(DAYS[8])] * len(KEYS))
    load(settings, service, 2)
    after = online.read(KEYS, [midnight(DAYS[8])] * len(KEYS))
    assert the_same(before[0], after[0])
    assert before[1] == after[1]


def test_a_day_without_its_history_is_not_loaded_over(
    service: Service, past: Settings, tmp_path: Path
) -> None:
    settings = Settings(var=tmp_path / "gap")
    table = service.views[0].table
    folder = settings.lake / "spam" / table
    folder.mkdir(parents=True)
    for number in (0, 1, 3):
        name = f"{DAYS[number]}.parquet"
        (folder / name).symlink_to(past.lake / "spam" / table / name)
    with pytest.raises(NotReady, match=f"spam/{table} of {DAYS[2]} is not in the lake"):
        load_view(settings, service.views[0], [DAYS[3]])
    log = load_log(settings)
    assert log.until(service.views[0]) is None
    log.close()


def test_a_history_from_before_a_declaration_changed_is_not_loaded(
    settings: Settings, service: Service
) -> None:
    view = service.views[0]
    more = replace(view.aggregates[0], name=f"{view.key}_events_14d", window=14 * DAY)
    changed = replace(view, definition="changed", aggregates=(*view.aggregates, more))
    with pytest.raises(NotReady, match=f"now declares .*{more.name}.*: materialise it again"):
        load_view(settings, changed, [DAYS[0]])
    log = load_log(settings)
    assert log.unsettled([view]) == [], "nothing was touched"
    log.close()


def test_a_point_in_time_join_keeps_the_spine_and_looks_only_back(
    settings: Settings, service: Service
) -> None:
    offline = OfflineFeatures(settings, SPAM)
    events = Lake(settings.lake).read("spam", "events", events_schema(SPAM))
    spine = events.sample(frac=1, random_state=3)
    doubled = pd.concat([spine, spine.head(5)])
    values = offline.read(doubled, doubled["event_timestamp"])
    assert len(values) == len(doubled)
    assert the_same(values[: 5], values[-5:])
    # One row at a time gives the same as all at once, whatever the order.
    for position in (0, 7, 50):
        row = spine.iloc[[position]]
        assert the_same(offline.read(row, row["event_timestamp"]), values[[position]])
    at_midnight = pd.Series([midnight(DAYS[4]), midnight(DAYS[4]) - timedelta(microseconds=1)])
    keys = pd.DataFrame([KEYS[0], KEYS[0]])
    on, before = offline.read(keys, at_midnight)
    assert not the_same(on, before), "a day's history begins at its end"


def test_a_join_over_a_missing_day_is_refused(settings: Settings) -> None:
    late = pd.Series([midnight(DAYS[-1]) + 3 * DAY])
    with pytest.raises(NotReady, match=f"lacks 2 days, from {DAYS[-1] + DAY} on"):
        OfflineFeatures(settings, SPAM).read(pd.DataFrame(KEYS[:1]), late)


def test_a_training_set_built_twice_from_the_same_data_has_the_same_version(
    settings: Settings, past: Settings, tmp_path: Path
) -> None:
    as_of = midnight(DAYS[-1])
    sets = TrainingSets(settings, SPAM)
    first = sets.build(as_of)
    again = sets.build(as_of)
    assert again.version == first.version
    assert first.rows["known_at"].max() < as_of
    assert first.labels == len(first.rows) == first.rows["event_id"].nunique()
    assert first.events_lacking == 0
    pd.testing.assert_frame_equal(sets.latest().rows, first.rows)
    loaded = sets.load(first.version)
    pd.testing.assert_frame_equal(loaded.rows, first.rows)
    assert (loaded.feature_names, loaded.texts) == (first.feature_names, SPAM.model.texts)
    assert first.feature_names[: len(SPAM.model.numbers)] == SPAM.model.numbers

    earlier = sets.build(as_of - 2 * DAY)
    assert earlier.version != first.version
    assert sets.latest().version == earlier.version
    both = earlier.rows.merge(first.rows, on="event_id", suffixes=("", "_later"))
    for name in earlier.feature_names:
        np.testing.assert_array_equal(both[name], both[f"{name}_later"])


def test_the_latest_events_are_held_out(settings: Settings) -> None:
    rows = TrainingSets(settings, SPAM).build(midnight(DAYS[-1])).rows
    held_out = rows[rows["split"] == "holdout"]
    train = rows[rows["split"] == "train"]
    first = rows["event_timestamp"].max() - SPAM.model.holdout
    assert train["event_timestamp"].max() <= first < held_out["event_timestamp"].min()


def test_labels_without_their_event_are_counted_and_left_out(
    tmp_path: Path, past: Settings
) -> None:
    settings = Settings(var=tmp_path / "lacking")
    settings.lake.mkdir(parents=True)
    (settings.lake / "spam").mkdir()
    for table in past.lake.joinpath("spam").iterdir():
        if table.name not in ("events", "training_set"):
            (settings.lake / "spam" / table.name).symlink_to(table)
    lake, schema = Lake(settings.lake), events_schema(SPAM)
    for day in DAYS:
        events = Lake(past.lake).read("spam", "events", schema, start=day, end=day + DAY)
        lake.write("spam", "events", day, events.iloc[1:], schema)
    built = TrainingSets(settings, SPAM).build(midnight(DAYS[4]))
    assert built.events_lacking > 0
    assert built.labels == len(built.rows)


def test_without_labels_there_is_no_training_set(settings: Settings) -> None:
    sets = TrainingSets(settings, SPAM)
    with pytest.raises(NotReady, match="no label of 'spam' was known before"):
        sets.build(midnight(DAYS[0]))
    with pytest.raises(UnknownName, match="no training set of 'spam' 'nonesuch'"):
        sets.load("nonesuch")


def test_the_repository_is_applied_once(settings: Settings) -> None:
    assert apply_if_changed(settings)
    assert not apply_if_changed(settings)
    assert [each.name for each in open_store(settings).list_feature_services()] == ["spam_filter"]


def test_the_feast_command_line_reads_what_the_platform_loads(
    settings: Settings, service: Service, online: OnlineFeatures, tmp_path: Path
) -> None:
    load(settings, service, *range(5))
    values, _ = online.read(KEYS[:1], [midnight(DAYS[5])])
    written = (ROOT / "feature_repo" / "feature_store.yaml").read_text()
    (tmp_path / "feature_store.yaml").write_text(written.replace("../var", str(settings.var)))
    said = subprocess.run(
        [Path(sys.executable).parent / "feast", "get-online-features",
         "-f", "spam_sender_domain_history:sender_domain_events_30d",
         "-e", "sender_domain=sender_domain-0"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=True,
    )
    expected = float(values[0, online.names.index("sender_domain_events_30d")])
    assert json.loads(said.stdout)["sender_domain_events_30d"] == [expected]
