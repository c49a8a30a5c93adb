"""The real stores of the platform: the lake, LMDB online, and Feast's own calls on both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml_assets.core.errors import NotReady, NotReproducible, UnknownName
from ml_assets.core.settings import ROOT, Settings
from ml_assets.core.time import DAY, EventClock, midnight
from ml_assets.features.loads import loaded_until
from ml_assets.features.manifest import load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.online import OnlineState
from ml_assets.features.online_load import load_view
from ml_assets.features.online_store.following import portions, projection
from ml_assets.features.service import Service
from ml_assets.features.store import apply_if_changed, open_store
from ml_assets.features.training_sets.training_set import Learnt, TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.positions import note_load
from ml_assets.ingest.log.served import prediction_id
from ml_assets.ingest.tables import events_schema
from ml_assets.systems import SYSTEMS
from ml_assets.systems.spam import SPAM
from tests.features.feast_stores.commands import feast
from tests.features.recorded import first_days, record

pytestmark = pytest.mark.slow

DAYS = first_days(SPAM, 9)
KEYS = [{key: f"{key}-{number}" for key in SPAM.keys} for number in range(6)]
KEYS += [dict.fromkeys(SPAM.keys, "")]
NOON = midnight(DAYS[-1]) + 1.5 * DAY


@pytest.fixture(scope="module")
def service() -> Service:
    return load_manifest(Settings()).service(SPAM)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Nine days of mail; nothing is in the online store."""
    settings = Settings(var=tmp_path_factory.mktemp("past"))
    record(settings, SPAM, DAYS)
    return settings


@pytest.fixture
def settings(past: Settings, tmp_path: Path) -> Settings:
    """The same past, in an installation of its own, on the day after."""
    (tmp_path / "lake").symlink_to(past.lake)
    installed = Settings(var=tmp_path)
    EventClock(installed.clock_file("spam")).set(NOON)
    return installed


@pytest.fixture
def loaded(settings: Settings, service: Service) -> Iterator[OnlineState]:
    load(settings, service, *range(9))
    with online_features(settings) as features:
        yield features


@contextmanager
def online_features(settings: Settings) -> Iterator[OnlineState]:
    """As the API has them."""
    log = EventLog(settings.event_log)
    yield OnlineState(log.connection, settings, SPAM)
    log.close()


def load(settings: Settings, service: Service, *numbers: int) -> list[int]:
    """How many events each view had not counted before."""
    return [load_view(settings, view, [DAYS[number] for number in numbers]).rows
            for view in service.views]


