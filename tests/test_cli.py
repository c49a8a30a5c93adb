"""A mistake on the command line is answered in words: what was found, what was expected."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys

import click
import httpx
import pytest
from click.testing import CliRunner

from ml_assets.cli import main
from ml_assets.core.errors import DeclarationError, NotReady
from ml_assets.core.runtime.locks import alone
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.systems import SYSTEMS
from tests.meter import METER
from tests.toy import TOY


@pytest.fixture
def command_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("ML_ASSETS_VAR", str(settings.var))
    return CliRunner()


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["run", "spamm"], "there is no system 'spamm'. Closest: spam, shop."),
        (["status", "spamm"], "there is no system 'spamm'. Closest: spam, shop."),
        (["explain", "nothing"], "there is no prediction 'nothing'"),
        (["run", "spam", "--days", "0"], "0 is not in the range x>=1"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: list[str], answer: str, command_line: CliRunner
) -> None:
    """One message and no traceback."""
    result = command_line.invoke(main, arguments)
    assert result.exit_code in (1, 2)
    assert answer in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        ("ML_ASSETS_PORT", "http", "ML_ASSETS_PORT is 'http'; expected a port"),
        ("ML_ASSETS_ACK", "fsync", "ML_ASSETS_ACK is 'fsync'; expected process or disk"),
    ],
)
def test_a_wrong_setting_is_named(
    name: str, value: str, answer: str, command_line: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings come from the environment, where a typing mistake is easy."""
    monkeypatch.setenv(name, value)
    result = command_line.invoke(main, ["serve"])
    assert result.exit_code == 1
    assert answer in result.output


def test_systems_are_run_one_after_the_other_and_one_that_fails_stops_none(
    command_line: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def run_loop(systems: list[System], *_: object, fresh: bool, days: int | None) -> None:
        [name] = [system.name for system in systems]
        ran.append((name, fresh, days))
        if name == "toy":
            raise NotReady("no model passed its gates")

    monkeypatch.setattr("ml_assets.replay.run.run_loop", run_loop)
    monkeypatch.setattr("ml_assets.systems.SYSTEMS", (TOY, METER))
    monkeypatch.setattr("ml_assets.systems.BROKEN", {"trips": "SyntaxError: invalid syntax"})
    result = command_line.invoke(main, ["run", "trips", "toy", "meter", "toy", "--days", "2"])
    assert result.exit_code == 1
    assert ran == [("toy", False, 2), ("meter", False, 2)]
    assert "Error: trips: the declaration of 'trips' is broken: SyntaxError" in result.output
    assert "Error: toy: no model passed its gates" in result.output
    assert result.output.endswith("trips: failed, see above\ntoy: failed, see above\nmeter: done\n")
    assert command_line.invoke(main, ["run", "meter"]).exit_code == 0
    alone = command_line.invoke(main, ["run", "toy"])
    assert alone.exit_code == 1 and alone.output == "Error: no model passed its gates\n"
    unnamed = command_line.invoke(main, ["run"])
    assert unnamed.exit_code == 2 and "one or more of: toy, meter, trips" in unnamed.output


def test_the_only_system_need_not_be_named(
    command_line: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr("ml_assets.replay.run.run_loop",
                        lambda systems, *_, **__: ran.append(systems[0].name))
    monkeypatch.setattr("ml_assets.systems.BROKEN", {})
    monkeypatch.setattr("ml_assets.systems.SYSTEMS", ())
    none = command_line.invoke(main, ["run"])
    assert none.exit_code == 2 and "see `ml-assets new --help`" in none.output
    monkeypatch.setattr("ml_assets.systems.SYSTEMS", (METER,))
    assert command_line.invoke(main, ["run"]).exit_code == 0
    assert ran == ["meter"]


def test_the_status_of_one_system_hides_no_others(
    command_line: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(system: System, settings: Settings) -> None:
        if system is TOY:
            raise DeclarationError("the features of 'toy' are broken")
        click.echo(f"{system.name} stands")

    monkeypatch.setattr("ml_assets.replay.status.print_status", damaged)
    monkeypatch.setattr("ml_assets.systems.SYSTEMS", (TOY, METER))
    monkeypatch.setattr("ml_assets.systems.BROKEN", {"trips": "SyntaxError: invalid syntax"})
    result = command_line.invoke(main, ["status"])
    assert result.exit_code == 1
    for said in ("toy: the features of 'toy' are broken", "meter stands",
                 "trips: its declaration is broken: SyntaxError"):
        assert said in result.output


def test_a_second_replay_of_one_system_is_refused(
    command_line: CliRunner, settings: Settings
) -> None:
    """Two at once would move one clock; the first goes on undisturbed."""
    with alone(settings, "spam"):
        result = command_line.invoke(main, ["run", "spam"])
    assert result.exit_code == 1
    assert "another `ml-assets run spam` is using" in result.output


def test_an_empty_installation_is_served_and_says_in_one_line_what_it_lacks(
    settings: Settings
) -> None:
    """It used to begin with a traceback, and then to work."""
    environment = {**os.environ, "ML_ASSETS_VAR": str(settings.var)}
    server = subprocess.Popen(
        [sys.executable, "-m", "ml_assets.cli", "serve", "--port", "0"], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        said = server.stdout.readline()
        found = re.search(r"http://[0-9.]+:[0-9]+", said)
        assert found is not None, said
        assert httpx.get(f"{found[0]}/healthz").status_code == 200
        unready = httpx.get(f"{found[0]}/readyz")
        assert unready.status_code == 503
        assert any("no model of 'spam' is deployed" in each for each in unready.json()["problems"])
    finally:
        server.terminate()
        logged = server.communicate(timeout=30)[1]
    lines = logged.splitlines()
    assert "Traceback" not in logged
    for system in SYSTEMS:
        about = f"{system.name}: the feature store"
        assert sum(about in line for line in lines) <= 1, logged
    assert len(lines) <= len(SYSTEMS) + 1, logged


def test_a_server_that_cannot_use_its_folder_does_not_start(settings: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ml_assets.cli", "serve", "--port", "0"], text=True, check=False,
        env={**os.environ, "ML_ASSETS_VAR": "/proc/nope"}, capture_output=True)
    assert done.returncode == 1 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "/proc/nope" in line and "Set ML_ASSETS_VAR to a folder that can be created" in line


def test_an_error_of_a_library_that_reads_the_files_is_no_traceback(
    command_line: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a damage inside of a file, which only reading it all would find."""
    def fail(*_: object, **__: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr("ml_assets.replay.status.print_status", fail)
    result = command_line.invoke(main, ["status"])
    assert result.exit_code == 1
    assert "malformed" in result.output and "`ml-assets doctor` says which" in result.output
    assert len(result.output.strip().splitlines()) == 1
