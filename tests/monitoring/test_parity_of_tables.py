"""Parity is exact for texts, ids, told events, tables and what is derived of them: alone, in the
whole loop, and with several processes that race.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import monotonic

import dagster as dg
import httpx
import numpy as np
import pytest

from ml_assets.core.codes import code_of
from ml_assets.core.installation import claim
from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.online_load import load_table
from ml_assets.ingest.kept import store_table
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.monitoring.parity import ParityReports
from ml_assets.registry.models import ModelRegistry
from ml_assets.serving.answer.explanation import Provenance
from ml_assets.training import artifact
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows
from tests.features.recorded import first_days
from tests.features.training_sets.twins import built_as_at_once
from tests.market import MARKET, STALLS, basket, look, recorded, without_codes
from tests.monitoring.test_parity_of_workers import PATIENCE, close_the_day, served
from tests.places import cluster_at, environment
from tests.serving.kit import serving
from tests.whole_loop import WholeLoop, repository_of

pytestmark = pytest.mark.slow

DAYS = first_days(MARKET, 7)
TODAY = DAYS[-1] + DAY
NOW = midnight(TODAY) + timedelta(hours=9)
CLIENTS, EACH = 4, 20
RECORDED = recorded()


@dataclass(kw_only=True)
class Market(WholeLoop):
    system: System = RECORDED


def register_a_model(settings: Settings) -> int:
    """One that reads codes, whatever it makes of them."""
    names = (*MARKET.model.numbers, *load_manifest(settings).service(MARKET).features)
    dense = np.random.default_rng(3).lognormal(0, 1, (20, len(names))).astype(np.float32)
    scorer = fit(MARKET.model, MARKET.target, LabelledRows(
        texts={}, dense=dense, codes=np.arange(20.0) % 2, feature_names=names)).scorer
    artifact.save(scorer, settings.var / "made", dense=dense[:4], texts={})
    return ModelRegistry(settings).register(
        MARKET.name, settings.var / "made", params={}, metrics={}, tags={"data_version": "made up"}
    ).version


@contextmanager
def market_in(folder: Path, cluster: Cluster | None = None) -> Iterator[tuple[Market, str]]:
    """With its history in the lake and in the store, and a model; and its feature repository."""
    repository = folder / "repository"
    with repository_of(repository, MARKET), dg.DagsterInstance.ephemeral() as instance:
        loop = Market(settings=Settings(var=folder / "var", cluster=cluster))
        loop._instance = instance
        loop.runs.history(MARKET.calendar.go_live)
        loop.deploy(register_a_model(loop.settings))
        loop.clock.set(NOW)
        loop.clock.start()  # else all would happen at one instant, and see nothing of each other
        yield loop, str(repository)


def ask(url: str, client: int) -> None:
    """Buys and looks, until EACH answers came from the store."""
    proper, n, ends = 0, client, monotonic() + PATIENCE
    while proper < EACH:
        assert monotonic() < ends, f"{proper} of {n} answers were not degraded"
        with httpx.Client(base_url=f"{url}/v1/market", timeout=30) as api:
            for _ in range(10):
                n += CLIENTS
                told = api.post("/events/looks", json={"event_id": f"look {n}", "event": look(n)})
                assert told.status_code == 200, told.text
                answer = api.post("/predict", json={"event_id": f"b{n}", "event": basket(n)})
                assert answer.status_code == 200, answer.text
                proper += not answer.json()["degraded"]


@pytest.mark.parametrize(("count", "workers"), [(1, 4), (2, 2)])
def test_every_vector_of_codes_and_rows_is_recomputed_though_workers_and_loads_raced(
    tmp_path: Path, count: int, workers: int, request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In files; and on several hosts that share a log in PostgreSQL and nothing of the online
    state, whose clocks disagree by seconds and all of which load, as two daemons would by mistake.
    """
    cluster = None
    if count > 1:
        cluster = cluster_at(request.getfixturevalue("postgres_url"), tmp_path / "shared")
        said = environment(Settings(var=tmp_path / "var", cluster=cluster))
        for name, value in said.items():
            monkeypatch.setenv(name, value)
    with market_in(tmp_path, cluster) as (loop, repository):
        hosts = [loop]
        for number in range(1, count):
            settings = replace(loop.settings, var=tmp_path / f"host {number}" / "var")
            claim(settings)
            hosts.append(replace(loop, settings=settings))
            hosts[-1].clock.set(NOW + number * timedelta(seconds=7))
            hosts[-1].clock.start()
        with ExitStack() as servers:
            race(hosts, [servers.enter_context(served(host.settings, workers, repository))
                         for host in hosts])
        settings = loop.settings
        with closing(EventLog(settings.event_log)) as log:
            answers = [each for each in log.predictions("market", NOW, NOW + DAY)
                       if not each.degraded]
        overtaken = sum((each.seq or 0) - (each.state_seq or 0) > 1 for each in answers)
        assert overtaken > 0, "nothing was tried out"
        loop.clock.set(midnight(TODAY) + DAY)
        report = close_the_day(settings, loop.system, TODAY, told=["looks"])
        assert report.checked == len(answers) >= CLIENTS * EACH
        assert (report.unexplained, report.without_position) == (0, 0), report.worst
        require_all_kinds(settings, answers)


