"""Plots are served by their names, and nothing else of the installation is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from ml_assets.core.assets import PLOTS_PATH, page, plot
from ml_assets.core.settings import Settings
from ml_assets.serving.http.plot_files import WithPlots
from tests.toy import TOY


class Pages:
    def __init__(self, settings: Settings) -> None:
        self._app: Any = WithPlots(PlainTextResponse("a page"), settings.plots, PLOTS_PATH)

    def get(self, address: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(self._app), base_url="http://localhost"
            ) as client:
                return await client.get(address)

        return asyncio.run(ask())


@pytest.fixture
def pages(settings: Settings) -> Pages:
    return Pages(settings)


def test_what_the_metadata_names_is_served(settings: Settings, pages: Pages) -> None:
    shown = str(plot(settings, TOY, b"\x89PNG first", "a title").value)
    assert plot(settings, TOY, b"\x89PNG first", "a title").value == shown
    address = shown.rpartition("(")[2].removesuffix(")")
    assert shown == f"[![a title]({address})]({address})"
    assert len(shown) < 1000, "longer Markdown is hidden behind a button"
    answer = pages.get(address)
    assert (answer.content, answer.headers["content-type"]) == (b"\x89PNG first", "image/png")
    assert [path.parent.name for path in settings.plots.rglob("*.png")] == ["toy"]


def test_a_report_is_served_and_may_load_nothing(settings: Settings, pages: Pages) -> None:
    address = str(page(settings, TOY, "<p>said</p>", "open").value).rpartition("(")[2][:-1]
    answer = pages.get(address)
    assert (answer.text, answer.headers["content-type"]) == (
        "<p>said</p>", "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_plot_of_before_there_were_folders_is_served(settings: Settings, pages: Pages) -> None:
    """Metadata of earlier runs names it."""
    name = "0123456789abcdef" * 2 + ".png"
    settings.plots.mkdir(parents=True)
    (settings.plots / name).write_bytes(b"\x89PNG old")
    assert pages.get(f"{PLOTS_PATH}{name}").content == b"\x89PNG old"


@pytest.mark.parametrize("name", [
    "0" * 32 + ".png", "toy/" + "0" * 32 + ".png", "toy/../tokens.json", "toy/toy/" + "0" * 32,
    "../tokens.json", "%2e%2e/tokens.json", "", ".png", "0" * 32 + ".png/x",
    "A" * 32 + ".png", "/etc/passwd", "..%2ftokens.json",
])
def test_nothing_else_is_served(name: str, settings: Settings, pages: Pages) -> None:
    plot(settings, TOY, b"\x89PNG first", "a title")
    Path(settings.var / "tokens.json").write_text("secret")
    answer = pages.get(f"{PLOTS_PATH}{name}")
    assert answer.status_code == 404 or answer.text == "a page"


def test_other_pages_are_as_before(pages: Pages) -> None:
    assert pages.get("/assets").text == "a page"
