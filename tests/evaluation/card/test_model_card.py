"""A model card says what is known of a version, of whatever kind, and nothing that is not."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from click.testing import CliRunner

from ml_assets import version_cli
from ml_assets.core.errors import NotReady, UnknownName
from ml_assets.core.model import FullBatch
from ml_assets.core.policies import Slice
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.evaluation import assets as evaluation
from ml_assets.evaluation.card.publishing import WrittenCard, published, refreshed, written
from ml_assets.evaluation.run import evaluate_candidate
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.training.run import train
from tests.made_sets import stored
from tests.tickets import TICKETS
from tests.toy import TOY
from tests.tracks import TRACKS
from tests.training.registered import history_of
from tests.trips import TRIPS

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
REASON = "it | <b>is</b> [better](http://evil.example)"
SYSTEMS = {system.target.kind: system for system in (
    replace(
        TOY, model=replace(TOY.model, fit=FullBatch(iterations=20, half_life=timedelta(days=3))),
        slices=(Slice(name="cheap", where="amount < 50", description="up to 50"),
                Slice(name="dear", where="amount > 1e6", description="none"))),
    TICKETS, TRIPS, replace(TRACKS, slices=()))}


class Cards:
    """Two versions of each kind of system: one in force, one judged beside it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry, self.deployments = ModelRegistry(settings), Deployments(settings.deployments)
        self.sets = {system.name: history_of(system) for system in SYSTEMS.values()}

    def make(self, system: System) -> WrittenCard:
        if self.registry.latest(system.name) is None:
            for version in (1, 2):
                train(system, self.sets[system.name], self.registry,
                      tags={"dagster_run_id": "run", "git_commit": "0123abc"})
                evaluate_candidate(
                    system, self.sets[system.name], self.registry, self.deployments)
                if version == 1:
                    self.deployments.promote(
                        system.name, 1, reason=REASON, by="<ann>", at=AT)
        return written(system, self.settings, 2)


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Cards:
    return Cards(Settings(var=tmp_path_factory.mktemp("cards") / "var"))


@pytest.fixture(autouse=True)
def _stored(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingSets, "load", lambda self, version: cards.sets[self.system.name])


class Elements(HTMLParser):
    """What a page consists of, and where its tags are left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "circle", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("circle", "line"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_instants_and_spans_are_told_as_people_do(system: System, cards: Cards) -> None:
    """No `2024-05-19T23:36:00+00:00`, no `10:00:00`, no `P28D`: minutes in UTC, and `10 hours`."""
    text = Elements(cards.make(system).page).text
    assert re.search(r"\dT\d\d:|\d:\d\d:\d\d|\bPT?\d", text) is None
    assert re.search(r"knows nothing from\s*\d{4}-\d\d-\d\d \d\d:\d\d UTC on", text)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_a_page_needs_nothing_but_itself(system: System, cards: Cards) -> None:
    """No script, nothing from elsewhere, every tag closed; and small enough for an asset's page."""
    page = cards.make(system).page
    found = Elements(page)
    assert not found.open
    assert not {"script", "link", "iframe"} & found.tags
    assert all(re.match(r"data:image/png;base64,|#s\d$", link) for link in found.links)
    assert len([link for link in found.links if link.startswith("data:")]) == 4
    assert len(page) < 300_000


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_a_card_says_what_a_reader_asks(system: System, cards: Cards) -> None:
    card = cards.make(system)
    for text in (Elements(card.page).text, card.markdown.replace("\\", "")):
        assert system.description in text and system.owners[0] in text
        for metric in system.target.metrics:
            assert metric.replace("_", " ") in text
        for said in ("Limits", "version 1, the champion then", "0123abc", "torch", "seed",
                     f"ml-assets reproduce {system.name} 2", "the best constant answer",
                     "candidate, without a trial so far", "It was judged on", "of_store"):
            assert said in text, said
        assert not re.search(r"\bnan\b|None|Traceback", text), "what is unknown is said in words"


def test_what_is_too_small_to_judge_and_has_no_interval_is_a_limit(cards: Cards) -> None:
    text = Elements(cards.make(SYSTEMS["binary"]).page).text
    assert "Slice dear is too small to judge: 0 rows" in text
    assert "calibration_error: any sample overstates it" in text
    assert "fewer than 5 false alarms" in text
    assert "log loss of version 2 (red) and version 1 (blue)" in text, "slices are drawn"


