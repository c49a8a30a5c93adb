"""`ml-assets rollout` teaches, says what came of a change, and answers mistakes in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from ml_assets import rollout_cli
from ml_assets.cli import main
from ml_assets.core.settings import Settings
from ml_assets.core.storage.marker import change_notes
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from tests.places import file_of
from tests.serving.kit import Toy, serving

AT = datetime(2024, 1, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Four registered versions of `spam` whose files say nothing."""
    settings = Settings(var=tmp_path_factory.mktemp("installation") / "var")
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.json").write_text("{}")
    for _ in range(4):
        ModelRegistry(settings).register("spam", folder, params={}, metrics={}, tags={})
    return settings


@pytest.fixture
def deployments(installation: Settings) -> Iterator[Deployments]:
    """A fresh record each time; version 1 is the champion."""
    record = Deployments(installation.deployments)
    record.promote("spam", 1, reason="the first", by="a run", at=AT)
    yield record
    file_of(installation.deployments).unlink()
    change_notes(installation.var, drop=(file_of(installation.deployments).name,))


def run(settings: Settings, command: str, port: int = 9) -> Result:
    """Port 9 is `discard`: no API answers there."""
    environment = {"ML_ASSETS_VAR": str(settings.var), "ML_ASSETS_PORT": str(port)}
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)]
    return CliRunner().invoke(main, ["rollout", *words], env=environment)


def said(settings: Settings, command: str, port: int = 9) -> str:
    result = run(settings, command, port)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_version_s_way_into_traffic_and_out_is_one_record_a_step(
    installation: Settings, deployments: Deployments
) -> None:
    registry = ModelRegistry(installation)
    steps = [
        ('shadow spam 2 --reason "look first"', "version 1 answers 100%, shadow 2", 2),
        ("canary spam 2 5% --reason fine --by ann", "version 1 answers 95%, version 2 5%", 2),
        ("canary spam 3 0.1 --reason A/B", "version 1 answers 85%, version 2 5%, version 3 10%", 3),
        ("promote spam 3 --reason better", "version 3 answers 95%, version 2 5%", 2),
        ("rollback spam --reason complaints",
         "version 1 answers 85%, version 2 5%, version 3 10%", 3),
        ("canary spam 3 0 --reason enough", "version 1 answers 95%, version 2 5%", 2),
        ("shadow spam 4 --reason look", "version 1 answers 95%, version 2 5%, shadow 4", 2),
        ("shadow spam 4 --stop --reason seen", "version 1 answers 95%, version 2 5%", 2),
        ("promote spam 2 --alone --reason done", "version 2 answers 100%", None),
    ]
    for number, (command, expected, challenger) in enumerate(steps, 2):
        assert f"spam: {expected} (before: " in said(installation, command)
        history = deployments.history("spam")
        assert (len(history), history[-1].id) == (number, number)
        assert registry.aliased("spam", "challenger") == challenger
        assert registry.aliased("spam", "champion") == history[-1].version
    assert history[2].by == "ann"
    assert history[1].reason == "look first"


def test_status_shows_everyone_since_when_by_whom_and_why(
    installation: Settings, deployments: Deployments
) -> None:
    deployments.canary("spam", 2, 0.1, reason="looks right", by="ann", at=AT)
    deployments.shadow("spam", 3, reason="look first", by="bob", at=AT)
    deployments.canary("spam", 2, 0.2, reason="more of it", by="ann", at=AT)
    lines = said(installation, "status spam").splitlines()
    assert [line[:13].strip() for line in lines] == [
        "spam", "champion", "challenger", "shadow", "record", "", "", "", "API",
    ]
    for place, expected in enumerate([
        "spam",
        "version 1 answers 80%, since 2024-01-08 00:00 by a run: the first",
        "version 2 answers 20%, since 2024-01-08 00:00 by ann: looks right",
        "version 3, since 2024-01-08 00:00 by bob: look first",
        "4. 2024-01-08 00:00 canary by ann: more of it -> version 1 answers 80%, version 2 20%",
    ]):
        assert expected in lines[place]
    assert "nothing answers at http://127.0.0.1:9" in lines[-1]


