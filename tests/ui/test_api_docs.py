"""The API's documentation page in a real browser, without any other server to ask."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ml_assets.core.settings import Settings
from tests.serving.kit import Toy, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser. A machine without one skips; CI must have it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing = "no Chromium on this machine: `apt-get install -y chromium` brings it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return program


def test_the_documentation_shows_every_call_with_a_form_to_try_it(
    chromium: str, settings: Settings, tmp_path: Path
) -> None:
    toy = Toy(settings=settings)
    toy.deploy(1)
    with serving(toy) as api:
        drawn = subprocess.run(
            [chromium, "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run",
             "--virtual-time-budget=5000", f"--user-data-dir={tmp_path / 'profile'}",
             "--dump-dom", f"{api.base_url}/docs#toy_feedback"],
            capture_output=True, text=True, timeout=120, check=False,
        ).stdout
        described = api.get("/openapi.json").json()
    shown = html.unescape(drawn)
    for path, methods in described["paths"].items():
        assert f"<code>{path}</code>" in shown
        for operation in methods.values():
            # The page shows text: marks of Markdown are left out.
            assert f">{operation['summary'].replace('`', '')}<" in shown
            assert f'id="{operation["operationId"]}"' in shown
    assert 'placeholder="token, where one is needed"' in shown
    assert shown.count(">Send</button>") == sum(map(len, described["paths"].values()))
    assert '<details class="call" id="toy_feedback" open="">' in shown
