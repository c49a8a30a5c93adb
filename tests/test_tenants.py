"""Two systems in one installation: each lives, fails and is forgotten by itself."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from feast import Entity, ValueType

from ml_assets.automation.dead_runs import PROCESS_TAG
from ml_assets.automation.forgetting import require_idle
from ml_assets.automation.jobs import RETRAINING
from ml_assets.core.assets import plot
from ml_assets.core.errors import NotReady
from ml_assets.core.installation import claim
from ml_assets.core.project import PACKAGED_REPO, ROOT
from ml_assets.core.runtime.locks import alone, in_service, out_of_service
from ml_assets.core.runtime.processes import this_process
from ml_assets.core.time import DAY, midnight
from ml_assets.features.declaration import event_stream, windowed_view
from ml_assets.features.store import open_store
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log import forgetting as log_rows
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import last_position
from ml_assets.monitoring.parity import ParityReports
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.replay import forgetting
from ml_assets.replay.forgetting import forget, half_forgotten
from ml_assets.systems.published import clashes
from tests.core.kit import tree
from tests.meter_features import of
from tests.serving.kit import problem, serving
from tests.tenants import ask, begin, event_of, serve_a_day, two_tenants
from tests.whole_loop import WholeLoop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WholeLoop, WholeLoop]]:
    """Both have served and closed a day, by turns through one server, years apart."""
    with two_tenants(tmp_path_factory.mktemp("tenants")) as (toys, meters):
        begin(toys)
        with serving(toys, also=[meters.system]) as api:
            _one_of_two(toys, meters, api)
        begin(meters)
        with serving(toys, also=[meters.system]) as api:
            days = [loop.clock.now().date() for loop in (toys, meters)]
            for loop, day in zip((toys, meters), days, strict=True):
                serve_a_day(loop, api, day)
        for loop, day in zip((toys, meters), days, strict=True):
            loop.close(day)
        yield toys, meters


def _one_of_two(toys: WholeLoop, meters: WholeLoop, api: httpx.Client) -> None:
    """A system without a model is not ready alone."""
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["systems"] == {"toy": True, "meter": False}
    assert api.get("/readyz/meter").status_code == 503
    refused = api.post("/v1/meter/predict", json={"event": event_of(meters, 1)})
    assert "no model of 'meter'" in problem(refused, 503, "not_ready")["message"]
    ask(toys, api, 1, toys.clock.now())
    told = api.post("/v1/toy/events/visits", json={"event_id": "v1", "event": {"shop": "corner"}})
    assert told.status_code == 200, told.text


def test_each_goes_by_its_own_clock_and_parity_holds_for_both(
    loops: tuple[WholeLoop, WholeLoop]
) -> None:
    """Event ids are the same in both, instants are not, and no prediction meets another's past."""
    toys, meters = loops
    assert toys.clock.now() - meters.clock.now() == timedelta(days=7)
    for loop, served in ((toys, 31), (meters, 30)):
        day = (loop.clock.now() - DAY).date()
        parity = ParityReports(loop.settings, loop.system).read(day)
        assert parity is not None and parity.holds
        assert (parity.checked, parity.degraded) == (served, 0)
        with closing(EventLog(loop.settings.event_log)) as log:
            logged = list(log.predictions(loop.system.name, midnight(day), midnight(day) + DAY))
        assert len(logged) == served
        assert [each.accepted_at for each in logged] == sorted(each.accepted_at for each in logged)


def test_a_replay_of_one_locks_no_other(loops: tuple[WholeLoop, WholeLoop]) -> None:
    settings = loops[0].settings
    with (
        alone(settings, "toy"), alone(settings, "meter"),
        pytest.raises(NotReady, match="another `ml-assets run toy`"), alone(settings, "toy"),
    ):
        pass


def test_a_system_that_is_served_is_not_forgotten(loops: tuple[WholeLoop, WholeLoop]) -> None:
    """Its server would go on answering with a model that is gone; that of another does not."""
    toys, meters = loops
    with in_service(toys.settings, ["toy"]), in_service(toys.settings, ["toy"]):
        before = tree(toys.settings.lake)
        with pytest.raises(NotReady, match="an API serves 'toy'"):
            forget(toys.settings, toys.system)
        assert tree(toys.settings.lake) == before
        with out_of_service(meters.settings, "meter"):
            pass


def test_a_system_with_a_run_in_progress_is_not_forgotten(
    loops: tuple[WholeLoop, WholeLoop]
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        job = dg.GraphDefinition(name=RETRAINING.format("toy"), node_defs=[]).to_job()
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED,
                                    tags={PROCESS_TAG: this_process()})
        with pytest.raises(NotReady, match="job toy_retraining is in progress"):
            require_idle(instance, "toy")
        require_idle(instance, "meter")