def test_without_a_champion_status_says_how_to_get_one(settings: Settings) -> None:
    assert "`ml-assets run spam` trains and promotes one" in said(settings, "status spam")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("status spamm", "there is no system 'spamm'. Closest: spam, shop."),
        ("promote spam 7 --reason x", "no version of model 'spam' '7'. Known: 1, 2, 3, 4"),
        ("promote spam 2", "Missing option '--reason'"),
        ('promote spam 2 --reason " "', "give the reason in a sentence"),
        ("promote spam two --reason x", "'two' is not a valid integer"),
        ("canary spam 2 10 --reason x", "'10' is more than all the traffic; did you mean 10%?"),
        ("canary spam 2 some --reason x", "'some' is not a share; write it as 5% or 0.05"),
        ("canary spam 2 60% --reason x", "the share is 0.6; expected more than 0 and at most 0.5"),
        ("canary spam 1 5% --reason x", "version 1 is the champion"),
        ("canary spam 2 0 --reason x", "version 2 has no traffic; challengers: none"),
        ("shadow spam 2 --stop --reason x", "version 2 is no shadow; shadows: none"),
        ("rollback spam --reason x", "no earlier deployment to go back to: version 1 is the first"),
    ],
)
def test_a_mistake_is_answered_in_words_and_records_nothing(
    installation: Settings, deployments: Deployments, command: str, answer: str
) -> None:
    result = run(installation, command)
    assert result.exit_code in (1, 2)
    assert answer in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert len(deployments.history("spam")) == 1


def test_what_is_so_already_is_said_and_recorded_once(
    installation: Settings, deployments: Deployments
) -> None:
    for expected in ("version 1 answers 95%", "nothing to change, version 1 answers 95%"):
        assert expected in said(installation, "canary spam 2 5% --reason fine")
    assert len(deployments.history("spam")) == 2


def test_a_change_is_in_force_also_where_mlflow_cannot_follow(
    installation: Settings, deployments: Deployments, tmp_path: Path
) -> None:
    """In an emergency MLflow may be what is broken."""
    deployments.promote("spam", 2, reason="better", by="a run", at=AT)
    broken = Settings(var=tmp_path / "var")
    broken.var.mkdir()
    file_of(installation.deployments).rename(file_of(broken.deployments))
    (broken.var / "mlflow").mkdir()
    (broken.var / "mlflow" / "mlflow.sqlite").write_text("this is no database" * 100)
    try:
        result = run(broken, "rollback spam --reason emergency")
        assert result.exit_code == 0
        assert "spam: version 1 answers 100% (before: version 2 answers 100%)" in result.output
        assert "MLflow's aliases `champion` and `challenger` could not follow" in result.output
    finally:
        file_of(broken.deployments).rename(file_of(installation.deployments))


def test_it_says_what_the_api_has_loaded_and_what_it_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that cannot be loaded is told to whoever has just put it in traffic."""
    monkeypatch.setattr("ml_assets.registry.models.ModelRegistry.get", lambda *_: None)
    monkeypatch.setattr("ml_assets.registry.aliases.follow", lambda *_: None)
    toy = Toy(settings=settings)
    toy = replace(toy, system=replace(toy.system, name="spam"))
    toy.deploy(1)
    with serving(toy) as api:
        port = httpx.URL(str(api.base_url)).port
        assert port is not None
        assert "has loaded champion 1" in said(settings, "status spam", port)
        assert "has loaded champion 1, challenger 2" in said(
            settings, "canary spam 2 5% --reason fine", port)
        refused = said(settings, "shadow spam 3 --reason look", port)
        assert "has loaded champion 1, challenger 2; shadow 3 is REFUSED: ModelRefused" in refused


def test_an_api_of_another_installation_is_not_believed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_cli, "FOLLOW_SECONDS", 0.3)
    monkeypatch.setattr("ml_assets.registry.aliases.follow", lambda *_: None)
    toy = Toy(settings=Settings(var=tmp_path / "other"))
    toy = replace(toy, system=replace(toy.system, name="spam"))
    toy.deploy(1)
    deployments = Deployments(settings.deployments)
    for version in (1, 2):
        deployments.promote("spam", version, reason="r", by="b", at=AT)
    with serving(toy) as api:
        port = httpx.URL(str(api.base_url)).port
        assert port is not None
        answer = said(settings, "rollback spam --reason worse", port)
    assert f"has not followed yet (is its ML_ASSETS_VAR {settings.var}?)" in answer


def test_the_help_shows_the_way_of_a_version() -> None:
    helped = CliRunner().invoke(main, ["rollout", "--help"]).output
    for step in ("shadow   <system> 7", "canary   <system> 7 5%", "promote  <system> 7",
                 "rollback <system>"):
        assert f"ml-assets rollout {step}" in helped