def race(hosts: Sequence[Market], urls: Sequence[str]) -> None:
    """All clients at once, each at one of the hosts, while every host loads."""
    settings = hosts[0].settings
    [stalls] = load_manifest(settings).service(MARKET).kept
    store_table(MARKET, settings, STALLS, [TODAY])
    with ThreadPoolExecutor(CLIENTS + len(hosts)) as pool:
        asking = [pool.submit(ask, urls[client % len(urls)], client) for client in range(CLIENTS)]
        loading = [pool.submit(load_table, host.settings, stalls.view, [TODAY]) for host in hosts]
        for each in asking:
            each.result()
        assert {each.result().rows for each in loading} <= {0, 1}, "one became known this morning"


def require_all_kinds(settings: Settings, answers: Sequence[Prediction]) -> None:
    """Features of each kind were in these vectors, and they moved."""
    service = load_manifest(settings).service(MARKET)
    vectors, latest = np.array([each.features for each in answers]), answers[-1]
    seen = {name: {value for value in vectors[:, 1 + place].tolist() if value == value}
            for place, name in enumerate(service.features)}
    codes = {name: code_of(name) for name in ("glad", "cross", "card", "süß?")}
    assert codes["card"] in seen["pays_2d"] and codes["süß?"] in seen["said_1"]
    assert {codes["glad"], codes["cross"]} & seen["mood_12h"]
    assert seen["bought_1"] <= {0.0, 1.0, 2.0, 3.0, 4.0} and len(seen["bought_1"]) > 1
    assert {"street", "built", "roof", "dearer", "cash_late"} <= set(seen)
    years = {round(age_s / (365 * 86_400)) for age_s in seen["built"]}
    assert len(years) >= 3 and len(seen["dearer"]) > 3
    require_texts(settings, latest, service.coded)


def require_texts(settings: Settings, latest: Prediction, coded: frozenset[str]) -> None:
    """An explanation tells the text behind each code; ids are told as they are."""
    vector = dict(zip(latest.feature_names, latest.features.tolist(), strict=True))
    texts = Provenance(settings, MARKET).texts(latest)
    assert set(texts) == {name for name in coded if vector[name] > 0 and "bought" not in name}
    assert {"street", "mood_4d"} <= set(texts)
    assert {name: code_of(text) for name, text in texts.items()} == {
        name: vector[name] for name in texts}


def test_a_system_with_tables_and_derived_features_goes_through_the_whole_loop(
    tmp_path: Path,
) -> None:
    """Trained without leaks, served, its day closed with parity 0; its training set is the one that
    pandas makes at once.
    """
    system = replace(without_codes(recorded()), name="market")
    with repository_of(tmp_path / "repository", system), dg.DagsterInstance.ephemeral() as instance:
        loop = Market(settings=Settings(var=tmp_path / "var"), system=system)
        loop.begin(instance)
        loop.clock.set(NOW)
        with serving(loop) as api:
            body = {"events": [{"event_id": f"b{n}", "event": basket(n)} for n in range(20)]}
            told = api.post("/v1/market/events/looks", json={"event_id": "l", "event": look(3)})
            assert told.status_code == 200, told.text
            answers = api.post("/v1/market/predict/batch", json=body).json()["predictions"]
            assert not any(each["degraded"] for each in answers)
            one = api.post("/v1/market/predict", json={"event_id": "o", "event": basket(7)}).json()
            explained = api.get(f"/v1/market/predictions/{one['prediction_id']}").json()
            assert set(explained["features"]) >= {"dearer", "cash_late", "built", "roof"}
        loop.close(TODAY)
        report = ParityReports(loop.settings, system).read(TODAY)
        assert report is not None and (report.checked, report.unexplained) == (21, 0)
        built_as_at_once(loop.settings, system, midnight(TODAY) + DAY)
