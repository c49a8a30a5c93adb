"""The platform has tenants: no room knows a system, or a word of its trade."""

from __future__ import annotations

import json
import re

import pytest
from click import Command, Context, Group

from ml_assets.cli import main
from ml_assets.core.settings import ROOT
from ml_assets.systems import REFERENCE, find

HOUSE = ROOT / "ml_assets"
OF_MAIL = ("mail", "mailbox", "inbox", "recipient", "ham", "phishing")
FILES = sorted(path for path in HOUSE.rglob("*") if path.suffix in (
    ".py", ".html", ".yaml", ".toml", ".js", ".css", ".txt") and not any(
    path.is_relative_to(HOUSE / "systems" / name) for name in REFERENCE))
TABLE_OF_CONTENTS = {HOUSE / "systems" / "__init__.py":
                     f"REFERENCE = ({', '.join(map(json.dumps, REFERENCE))})"}
"""The one line that names the reference systems."""


def words() -> re.Pattern[str]:
    """What the reference systems are called, and what they are about; no `e-mail`, and not what
    rich calls `console.is_terminal`.
    """
    named = [name for system in map(find, REFERENCE) for name in (
        system.name, system.target.name, system.feature_service, *system.keys)]
    found = "|".join([*OF_MAIL, *named])
    return re.compile(rf"(?<!e-)(?<!\.is_)(?<![a-z])({found})s?(?![a-z])", re.I)


def test_the_files_of_the_platform_name_no_system_and_no_word_of_its_trade() -> None:
    """Neither code nor templates, help, errors and comments."""
    assert len(FILES) > 300
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words().search(line) and line.strip() != TABLE_OF_CONTENTS.get(path)
    ]
    assert found == []


@pytest.mark.parametrize("line", [
    "a key to everyone's mail", "lake.spam.outcomes", "IS_SPAM = 1", "sender_mail", "The sender's",
    "consume films clicks",
])
def test_the_words_are_found_wherever_they_stand(line: str) -> None:
    assert words().search(line)


@pytest.mark.parametrize("line", [
    "an e-mail address", "hamming", "email", "a sent event", "console.is_terminal",
])
def test_other_words_are_not(line: str) -> None:
    assert not words().search(line)


def commands(group: Group, name: str = "ml-assets") -> dict[str, Command]:
    found: dict[str, Command] = {name: group}
    for each, command in group.commands.items():
        path = f"{name} {each}"
        found |= commands(command, path) if isinstance(command, Group) else {path: command}
    return found


@pytest.mark.parametrize(("name", "command"), commands(main).items())
def test_no_help_speaks_of_a_system(name: str, command: Command) -> None:
    text = command.get_help(Context(command, info_name=name))
    assert not words().search(text), words().search(text)
