"""What `ml-assets ui` starts, as real processes: guarded, frugal, alive, and gone at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from ml_assets.core.settings import ROOT
from tests.serving.access.test_hosts import ATTACKS
from tests.serving.kit import wait_until
from tests.ui.test_dagster_ui import free_port

pytestmark = pytest.mark.slow

PATIENCE_S = 150.0
MOST_MEGABYTES = 1_200
RELOAD = """mutation { reloadRepositoryLocation(repositoryLocationName: "ml_assets") {
    ... on WorkspaceLocationEntry { locationOrLoadError { __typename } } } }"""
JOBS = """{ repositoryOrError(repositorySelector: {
    repositoryName: "__repository__", repositoryLocationName: "ml_assets"}) {
    ... on Repository { jobs { name } } ... on PythonError { message } } }"""


@dataclass(frozen=True, kw_only=True)
class Ui:
    """The running processes, and where they answer."""

    process: subprocess.Popen[bytes]
    dagster: str
    api: str
    mlflow: str
    var: Path

    def graphql(self, query: str, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.dagster}/graphql", json={"query": query}, timeout=60,
                          headers={"origin": self.dagster, **headers})


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    folder = tmp_path_factory.mktemp("ui")
    ports = [free_port() for _ in range(3)]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "ml_assets.cli", "ui", "--dagster-port", str(ports[0]),
             "--mlflow-port", str(ports[1])], cwd=ROOT, stdout=said, stderr=said,
            env={**os.environ, "ML_ASSETS_VAR": str(folder / "var"), "ML_ASSETS_PORT":
                 str(ports[2])},
        )
    dagster, mlflow, api = (f"http://127.0.0.1:{port}" for port in ports)
    try:
        until = time.monotonic() + PATIENCE_S
        while b"Ctrl-C stops" not in b" ".join((folder / "said").read_bytes().split()):
            assert process.poll() is None and time.monotonic() < until, (
                (folder / "said").read_text())
            time.sleep(0.2)
        yield Ui(process=process, dagster=dagster, api=api, mlflow=mlflow, var=folder / "var")
    finally:
        process.terminate()
        process.wait(60)


def family(pid: int) -> list[psutil.Process]:
    """The process and all that descend from it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def command(process: psutil.Process) -> str:
    """Its command line; empty if it has ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def loaders(ui: Ui) -> list[int]:
    """The processes that have loaded the code."""
    return [each.pid for each in family(ui.process.pid) if "api grpc" in command(each)]


def megabytes(process: psutil.Process) -> float:
    """Its share of memory: what it shares with others is divided among them."""
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_full_info().pss) / 2**20
    return 0.0


@pytest.mark.parametrize(("headers", "status"), ATTACKS.values(), ids=ATTACKS)
def test_another_sites_page_gets_nothing_from_any_of_them(
    ui: Ui, headers: dict[str, str], status: int
) -> None:
    mutation = {"query": "mutation { reloadWorkspace { __typename } }"}
    asked = [
        httpx.get(f"{ui.dagster}/graphql", params=mutation, headers=headers),
        httpx.post(f"{ui.dagster}/graphql", params=mutation, headers=headers),
        httpx.post(f"{ui.dagster}/graphql", json=mutation, headers=headers),
        httpx.post(f"{ui.dagster}/report_asset_materialization/x", headers=headers),
        httpx.get(f"{ui.dagster}/", headers=headers),
        httpx.get(f"{ui.mlflow}/", headers=headers),
        httpx.get(f"{ui.mlflow}/health", headers=headers),
        httpx.post(f"{ui.mlflow}/ajax-api/2.0/mlflow/experiments/create", json={"name": "theirs"},
                   headers=headers),
        httpx.post(f"{ui.mlflow}/graphql", json={"query": "{ test { output } }"}, headers=headers),
        httpx.get(f"{ui.api}/v1/spam/version", headers=headers),
    ]
    assert [answer.status_code for answer in asked] == [status] * len(asked)


def test_dagster_changes_nothing_by_get(ui: Ui) -> None:
    answer = httpx.get(f"{ui.dagster}/graphql", params={"query": "mutation { x }"})
    assert answer.status_code == 405
    assert httpx.get(f"{ui.dagster}/graphql", headers={"accept": "text/html"}).status_code == 200


def test_their_own_pages_and_programs_work(ui: Ui) -> None:
    assert "__typename" in ui.graphql("{ __typename }", **{"sec-fetch-site": "same-origin"}).text
    assert "spam_daily" in ui.graphql(JOBS).text
    search = httpx.post(f"{ui.mlflow}/api/2.0/mlflow/experiments/search", json={"max_results": 5})
    assert search.json()["experiments"][0]["name"] == "Default"
    mine = httpx.post(f"{ui.mlflow}/ajax-api/2.0/mlflow/experiments/create", json={"name": "mine"},
                      headers={"origin": ui.mlflow, "sec-fetch-site": "same-origin"})
    assert mine.status_code == 200
    assert httpx.get(f"{ui.mlflow}/").status_code == 200
    assert httpx.get(f"{ui.api}/healthz").status_code == 200


def test_dagsters_subscriptions_are_for_its_own_pages(ui: Ui) -> None:
    url = f"{ui.dagster.replace('http', 'ws')}/graphql"
    with connect(url, origin=Origin(ui.dagster),
                 subprotocols=[Subprotocol("graphql-ws")]) as socket:
        socket.send('{"type": "connection_init"}')
        assert "connection_ack" in str(socket.recv())
    with pytest.raises(InvalidStatus, match="403"), \
            connect(url, origin=Origin("https://evil.example")):
        pass


def test_all_together_take_little_memory_and_one_process_loads_the_code(ui: Ui) -> None:
    processes = family(ui.process.pid)
    assert sum(map(megabytes, processes)) < MOST_MEGABYTES
    commands = [command(each) for each in processes]
    assert len(loaders(ui)) == 1
    assert not [command for command in commands if "huey" in command or "job_runner" in command]


def test_the_code_is_loaded_again_on_demand_and_if_the_process_that_holds_it_dies(ui: Ui) -> None:
    assert ui.graphql(RELOAD).json()["data"]["reloadRepositoryLocation"][
        "locationOrLoadError"]["__typename"] == "RepositoryLocation"
    dead = loaders(ui)
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(loaders(ui)) - set(dead), 60)
    wait_until(lambda: "RepositoryLocation" in ui.graphql(RELOAD).text, 60)
    assert "spam_daily" in ui.graphql(JOBS).text


def test_all_end_with_their_terminal(ui: Ui) -> None:
    """The last test: nothing of it is left."""
    processes = family(ui.process.pid)[1:]
    ui.process.send_signal(signal.SIGHUP)
    assert ui.process.wait(60) == 0
    wait_until(lambda: not [each for each in processes if each.is_running()], 30)