PROJECT = """
import json
from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import Settings
from ml_assets.definitions import definitions
from ml_assets.features.manifest import load_manifest
from ml_assets.features.declaration import event_stream, windowed_view
from ml_assets.features.store import open_store
from ml_assets.systems import SYSTEMS

settings = Settings.from_environment()
graph = definitions(settings).resolve_asset_graph()
why = {}
for system in SYSTEMS:
    try:
        load_manifest(settings).service(system)
    except DeclarationError as error:
        why[system.name] = str(error)
print(json.dumps({
    "loaded": sorted({key.path[0] for key in graph.materializable_asset_keys}), "why": why,
    "applied": sorted(view.name for view in open_store(settings).list_all_feature_views()),
}))
"""


def test_damaged_features_stop_no_other_system_and_lose_no_state(tmp_path: Path) -> None:
    """While they are damaged their views stay applied: else their online tables would be gone."""
    (tmp_path / "pyproject.toml").write_text("[tool.ml_assets]\n")
    shutil.copytree(PACKAGED_REPO, tmp_path / "feature_repo")
    for name in ("toy", "meter"):
        (tmp_path / "systems" / name).mkdir(parents=True)
        (tmp_path / "systems" / name / "__init__.py").write_text(
            f"from tests.{name} import {name.upper()}\n")
        _features(tmp_path, name).write_text(f"from tests.{name}_features import *\n")
    sound = _loaded(tmp_path)
    assert sound["loaded"] == ["meter", "toy"] and sound["why"] == {}
    with _features(tmp_path, "toy").open("a") as file:
        file.write("1 / 0\n")
    damaged = _loaded(tmp_path)
    assert damaged["loaded"] == ["meter"]
    assert damaged["applied"] == sound["applied"]
    assert list(damaged["why"]) == ["toy"]
    assert "features of 'toy' are broken" in damaged["why"]["toy"]
    assert "ZeroDivisionError" in damaged["why"]["toy"]
    _features(tmp_path, "toy").write_text("from tests.toy_features import *\n")
    assert _loaded(tmp_path) == sound


def test_two_systems_cannot_declare_one_view(tmp_path: Path) -> None:
    """Feast has one name for both; neither is fed, and the view of the first keeps its state."""
    shops, chain = (
        windowed_view(name, system=system, entities=[], source=event_stream(system),
                      aggregations=[of("count", "", DAY, "events_1d")])
        for name, system in (("chain_visits", "shop"), ("visits", "shop_chain"))
    )
    assert shops.name == chain.name
    found = clashes({"shop": {"visits": shops}, "shop_chain": {"visits": chain}, "meter": {}})
    reason = ("systems 'shop' and 'shop_chain' both declare a feature view 'shop_chain_visits'; "
              "rename one")
    assert found == {"shop": reason, "shop_chain": reason}


def test_two_systems_may_speak_of_one_entity_in_the_same_words() -> None:
    def customer(key: str) -> Entity:
        return Entity(name="customer", join_keys=[key], value_type=ValueType.STRING)

    assert clashes({"a": {"customer": customer("id")}, "b": {"buyer": customer("id")}}) == {}
    assert set(clashes({"a": {"c": customer("id")}, "b": {"c": customer("key")}})) == {"a", "b"}


def _features(project: Path, name: str) -> Path:
    return project / "systems" / name / "features.py"


