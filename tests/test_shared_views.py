"""A system that reads another's feature views, through the whole loop, on the real stores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ml_assets import systems
from ml_assets.automation.instance import instance
from ml_assets.automation.sensors import awaited, next_closed_day
from ml_assets.core.errors import NotReady
from ml_assets.core.installation import claim
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.doctor.examine import examine
from ml_assets.features.online import OnlineState
from ml_assets.features.online_store.redefining import forget
from ml_assets.features.rebuild import rebuild
from ml_assets.features.store import open_backend
from ml_assets.features.training_sets.leakage import find_leaks
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.archive import usable
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import predictions_schema
from ml_assets.monitoring.parity import ParityReports
from ml_assets.monitoring.trace import trace
from ml_assets.registry.deployments import Deployments
from ml_assets.replay.api import Client
from ml_assets.replay.journey import Journey
from ml_assets.replay.live_days import LiveDays
from ml_assets.replay.together import travel as replay
from ml_assets.replay.together.company import companies, members, require_alone
from ml_assets.serving.answer.explanation import Provenance
from tests.features.training_sets.twins import built_as_at_once
from tests.market import recorded
from tests.meter import METER
from tests.serving.kit import serving
from tests.vans import LIVE, PER_DAY, VANS
from tests.whole_loop import WholeLoop, repository_of

pytestmark = pytest.mark.slow

LENDER = recorded(live_days=3)
READER = replace(VANS, feature_service="vans_all")
UNTIL = LIVE + timedelta(days=2)


@dataclass(frozen=True, kw_only=True)
class Both:
    settings: Settings
    said: list[str]
    market: System
    vans: System

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake)

    def served(self, day: date = LIVE) -> Any:
        return self.lake.read("vans", "predictions", predictions_schema(self.vans), start=day,
                              end=UNTIL)

    def state(self, log: EventLog) -> OnlineState:
        return OnlineState(log.connection, self.settings, self.vans)


@contextmanager
def replayed(folder: Path, vans: System, *, until: date = UNTIL) -> Iterator[Both]:
    """Both replayed up to `until`, as by `ml-assets run vans`, through a server in this process."""
    settings = Settings(var=folder / "var")
    claim(settings)
    there = Both(settings=settings, said=[], market=LENDER, vans=vans)
    with (pytest.MonkeyPatch.context() as patch,
          repository_of(folder / "repository", LENDER, vans)):
        patch.setenv("ML_ASSETS_VAR", str(settings.var))
        patch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        patch.setattr(systems, "SYSTEMS", (LENDER, vans, METER))
        patch.setattr(replay, "running_api", _served_here)
        replay.travel(_journeys(there, folder, until))
        yield there


def _journeys(there: Both, folder: Path, until: date) -> list[Journey]:
    opened, journeys = instance(there.settings), []
    for each in members(there.settings, [there.vans]):
        loop = WholeLoop(settings=there.settings, system=each.system)
        loop.clock.path.unlink()
        loop._instance = opened
        (folder / each.system.name).mkdir()
        history = usable(each.system, each.system.source.archive(Path())) if each.asks else ()
        journeys.append(Journey(
            system=each.system, settings=replace(there.settings, in_replay=True), runs=loop.runs,
            asks=each.asks, until=until, say=lambda at, text: there.said.append(text),
            events=LiveDays(history, each.system.calendar.live_from, folder / each.system.name)))
    return journeys


@contextmanager
def _served_here(settings: Settings, served: Sequence[System]) -> Iterator[dict[str, Client]]:
    server = cast("Any", SimpleNamespace(process=SimpleNamespace(poll=lambda: None)))
    first, *rest = served
    with serving(WholeLoop(settings=settings, system=first), also=rest) as http:
        yield {each.name: Client(http=http, system=each.name,
                                 server=server) for each in served}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The vans read what the market tells, keeps in tables, predicts and learns to be true."""
    with replayed(tmp_path_factory.mktemp("both"), READER) as there:
        yield there


def test_every_vector_of_both_is_recomputed_from_exactly_what_was_read(both: Both) -> None:
    for system, days in ((both.market, 3), (both.vans, 2)):
        reports = list(ParityReports(both.settings, system).between(
            system.calendar.go_live, date.max))
        assert len(reports) == days
        assert all(each.holds for each in reports), reports
        served = days * (24 if system is both.market else PER_DAY)
        assert sum(each.checked + each.degraded for each in reports) == served
        # A busy machine may miss the time budget now and then.
        assert sum(each.checked for each in reports) > served / 2


def test_what_the_lender_is_told_shows_in_the_next_answer_of_the_reader(both: Both) -> None:
    """The looks of the last day, the mean price and taste: none stands still, none is missing."""
    served = both.served()
    served = served[~served["degraded"]]
    values = dict(zip(served["feature_names"].iloc[0], np.array(list(served["features"])).T,
                      strict=True))
    for name in ("looks_1d", "moods_1d", "price_1d", "tasted_4d", "mood_12h"):
        assert not np.isnan(values[name]).all() and len(np.unique(values[name])) > 1, name


def test_the_training_set_of_the_reader_knows_no_future_of_the_lender(both: Both) -> None:
    sets = TrainingSets(both.settings, both.vans)
    built = built_as_at_once(both.settings, both.vans, midnight(UNTIL))
    assert len(built.rows) > 100
    assert not find_leaks(both.settings, both.vans, built.rows).leaking.any()
    assert sets.difference(built.version) is None
    rows = built.rows.copy()
    rows.loc[rows.index[5], "looks_1d"] += 1
    assert find_leaks(both.settings, both.vans, rows).leaking.sum() == 1


