"""A mistake on the command line is answered in words: what was found, what was expected."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from ml_assets.automation.instance import alone
from ml_assets.cli import main
from ml_assets.core.settings import Settings


@pytest.fixture
def command_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("ML_ASSETS_VAR", str(settings.var))
    return CliRunner()


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["run", "spamm"], "there is no system 'spamm'. Closest: spam."),
        (["status", "spamm"], "there is no system 'spamm'. Closest: spam."),
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


def test_a_second_replay_of_one_installation_is_refused(
    command_line: CliRunner, settings: Settings
) -> None:
    """Two at once would move one clock; the first goes on undisturbed."""
    with alone(settings):
        result = command_line.invoke(main, ["run", "spam"])
    assert result.exit_code == 1
    assert "another `ml-assets run` is using" in result.output
