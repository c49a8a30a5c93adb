"""Feast's own commands on a repository with our stores, run for real."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # comes with Feast, ships no types

from tests.features.feast_stores.commands import feast
from tests.features.online_store.shop import DAY, NOW, Shop

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::RuntimeWarning")]

DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.aggregation import Aggregation
from feast.types import Int64, String

from ml_assets.features.declaration import windowed_view

DAY = timedelta(days=1)
shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.STRING)
orders = PushSource(name="order_stream", batch_source=FileSource(
    name="orders", path="orders.parquet", timestamp_field="bought_at",
    created_timestamp_column="arrived_at", field_mapping={"buyer": "customer"},
))
spending = windowed_view(
    "spending", system="shop", entities=[shop, customer], source=orders, aggregations=[
        Aggregation(function=function, column="amount", time_window=7 * DAY, slide_interval=DAY,
                    name=f"{function}_7d")
        for function in ("sum", "count", "mean", "min", "max", "std", "first", "last")
    ],
)
ages = FeatureView(
    name="ages", entities=[customer], ttl=9 * DAY,
    schema=[Field(name="customer", dtype=String), Field(name="age", dtype=Int64)],
    source=FileSource(name="profiles", path="profiles.parquet", timestamp_field="since"),
)
service = FeatureService(name="shopping", features=[spending, ages])
"""

@pytest.fixture
def repo(tmp_path: Path) -> Path:
    shop = Shop(tmp_path, {
        "type": "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore",
        "path": "online.lmdb",
    })
    shop.write_orders(("ann", NOW - DAY, "a", 1.5, "x"), ("ann", NOW - 2 * DAY, "b", 2.0, "x"))
    shop.write_profiles()
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(shop.config))
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    return tmp_path


def test_a_repository_is_applied_planned_loaded_torn_down_and_applied_again(repo: Path) -> None:
    """A plan after an apply finds no changes, nor after a load for a view that we declared."""
    ask = "get-online-features -f shop_spending:count_7d -e shop=x -e customer=ann"
    load = f"materialize {(NOW - 5 * DAY):%Y-%m-%dT%H:%M:%S} {NOW:%Y-%m-%dT%H:%M:%S}"
    said = feast(repo, "apply", "plan", load, ask)
    assert "No changes to registry" in said[1]
    assert '"count_7d": [\n        2\n    ]' in said[3]
    said = feast(repo, "plan", "teardown", "apply", ask, "teardown", "apply", load, ask)
    assert "stream feature view" not in said[0]
    assert '"count_7d": [\n        0\n    ]' in said[3]
    assert '"count_7d": [\n        2\n    ]' in said[7]
    definitions = repo / "definitions.py"
    changed = definitions.read_text().replace("7 * DAY", "9 * DAY")
    definitions.write_text(changed)
    [plan] = feast(repo, "plan")
    assert "Updated stream feature view shop_spending" in "".join(
        part for part in plan.replace("\x1b[1m\x1b[33m", "").splitlines()
    )


def test_the_registry_is_served(repo: Path) -> None:
    with serving(repo, "serve_registry", "--port") as (port, is_up):
        assert is_up(lambda: socket.create_connection(("127.0.0.1", port), 1).close())


def test_the_ui_of_feast_answers(repo: Path) -> None:
    def ask() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/projects-list.json") as answer:
            assert b"shop" in answer.read()

    with serving(repo, "ui", "--host", "127.0.0.1", "--port") as (port, is_up):
        assert is_up(ask)


@contextmanager
def serving(repo: Path, *command: str) -> Iterator[tuple[int, Callable[[Any], bool]]]:
    """A server of Feast's on a free port, and how to wait until a call of it succeeds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = repo / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "feast.cli.cli", *command, str(port)],
            cwd=repo, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "NO_COLOR": "1"},
        )

    def is_up(ask: Callable[[], None]) -> bool:
        deadline = time.monotonic() + 120
        while True:
            try:
                ask()
                return True
            except OSError:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)

    try:
        yield port, is_up
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)
