"""The changelog keeps its form: Keep a Changelog 1.1."""

from __future__ import annotations

import re

import pytest

from ml_assets import __version__
from ml_assets.core.settings import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
VERSIONS = re.findall(r"^## \[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d$", CHANGELOG, re.MULTILINE)
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def test_unreleased_comes_first_and_versions_follow_newest_first() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert len(headings) == 1 + len(VERSIONS)
    numbers = [tuple(int(part) for part in version) for version in VERSIONS]
    assert numbers == sorted(numbers, reverse=True)


def test_the_newest_version_is_the_package() -> None:
    assert ".".join(VERSIONS[0]) == __version__


@pytest.mark.parametrize("section", re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:])
def test_a_version_names_each_kind_of_change_once_and_in_order(section: str) -> None:
    kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
    assert kinds == [kind for kind in KINDS if kind in kinds]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", CHANGELOG))))
def test_every_link_leads_to_a_file(path: str) -> None:
    assert (ROOT / path).exists()
