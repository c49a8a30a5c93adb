"""The README works as written: a newcomer copies from it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dagster_feast
from dagster_feast import DagsterFeastTranslator
from dagster_feast.selection import KINDS

ROOT = Path(dagster_feast.__file__).parents[1]
PAGE = (ROOT / "README.md").read_text()
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL))

EXPECTED = {name.removesuffix(".out"): text.splitlines() for name, text in FILES.items()
            if name.endswith(".out")}
"""What each example prints at its end."""


@pytest.mark.slow
def test_the_example_loads_and_is_read_back_as_the_page_says(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "DAGSTER_HOME": "", "PYTHONWARNINGS": "ignore",
    }
    # One process for all examples, because each would import Feast.
    (tmp_path / "try_all.py").write_text(
        "".join(f"import {name}\nprint('--')\n" for name in EXPECTED))
    done = subprocess.run([sys.executable, "try_all.py"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = [part.strip().splitlines() for part in done.stdout.split("--\n")[:-1]]
    assert len(printed) == len(EXPECTED) >= 4
    for lines, expected in zip(printed, EXPECTED.values(), strict=True):
        # Feast prints before.
        assert lines[-len(expected):] == expected


def test_every_example_is_valid_python() -> None:
    for name, text in FILES.items():
        if name.endswith(".py"):
            ast.parse(text, name)


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
    links = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert links
    assert set(links) <= anchors


def test_the_page_names_every_question_of_the_translator() -> None:
    methods = {name for name in vars(DagsterFeastTranslator) if name.startswith("get_")}
    assert methods - set(re.findall(r"`(get_\w+)`", PAGE)) == set()


def test_the_page_names_every_kind_of_a_selection() -> None:
    (row,) = re.findall(r"^\| `kind:KIND` \| (.*) \|$", PAGE, re.MULTILINE)
    assert tuple(re.findall(r"`(\w+)`", row)) == KINDS
