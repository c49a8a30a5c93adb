"""`feast serve` answers from our online store, over a socket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # comes with Feast, ships no types

from tests.features.online_store.shop import DAY, NOW, Shop, profile


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_feast_serve_answers_with_windows_and_rows(tmp_path: Path) -> None:
    shop = Shop(tmp_path, {
        "type": "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore",
        "path": "online.lmdb",
    })
    shop.write_orders(("ann", NOW - DAY, "a", 1.5, "x"), ("ann", NOW - 2 * DAY, "b", 2.0, "x"))
    shop.write_profiles(profile("ann", NOW - DAY, age=41))
    shop.apply().materialize(NOW - 5 * DAY, NOW)
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(shop.config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "feast.cli.cli", "-c", str(tmp_path), "serve", "--port", str(port),
         "--no-access-log"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        answer = _ask(server, f"http://127.0.0.1:{port}/get-online-features", {
            "feature_service": "shopping", "entities": {"customer": ["ann", "bob"]},
        })
    finally:
        server.terminate()
        server.wait(30)
    names = answer["metadata"]["feature_names"]
    found = {
        name: result["values"] for name, result in zip(names, answer["results"], strict=True)
    }
    assert found["customer"] == ["ann", "bob"]
    assert found["orders_7d"] == [2, 0]
    assert found["spent_7d"] == [3.5, 0.0]
    assert found["last_amounts"] == [[1.5, 2.0], []]
    assert found["age"] == [41, None]


def _ask(server: subprocess.Popen[bytes], url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Waits until the server is up, which takes a few seconds of imports."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                found: dict[str, Any] = json.load(response)
                return found
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert server.poll() is None, "feast serve did not start"
            assert time.monotonic() < deadline, "feast serve does not answer"
            time.sleep(0.2)
