"""What the README says is there, is there."""

from __future__ import annotations

import re

import click
import pytest

from ml_assets.cli import main
from ml_assets.core.settings import ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)`|^\$ make (\w+)", README,
                                                         re.MULTILINE))))
def test_every_make_target_that_the_readme_names_exists(target: tuple[str, str]) -> None:
    """A newcomer types what is written."""
    assert re.search(rf"^{''.join(target)}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"ml-assets ([a-z]+)", README))))
def test_every_command_that_the_readme_names_exists_and_explains_itself(name: str) -> None:
    """`--help` teaches."""
    command = main.commands[name]
    assert len(command.get_help(click.Context(command))) > 150


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_every_link_of_the_readme_leads_somewhere(path: str) -> None:
    """Relative links are files of this repository."""
    assert (ROOT / path).exists()


def test_the_readme_lists_every_room() -> None:
    """The tree in the README is the tree on disk."""
    rooms = {path.name for path in (ROOT / "ml_assets").iterdir()
             if path.is_dir() and any(path.glob("*.py"))}
    assert rooms == set(re.findall(r"^  (\w+)/ ", README, re.MULTILINE))


def test_every_make_target_is_explained_by_make_help() -> None:
    """`make` alone shows what there is."""
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z]+):.*##", MAKEFILE, re.MULTILINE))