def test_explanations_lead_to_the_lenders_rows_and_traces_to_the_readers_answers(
    both: Both
) -> None:
    with closing(EventLog(both.settings.event_log)) as log:
        served = both.served()
        answers = [log.prediction(each) for each in served["prediction_id"][~served["degraded"]]]
        answer = [each for each in answers if each and '"stall 0"' in each.request][-1]
        rows = Provenance(both.settings, both.vans).rows(answer)
        by_view = {row.view: row for row in rows}
        assert set(by_view) == {
            "market_stall_looks", "market_stall_moods", "market_stall_baskets",
            "market_stall_tastes", "market_stalls_latest", "vans_stall_arrivals"}
        look = by_view["market_stall_looks"]
        [found] = trace(both.settings, both.market, log, look.event_id)
        assert not found.problems
        counted = {each.prediction_id: each for each in found.counted_in}
        assert counted[answer.prediction_id].system == "vans"
        assert set(counted[answer.prediction_id].views) == {
            "market_stall_looks", "market_stall_moods"}
        assert {each.system for each in counted.values()} == {"market", "vans"}


def test_a_lost_store_is_made_anew_with_the_same_features(both: Both) -> None:
    at, keys = midnight(UNTIL), [{"stall": f"stall {n}", "crates": 1.0} for n in range(4)]
    with closing(EventLog(both.settings.event_log)) as log:
        state = both.state(log)
        before, _, position = state.read(keys, [at] * 4)
        state.close()
        assert position > 0
        rebuilt = rebuild(both.settings, both.vans)
        assert {"market_stall_looks", "vans_stall_arrivals"} <= {each.view for each in rebuilt}
        with closing(open_backend(both.settings)) as store:
            for name in store.views():
                forget(store, name)
        for system in (both.vans, both.market):
            OnlineState(log.connection, both.settings, system).close()
        again = both.state(log)
        values, _, _ = again.read(keys, [at] * 4)
        again.close()
        assert np.array_equal(values, before, equal_nan=True)
    assert not [each for each in examine(both.settings) if each.trouble and not each.mended]


def test_a_day_that_the_lender_has_not_closed_is_waited_for(both: Both) -> None:
    """A training set, or parity, of what is not in the lake yet would be of too little."""
    assert awaited(both.vans, both.settings, UNTIL - DAY) is None
    assert next_closed_day(both.vans, both.settings, midnight(UNTIL)) is None
    path = both.lake.partition("market", "looks", UNTIL - DAY)
    held = path.rename(path.with_suffix(".held"))
    try:
        with pytest.raises(NotReady, match=r"market/looks ends on 2024-01-09; it is needed up to "
                                           r"2024-01-10.*`ml-assets run market vans`"):
            TrainingSets(both.settings, both.vans).build(midnight(UNTIL))
    finally:
        held.rename(path)
    labels = both.lake.partition("market", "labels", UNTIL - DAY)
    held = labels.rename(labels.with_suffix(".held"))
    try:
        assert awaited(both.vans, both.settings, UNTIL - DAY) == "market"
    finally:
        held.rename(labels)


def test_a_lender_is_not_forgotten_while_a_reader_remembers_it(both: Both) -> None:
    with pytest.raises(NotReady, match="`ml-assets run market vans --fresh`"):
        require_alone(both.settings, both.market, ["market"])
    require_alone(both.settings, both.market, ["market", "vans"])
    require_alone(both.settings, both.vans, ["vans"])


def test_a_reader_that_starts_over_behind_its_lender_is_refused(
    both: Both, tmp_path: Path
) -> None:
    journeys = [replace(each, until=UNTIL + DAY * 3) if each.system.name == "market" else each
                for each in _standing(both, tmp_path)]
    replay._require_together(journeys)
    late = replace(journeys[1], system=replace(
        both.vans, calendar=replace(both.vans.calendar, last_day=LIVE)), until=LIVE)
    with pytest.raises(NotReady, match="'market' has been replayed up to 2024-01-11, and 'vans'"):
        replay._require_together([journeys[0], late])


def _standing(both: Both, folder: Path) -> list[Journey]:
    nothing = LiveDays((), both.vans.calendar.live_from, folder)
    return [Journey(system=each, settings=both.settings, runs=cast("Any", None), events=nothing,
                    until=UNTIL, say=lambda at, text: None) for each in (both.market, both.vans)]


def test_systems_that_share_views_are_run_together_and_others_alone(both: Both) -> None:
    groups = companies(both.settings, [both.vans, METER, both.market])
    assert [[each.name for each in group] for group in groups] == [["meter"], ["vans", "market"]]


def test_a_lender_that_nobody_named_is_told_and_answers_nothing(tmp_path: Path) -> None:
    """What the vans read of it is told or kept in tables, so it needs no model."""
    with replayed(tmp_path, VANS, until=LIVE + timedelta(days=1)) as there:
        assert [(each.system.name, each.asks) for each in members(there.settings, [VANS])] == [
            ("market", False), ("vans", True)]
        assert Deployments(there.settings.deployments).current("market") is None
        [report] = ParityReports(there.settings, VANS).between(LIVE, date.max)
        assert report.holds and report.checked + report.degraded == PER_DAY
        assert report.checked > PER_DAY / 2, "a busy machine may miss the time budget now and then"
        served = there.served()
        looks = [dict(zip(names, values, strict=True))["looks_1d"] for names, values in zip(
            served["feature_names"], served["features"], strict=True)]
        assert max(looks) > 10 and len(set(looks)) > 2
        with closing(EventLog(there.settings.event_log)) as log:
            assert log.told.count("market") == {"looks": 48}
            assert log.count("market") == (0, 0)
        told = json.dumps(there.said)
        assert "training the first model" in told