def test_rows_that_fade_are_said_to_count_less(cards: Cards) -> None:
    text = Elements(cards.make(SYSTEMS["binary"]).page).text
    assert "fit.half_life3 days" in text
    counted = re.search(r"rows count togetheras much as ([\d,]+) that count the same", text)
    assert counted is not None and 0 < int(counted.group(1)) < 240
    assert "rows count together" not in cards.make(TICKETS).markdown


def test_feedback_that_silence_completes_is_a_limit(cards: Cards) -> None:
    assert "Feedback is partial" in cards.make(TICKETS).markdown
    assert "Feedback is partial" not in cards.make(TRIPS).markdown
    assert "Only what was shown has an outcome" in cards.make(SYSTEMS["ranking"]).markdown


def test_words_of_people_stay_words(cards: Cards) -> None:
    cards.make(TICKETS)
    card = written(TICKETS, cards.settings, 1)
    found = Elements(card.page)
    assert REASON in found.text and "b" not in found.tags
    assert "http://evil.example" not in found.links
    assert "it \\| &lt;b&gt;is&lt;/b&gt; \\[better\\]" in card.markdown
    tables = [line for line in card.markdown.splitlines() if line.startswith("|")]
    heads = [at for at, line in enumerate(tables) if set(line) <= set("| -")]
    assert len(heads) >= 6
    for at in heads:
        for line in (tables[at - 1], tables[at + 1]):
            assert len(re.findall(r"(?<!\\)\|", line)) == tables[at].count("|")


def test_the_card_follows_what_becomes_of_a_version(cards: Cards) -> None:
    system = SYSTEMS["number"]
    cards.make(system)
    cards.deployments.canary(system.name, 2, 0.1, reason="its turn", by="tests", at=AT)
    (card,) = refreshed(system, cards.settings, AT)[-1:]
    assert card.version == 2 and "challenger, 10%, since 2026-11-01 08:00" in card.page
    folder = ModelRegistry(cards.settings)._stored(system.name, 2, "card")
    assert folder is not None
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "report.html": card.page, "model_card.md": card.markdown}
    assert refreshed(system, cards.settings, datetime(2026, 11, 2, tzinfo=UTC)) == []


def test_what_is_gone_is_said(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.make(TICKETS)

    def gone(self: TrainingSets, version: str) -> None:
        raise UnknownName("there is no training set 'v1'")

    monkeypatch.setattr(TrainingSets, "load", gone)
    card = published(TICKETS, cards.settings, 2)
    assert "Its training set v1 cannot be read: there is no training set" in card.page
    with pytest.raises(UnknownName, match="there is no version of model"):
        written(TICKETS, cards.settings, 9)
    with pytest.raises(NotReady, match="has no model yet"):
        written(replace(TICKETS, name="nobody"), cards.settings)


def test_the_asset_shows_it(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.make(TICKETS)
    made = cards.sets["tickets"]
    told = pd.read_parquet(made.path).assign(known_at=pd.Timestamp(AT))
    monkeypatch.setattr(TrainingSets, "latest", lambda self: replace(made, path=stored(told)))
    result = dg.materialize(evaluation.build(TICKETS), resources={"settings": cards.settings})
    metadata = result.asset_materializations_for_node("tickets__evaluation")[0].metadata
    assert str(metadata["model_card"].value).startswith("# Model card: tickets, version 2")
    link = re.fullmatch(r"\[open the report on version 2\]\(/plots/(tickets/[0-9a-f]{32}\.html)\)",
                        str(metadata["report"].value))
    assert link is not None
    assert (cards.settings.plots / link[1]).read_text().startswith("<!doctype html>")


def test_the_command_writes_the_champions(
    cards: Cards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards.make(TICKETS)
    monkeypatch.setattr("ml_assets.systems.find", lambda name: TICKETS)
    monkeypatch.setattr(version_cli, "opened", lambda: cards.settings)
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(version_cli.report, ["tickets"])
    assert answer.output.strip() == str(tmp_path / "tickets-1.html")
    assert "tickets, version 1" in (tmp_path / "tickets-1.html").read_text()
    answer = CliRunner().invoke(version_cli.report, ["tickets", "2", "--markdown"])
    assert answer.output.startswith("# Model card: tickets, version 2\n")
