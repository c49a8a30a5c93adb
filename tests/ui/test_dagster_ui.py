"""The Dagster UI in a real browser: a newcomer finds the lineage of the loop."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from ml_assets.automation.instance import DAGSTER_YAML
from ml_assets.core.settings import ROOT
from ml_assets.systems.spam import SPAM

pytestmark = pytest.mark.browser

PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page as Chromium drew it: the texts that stand alone in an element."""

    dom: str

    @property
    def texts(self) -> set[str]:
        return set(re.findall(r">([^<>\n]+)<", self.dom))


@dataclass(frozen=True, kw_only=True)
class Browser:
    """Headless Chromium on one web server; every page gets a fresh process."""

    program: str
    profile: Path
    address: str

    def open(self, path: str, expected: set[str]) -> Page:
        """The page, as soon as it shows all of `expected`; after three tries as it is."""
        page = Page(dom="")
        for _ in range(3):
            answer = subprocess.run(
                [self.program, "--headless=new", "--no-sandbox", "--disable-gpu",
                 "--disable-dev-shm-usage", "--no-first-run", "--virtual-time-budget=25000",
                 "--window-size=2600,1400", f"--user-data-dir={self.profile}", "--dump-dom",
                 f"{self.address}{path}"],
                capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            )
            page = Page(dom=answer.stdout)
            if expected <= page.texts:
                break
        return page


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser. A machine without one skips; CI must have it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which(
        "google-chrome")
    if program is None:
        missing = "no Chromium on this machine: `apt-get install -y chromium` brings it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return program


@pytest.fixture(scope="module")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser beside a web server that serves this checkout's definitions, on empty state."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text(DAGSTER_YAML)
    port = free_port()
    with (folder / "webserver.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "dagster_webserver", "-m", "ml_assets.definitions",
             "--read-only", "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "DAGSTER_HOME": str(folder / "home"),
                 "ML_ASSETS_VAR": str(folder / "var")},
        )
        try:
            address = f"http://127.0.0.1:{port}"
            await_answer(f"{address}/server_info", server, folder / "webserver.log")
            yield Browser(program=chromium, profile=folder / "profile", address=address)
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_answer(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            with urlopen(address, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the web server does not answer:\n{log.read_text()[-3000:]}")


def test_the_global_lineage_shows_a_group_for_every_room(browser: Browser) -> None:
    rooms = ("ingest", "features", "training", "evaluation", "registry", "serving", "feedback",
             "monitoring")
    groups = {f"spam_{room}" for room in rooms}
    assert groups <= browser.open("/asset-groups", groups).texts


def test_the_lineage_of_the_model_reaches_from_the_archive_to_monitoring(browser: Browser) -> None:
    # A node abbreviates a long name, so one short entity stands for all.
    nodes = {
        "archive", "raw", "events", "labels", "sender_mail", SPAM.feature_service,
        "training_set", "model", "evaluation", "deployment", "predictions", "outcomes", "drift",
        "performance", "parity",
    }
    page = browser.open("/assets/spam/model?view=lineage&lineageDepth=20", nodes)
    assert nodes <= page.texts


def test_the_page_of_an_asset_says_what_a_row_is_and_where_it_comes_from(browser: Browser) -> None:
    page = browser.open("/assets/spam/drift?view=overview", {"spam/predictions"})
    assert "One report for each day" in page.dom
    assert "Source: " in page.dom
