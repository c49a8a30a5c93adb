"""The pages that people read, in pieces that a test can hold against the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ml_assets.cli import main
from ml_assets.core.settings import ROOT

PAGES: dict[str, str] = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
    if path.name != "tutorial.md"
}
"""All but the tutorial, which is of a system of its own; `test_tutorial.py` runs it."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A command as a page shows it, joined into one line, and the lines that follow it."""

    page: str
    command: str
    output: str

    @property
    def words(self) -> list[str]:
        """The command's words, without variables before it and pipes after it."""
        words = shlex.split(self.command, comments=True)
        while re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        return words[: words.index("|")] if "|" in words else words


def shown(page: str) -> list[Shown]:
    """Every command of the page's console blocks, and the unlabelled blocks' lines."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, output = typed(part)
            found.append(Shown(page=page, command=command, output=output))
    return found


def code(page: str) -> list[str]:
    """What the page sets in back-ticks within its text."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", PAGES[page],
                                                       flags=re.MULTILINE | re.DOTALL))


def relative(page: str, link: str) -> Path:
    """The file to which a relative link of the page leads."""
    return (ROOT / page).parent / link


def typed(part: str) -> tuple[str, str]:
    """A command goes on while a line ends in a backslash or a quote is open."""
    lines = part.splitlines()
    for end in range(1, len(lines) + 1):
        command = "\n".join(lines[:end])
        if command.endswith("\\"):
            continue
        try:
            shlex.split(command, comments=True)
        except ValueError:
            continue
        return command.replace("\\\n", " "), "\n".join(lines[end:]).strip()
    raise ValueError(f"a quote stays open in {part!r}")


def require_valid(arguments: Sequence[str]) -> None:
    """Raise click's error unless `ml-assets` takes these arguments."""
    command: click.Command = main
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        if name not in command.commands:
            raise click.UsageError(f"there is no command {name!r}")
        command = command.commands[name]
    if rest and "--help" not in rest and "-h" not in rest:
        command.make_context(command.name, rest)