def _loaded(project: Path) -> dict[str, Any]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "packages" / "dagster-feast")])
    environment = {
        **{name: value for name, value in os.environ.items()
           if name not in ("ML_ASSETS_VAR", "DAGSTER_HOME")},
        "ML_ASSETS_CACHE": str(project / "cache"), "PYTHONPATH": paths,
    }
    done = subprocess.run([sys.executable, "-c", PROJECT], cwd=project, capture_output=True,
                          text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_one_is_replayed_while_another_is_served_live(
    loops: tuple[WholeLoop, WholeLoop]
) -> None:
    """By two servers at once on the same files: parity to the bit for both."""
    days = [loop.clock.now().date() for loop in loops]
    with (
        serving(loops[0]) as toys, serving(loops[1]) as meters, ThreadPoolExecutor(2) as pool,
        alone(loops[0].settings, "toy"),
    ):
        list(pool.map(serve_a_day, loops, (toys, meters), days))
    for loop, day in zip(loops, days, strict=True):
        loop.close(day)
        parity = ParityReports(loop.settings, loop.system).read(day)
        assert parity is not None and parity.holds
        assert (parity.checked, parity.degraded) == (30, 0)


class Killed(BaseException):
    """As `kill -9` would end it."""


STEPS = ("log_rows.forget", "drop_views", "Deployments", "ModelRegistry", "delete_tree",
         "automation.forget", "change_notes")


def test_one_is_forgotten_whole_and_the_other_keeps_every_row(
    loops: tuple[WholeLoop, WholeLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it dies before each of its steps; afterwards the system starts over, the same."""
    toys, meters = loops
    settings, name = toys.settings, toys.system.name
    monkeypatch.setattr(log_rows, "AT_ONCE", 20)
    for loop in loops:
        plot(settings, loop.system, b"\x89PNG", "a plot")
    before, position = life_of(meters), _position(toys)
    assert all(life_of(toys).values()) and set(life_of(toys)["log"]) >= {"feedback", "told"}
    for step in STEPS:
        with monkeypatch.context() as patch:
            patch.setattr(f"{forgetting.__name__}.{step}", _die)
            with pytest.raises(Killed):
                forget(settings, toys.system)
        assert half_forgotten(settings, name)
    forget(settings, toys.system)
    assert not half_forgotten(settings, name)
    claim(settings)
    assert life_of(toys) == _nothing(toys)
    assert life_of(meters) == before
    assert _position(toys) >= position, "a position is given once"
    assert not (settings.plots / name).exists() and (settings.plots / "meter").exists()
    forget(settings, toys.system)

    # Neither has the other noticed anything, nor does the first meet a trace of its earlier life.
    toys.clock.set(toys.system.calendar.live_from)
    begin(toys)
    assert [each.version for each in ModelRegistry(settings).versions(name)] == [1]
    with serving(toys, also=[meters.system]) as api:
        assert api.get("/readyz").json()["systems"] == {"toy": True, "meter": True}
        day = toys.clock.now().date()
        serve_a_day(toys, api, day)
        serve_a_day(meters, api, meters.clock.now().date())
    for loop in (toys, meters):
        day = loop.clock.now().date()
        loop.close(day)
        parity = ParityReports(settings, loop.system).read(day)
        assert parity is not None and parity.holds and parity.checked == 30


def _die(*args: object, **options: object) -> None:
    raise Killed


def _position(loop: WholeLoop) -> int:
    with closing(EventLog(loop.settings.event_log)) as log:
        return last_position(log.connection)


def life_of(loop: WholeLoop) -> dict[str, Any]:
    """All that the stores hold of a system, in a form that can be compared."""
    settings, name = loop.settings, loop.system.name
    versions, instance = ModelRegistry(settings).versions(name), loop._instance
    views: list[Any] = open_store(settings).list_all_feature_views()
    return {
        "log": _rows(settings.event_log, name),
        "deployments": [replace(each, id=0) for each in
                        Deployments(settings.deployments).history(name)],
        "models": versions,
        "files": tree(settings.mlflow_artifacts / name),
        "lake": tree(Lake(settings.lake).root / name),
        "loads": [row for row in _table(settings.event_log, "loads")
                  if str(row[1]).startswith(f"{name}_")],
        "feast": {view.name: view.materialization_intervals for view in views
                  if view.tags.get("system") == name and view.materialization_intervals},
        "runs": sorted(run.run_id for run in instance.get_runs()
                       if run.job_name.startswith(f"{name}_")),
        "assets": sorted(key.to_user_string() for key in instance.get_asset_keys()
                         if key.path[0] == name),
        "clock": settings.clock_file(name).exists() and settings.clock_file(name).read_bytes(),
    }


def _nothing(loop: WholeLoop) -> dict[str, Any]:
    return {"log": {}, "deployments": [], "models": [], "files": {}, "lake": {}, "loads": [],
            "feast": {}, "runs": [], "assets": [], "clock": False}


def _rows(path: Any, system: str) -> dict[str, list[tuple[object, ...]]]:
    """By every table, also of times to come, that says whose a row is."""
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute(
            "select name from sqlite_master where type = 'table'")
            if any(column[1] == "system" for column in db.execute(f"pragma table_info({name})"))]
        assert set(tables) >= {"predictions", "feedback", "told"}
        found = {name: list(db.execute(f"select * from {name} where system = ? order by 1",
                                       (system,))) for name in tables}
    return {name: rows for name, rows in found.items() if rows}


def _table(path: Any, name: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return list(db.execute(f"select * from {name} order by 1"))