def the_same(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> bool:
    return np.array_equal(left, right, equal_nan=True)


def offline_at(settings: Settings, at: datetime) -> npt.NDArray[np.float32]:
    return OfflineFeatures(settings, SPAM).read(pd.DataFrame(KEYS), pd.Series([at] * len(KEYS)))


def test_online_and_offline_agree_after_every_load(settings: Settings, service: Service) -> None:
    shown = []
    for number, day in enumerate(DAYS):
        load(settings, service, number)
        at = midnight(day) + DAY
        with online_features(settings) as online:
            assert online.names == service.features
            values, as_of, _ = online.read(KEYS, [at] * len(KEYS))
        assert as_of == [at] * len(KEYS)
        assert the_same(values, offline_at(settings, at))
        assert np.isnan(values[-1]).all(), "nothing is known of nobody"
        assert (values[-2, :3] == 0).all(), "a stranger has sent nothing"
        shown.append(values)
    assert not the_same(shown[-1], shown[-2]), "and the days differ"


def test_a_window_empties_while_nothing_comes(
    settings: Settings, loaded: OnlineState
) -> None:
    for later in (timedelta(0), timedelta(hours=5), 3 * DAY, 40 * DAY, 100 * DAY):
        values, as_of, _ = loaded.read(KEYS, [NOON + later] * len(KEYS))
        assert the_same(values, offline_at(settings, as_of[0]))
    assert (values[:-1, loaded.names.index("sender_events_30d")] == 0).all()


def test_an_accepted_event_counts_from_the_next_instant_on(
    settings: Settings, loaded: OnlineState
) -> None:
    place = loaded.names.index("sender_events_1d")
    event = {"event_id": "new", "event_timestamp": NOON, "accepted_at": NOON, **KEYS[0]}
    before, *_ = loaded.read(KEYS[:1], [NOON + DAY / 48])
    for _ in range(2):
        serve(settings, event)
    at_once, *_ = loaded.read(KEYS[:1], [NOON])
    after, *_ = loaded.read(KEYS[:1], [NOON + timedelta(microseconds=1)])
    assert before[0, place] == at_once[0, place] == after[0, place] - 1


def serve(settings: Settings, event: dict[str, Any]) -> None:
    """As another process does: logged, and followed at once."""
    with closing(EventLog(settings.event_log)) as log:
        state = OnlineState(log.connection, settings, SPAM)
        counts, counted = state.count([{
            **{each.name: "" if each.dtype == "text" else 0.0 for each in SPAM.columns}, **event}])
        state.follow(log.append_counted([answer_to(event)], counts), counted)


def test_no_request_is_no_row(loaded: OnlineState, settings: Settings) -> None:
    values, as_of, _ = loaded.read([], [])
    assert (values.shape, as_of) == ((0, len(loaded.names)), [])
    offline = OfflineFeatures(settings, SPAM)
    nothing = pd.Series(pd.DatetimeIndex([], tz="UTC"))
    assert offline.read(pd.DataFrame(columns=list(SPAM.keys)), nothing).shape == values.shape


def test_before_the_first_load_a_reader_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(NotReady, match="has no feature view 'spam_sender_mail'"), (
        online_features(settings)
    ):
        pass


def test_the_days_that_were_missed_are_loaded_too(settings: Settings, service: Service) -> None:
    load(settings, service, 0)
    load(settings, service, 8)
    with online_features(settings) as online:
        values, *_ = online.read(KEYS, [NOON] * len(KEYS))
    assert the_same(values, offline_at(settings, NOON))


def test_loading_a_loaded_day_again_changes_nothing(
    settings: Settings, service: Service, loaded: OnlineState
) -> None:
    before, *_ = loaded.read(KEYS, [NOON] * len(KEYS))
    assert set(load(settings, service, 2)) == {0}
    after, *_ = loaded.read(KEYS, [NOON] * len(KEYS))
    assert the_same(before, after)


def test_a_day_without_its_stream_is_not_loaded_over(
    service: Service, past: Settings, tmp_path: Path
) -> None:
    settings = Settings(var=tmp_path / "gap")
    folder = settings.lake / "spam" / "events"
    folder.mkdir(parents=True)
    for number in (0, 1, 3):
        name = f"{DAYS[number]}.parquet"
        (folder / name).symlink_to(past.lake / "spam" / "events" / name)
    with pytest.raises(NotReady, match=f"spam/events of {DAYS[2]} is not in the lake"):
        load_view(settings, service.views[0], [DAYS[3]])
    assert loaded_until(settings, service.views) == {}


def test_a_stream_that_lacks_a_column_is_refused_by_name(
    service: Service, past: Settings, tmp_path: Path
) -> None:
    settings = Settings(var=tmp_path / "old")
    lake, schema = Lake(settings.lake), events_schema(SPAM)
    old = Lake(past.lake).read("spam", "events", schema, end=DAYS[0] + DAY)
    lacking = schema.remove(schema.get_field_index("relay_ip"))
    lake.write("spam", "events", DAYS[0], old.drop(columns="relay_ip"), lacking)
    [view] = [view for view in service.views if view.name == "spam_relay_ip_mail"]
    with pytest.raises(NotReady, match=r"lacks the columns \['relay_ip'\].*Materialise it again"):
        load_view(settings, view, [DAYS[0]])


def test_a_point_in_time_join_keeps_the_spine_and_looks_only_back(settings: Settings) -> None:
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


def differing(
    settings: Settings, served: npt.NDArray[np.float32], at: datetime, position: int
) -> int:
    """How many vectors for `KEYS`, served as of `at`, history does not give at the position."""
    history = OfflineFeatures(settings, SPAM).read_at(
        pd.DataFrame(KEYS), pd.Series([at] * len(KEYS)), np.full(len(KEYS), position)
    )
    rows = zip(served, history, strict=True)
    return sum(not the_same(one, other) for one, other in rows)


def test_what_was_served_before_a_load_is_recomputed_without_it(
    settings: Settings, service: Service
) -> None:
    at = midnight(DAYS[7]) + timedelta(hours=1)
    for view in service.views:
        load_view(settings, view, DAYS[:6])
    with online_features(settings) as online:
        served, _, position = online.read(KEYS, [at] * len(KEYS))
    assert differing(settings, served, at, position) == 0
    for view in service.views:
        load_view(settings, view, DAYS[:7])
    with online_features(settings) as online:
        again, _, later = online.read(KEYS, [at] * len(KEYS))
    assert not the_same(again, served)
    assert differing(settings, served, at, position) == 0
    assert differing(settings, served, at, later) > 0
    assert differing(settings, again, at, later) == 0


def test_every_state_amid_a_load_is_recomputed_by_its_position(
    settings: Settings, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load of portions of twenty rows, read by another process after each of them."""
    monkeypatch.setattr(portions, "AT_ONCE", 20)
    at = midnight(DAYS[3]) + timedelta(hours=1)
    seen: list[tuple[npt.NDArray[np.float32], int]] = []
    load(settings, service, 0)
    with online_features(settings) as online:
        def reading(*of: Any) -> int:
            values, _, position = online.read(KEYS, [at] * len(KEYS))  # without the portion
            seen.append((values, position))
            return note_load(*of)

        monkeypatch.setattr(projection, "note_load", reading)
        load(settings, service, 1, 2, 3)
    assert len({position for _, position in seen}) == len(seen) > 12
    for values, position in seen:
        assert differing(settings, values, at, position) == 0


def test_a_load_that_died_before_it_was_applied_is_applied_by_whoever_reads(
    settings: Settings, service: Service, loaded: OnlineState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are in the log, packed, until the view has counted them."""
    [view] = [view for view in service.views if view.name == "spam_sender_mail"]
    lake, day, at = Lake(settings.lake), DAYS[-1] + DAY, midnight(DAYS[-1]) + 2 * DAY
    fresh = Settings(var=settings.var / "own")
    EventClock(fresh.clock_file("spam")).set(NOON)
    fresh.lake.symlink_to(lake.root.resolve())
    load(fresh, service, *range(8))

    def die(*of: object, **named: object) -> int:
        raise KeyboardInterrupt

    with online_features(fresh) as online:
        before, _, position = online.read(KEYS, [at] * len(KEYS))
        real = projection.Projection.catch_up
        calls: list[int] = []

        def once(self: projection.Projection, **named: Any) -> int:
            calls.append(1)
            return real(self, **named) if len(calls) == 1 else die()

        monkeypatch.setattr(projection.Projection, "catch_up", once)
        with pytest.raises(KeyboardInterrupt):
            load_view(fresh, view, [DAYS[8]])
        monkeypatch.undo()
        (fresh.lake).unlink()  # it is not asked
        after, _, later = online.read(KEYS, [at] * len(KEYS))
        fresh.lake.symlink_to(lake.root.resolve())
    assert later == position + 1 and day is not None
    assert not the_same(before, after)
    assert differing(fresh, after, at, later) == 0


def test_an_event_counts_from_its_own_position_on(
    settings: Settings, loaded: OnlineState, tmp_path: Path
) -> None:
    """Whenever it was accepted, and though the request was accepted before it."""
    at = midnight(DAYS[8]) + timedelta(hours=20)
    moment = timedelta(milliseconds=300)
    lake, schema = Lake(tmp_path / "own"), events_schema(SPAM)
    before, _, position = loaded.read(KEYS, [at] * len(KEYS))
    event = {"event_id": "racing", "event_timestamp": at - moment, "accepted_at": at + moment,
             **{column.name: KEYS[0].get(column.name, "" if column.dtype == "text" else 0.0)
                for column in SPAM.columns}}
    serve(settings, event)
    served, _, own = loaded.read(KEYS, [at] * len(KEYS))
    assert (own, the_same(before, served)) == (position + 1, False)
    for table in ("events", "labels"):
        lake.table("spam", table).mkdir(parents=True)
        for file in settings.lake.joinpath("spam", table).iterdir():
            (lake.table("spam", table) / file.name).symlink_to(file.resolve())
    (settings.var / "lake").unlink()
    (settings.var / "lake").symlink_to(lake.root)
    assert differing(settings, served, at, own) == 1, "the lake knows no such event"
    late = pd.DataFrame([{**event, "log_seq": own}], columns=schema.names)
    lake.write("spam", "events", DAYS[8] + DAY, late, schema)
    assert differing(settings, served, at, own) == 0
    assert differing(settings, before, at, position) == 0
    assert load_view(settings, load_manifest(settings).service(SPAM).views[0],
                     [DAYS[8] + DAY]).rows == 0, "it was counted"


def answer_to(event: dict[str, Any]) -> Prediction:
    return Prediction(
        prediction_id=prediction_id("spam", event["event_id"]), system="spam",
        event_id=event["event_id"], event_timestamp=event["event_timestamp"],
        accepted_at=event["accepted_at"], request="{}", features_as_of=event["event_timestamp"],
        features=np.zeros(1, np.float32), feature_names=("a",), model_version=1, score=0.5,
        decision=False,
    )


def test_feast_s_own_retrieval_gives_the_same(settings: Settings, service: Service) -> None:
    events = Lake(settings.lake).read("spam", "events", events_schema(SPAM)).tail(20)
    spine = events[[*SPAM.keys, "event_timestamp"]].reset_index(drop=True)
    store = open_store(settings)
    joined = store.get_historical_features(
        spine, store.get_feature_service(service.name)
    ).to_df()
    mine = OfflineFeatures(settings, SPAM).read(spine, spine["event_timestamp"])
    assert the_same(joined[list(service.features)].to_numpy(dtype=np.float32), mine)


def test_a_training_set_built_twice_from_the_same_data_has_the_same_version(
    settings: Settings
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
    assert sets.latest_version() == earlier.version
    assert sets.latest().as_of == earlier.as_of
    both = earlier.rows.merge(first.rows, on="event_id", suffixes=("", "_later"))
    for name in earlier.feature_names:
        np.testing.assert_array_equal(both[name], both[f"{name}_later"])


def test_only_a_training_that_came_to_a_verdict_settles_why_it_was_asked_for(
    settings: Settings
) -> None:
    """One that was killed between its training set and its verdict leaves the reason standing."""
    as_of = midnight(DAYS[-1])
    sets = TrainingSets(settings, SPAM)
    built = sets.build(as_of - DAY)
    assert sets.concluded() is None
    sets.conclude(built.version)
    first = Learnt(as_of=as_of - DAY, until=as_of - DAY)
    assert sets.concluded() == first
    later = sets.build(as_of)
    assert sets.concluded() == first
    sets.conclude(built.version)
    assert sets.concluded() == first, "another training's verdict"
    sets.conclude(later.version)
    assert sets.concluded() == Learnt(as_of=as_of, until=as_of)
    assert sets.latest().version == later.version


def test_a_training_set_comes_out_again_after_the_lake_has_grown(tmp_path: Path) -> None:
    settings = Settings(var=tmp_path)
    record(settings, SPAM, DAYS[:6])
    sets = TrainingSets(settings, SPAM)
    built = sets.build(midnight(DAYS[5]) + DAY)
    record(settings, SPAM, DAYS)  # the same days and more
    pd.testing.assert_frame_equal(sets.rebuild(built.version).rows, built.rows)
    record(settings, SPAM, DAYS[:1], seed=9)  # a day was materialised anew, from other data
    with pytest.raises(NotReproducible, match=f"training set {built.version} .* comes out as"):
        sets.rebuild(built.version)


def test_a_folder_named_like_a_column_changes_no_training_set(
    settings: Settings, tmp_path: Path
) -> None:
    """Some readers of Parquet take `label=1` above a file for the value of a column."""
    odd = Settings(var=tmp_path / "env=prod" / "label=1" / "event_id=x")
    record(odd, SPAM, DAYS)
    as_of = midnight(DAYS[-1])
    plain, sets = TrainingSets(settings, SPAM).build(as_of), TrainingSets(odd, SPAM)
    built = sets.build(as_of)
    assert built.version == plain.version
    for stored in (sets.latest(), sets.load(built.version), sets.rebuild(built.version)):
        pd.testing.assert_frame_equal(stored.rows, plain.rows)


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
    (settings.lake / "spam").mkdir(parents=True)
    (settings.lake / "spam" / "labels").symlink_to(past.lake / "spam" / "labels")
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
    services = {each.name for each in open_store(settings).list_feature_services()}
    assert services == {system.feature_service for system in SYSTEMS}


def test_the_feast_command_line_reads_what_the_platform_loads(
    settings: Settings, loaded: OnlineState, tmp_path: Path
) -> None:
    open_store(settings)
    values, *_ = loaded.read(KEYS[:1], [NOON])
    written = (ROOT / "feature_repo" / "feature_store.yaml").read_text()
    (tmp_path / "feature_store.yaml").write_text(written.replace("../var", str(settings.var)))
    [said] = feast(tmp_path, "get-online-features"
                   " -f spam_sender_domain_mail:sender_domain_events_30d"
                   " -f spam_sender_domain_verdicts:sender_domain_spam_rate_60d"
                   " -e sender_domain=sender_domain-0")
    answer = json.loads(said[said.index("{"):])
    for name in ("sender_domain_events_30d", "sender_domain_spam_rate_60d"):
        expected = float(values[0, loaded.names.index(name)])
        assert answer[name] == [pytest.approx(expected, rel=1e-6)]
