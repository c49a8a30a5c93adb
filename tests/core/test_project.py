"""A project: where somebody's own systems live."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.project import PACKAGED_REPO, ROOT, Project, project, read_project
from ml_assets.core.settings import Settings
from ml_assets.systems import REFERENCE

PLAIN = "[tool.ml_assets]\n"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in no project; what is found is forgotten afterwards."""
    monkeypatch.delenv("ML_ASSETS_PROJECT", raising=False)
    monkeypatch.delenv("ML_ASSETS_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)
    project.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    project.cache_clear()


def said(folder: Path, text: str = PLAIN) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_a_project_is_found_from_any_folder_below_it(elsewhere: Path) -> None:
    shop = said(elsewhere / "shop")
    (shop / "systems" / "returns").mkdir(parents=True)
    os.chdir(shop / "systems" / "returns")
    assert project() == Project(folder=shop, reference=())
    assert Settings().var == shop / "var"
    assert Settings().cache == shop / "var" / "cache"


def test_a_pyproject_of_something_else_is_no_project(elsewhere: Path) -> None:
    said(elsewhere / "other", "[tool.ruff]\n")
    assert read_project(elsewhere / "other") is None


def test_the_environment_names_a_project_from_anywhere(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(elsewhere / "near")
    far = said(elsewhere / "far")
    monkeypatch.chdir(elsewhere / "near")
    monkeypatch.setenv("ML_ASSETS_PROJECT", "../far")
    assert project().folder == far


@pytest.mark.parametrize("named", ["", "nothing"])
def test_a_project_that_is_none_is_refused(
    named: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_PROJECT", named)
    with pytest.raises(DeclarationError, match=r"which is no project: .*ml-assets init"):
        project()


def test_a_checkout_is_the_project_of_whoever_stands_in_none(elsewhere: Path) -> None:
    assert project() == Project(folder=ROOT, reference=REFERENCE)


def test_without_checkout_the_working_directory_gets_the_reference_systems(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_assets.core.project.ROOT", elsewhere / "site-packages")
    here = project()
    assert here == Project(folder=elsewhere)
    assert here.reference is None
    assert here.feature_repo == PACKAGED_REPO


@pytest.mark.parametrize(("text", "complaint"), [
    ("[tool.ml_assets]\nreferense = []\n", "'referense', which nothing .*Closest: 'reference'"),
    ("[tool.ml_assets]\nreference = 'spam'\n", "expected a list of names"),
    ("[tool]\nml_assets = 1\n", "expected a table"),
    ("[tool", "is no TOML"),
])
def test_nonsense_is_named(text: str, complaint: str, elsewhere: Path) -> None:
    said(elsewhere / "shop", text)
    with pytest.raises(DeclarationError, match=complaint):
        read_project(elsewhere / "shop")


def test_the_repository_in_the_package_is_that_of_the_checkout() -> None:
    """Whoever installs the wheel gets what is tested here."""
    names = ("definitions.py", "feature_store.yaml")
    assert all((PACKAGED_REPO / name).read_text() == (ROOT / "feature_repo" / name).read_text()
               for name in names)


SYSTEM = """\
from dataclasses import replace

from tests.toy import TOY

{declares}
"""


def listed(folder: Path, **declared: str) -> subprocess.CompletedProcess[str]:
    """The names of the systems that a project's processes see."""
    said(folder)
    for name, declares in declared.items():
        (folder / "systems" / name).mkdir(parents=True)
        (folder / "systems" / name / "__init__.py").write_text(SYSTEM.format(declares=declares))
    return subprocess.run(
        [sys.executable, "-c", "from ml_assets.systems import SYSTEMS, find\n"
         "print([each.name for each in SYSTEMS]); find('retruns')"],
        cwd=folder, env={**os.environ, "PYTHONPATH": f"{ROOT}"}, capture_output=True, text=True,
        check=False,
    )


def test_the_systems_of_a_project_are_its_packages(tmp_path: Path) -> None:
    done = listed(tmp_path / "shop", returns="RETURNS = replace(TOY, name='returns')",
                  fraud="FRAUD = replace(TOY, name='fraud')")
    assert done.stdout == "['fraud', 'returns']\n"
    assert "there is no system 'retruns'. Closest: returns" in done.stderr


def test_a_project_without_systems_says_how_to_get_one(tmp_path: Path) -> None:
    done = listed(tmp_path / "shop")
    assert done.stdout == "[]\n"
    assert "declares none: see `ml-assets new --help`" in done.stderr


def test_a_package_that_declares_another_name_is_refused(tmp_path: Path) -> None:
    done = listed(tmp_path / "shop", retruns="RETURNS = replace(TOY, name='returns')")
    assert done.stdout == "[]\n"
    assert "'retruns' is broken: " in done.stderr
    assert "declares the systems ['returns', 'toy']; expected one called 'retruns'" in done.stderr


@pytest.mark.parametrize(("declares", "reason"), [
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("RETRUNS =", "SyntaxError: invalid syntax"),
    ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ("RETRUNS = replace(TOY, name='retruns', sticky_by='shopp')", "Closest: 'shop'"),
])
def test_a_broken_declaration_fails_alone(declares: str, reason: str, tmp_path: Path) -> None:
    done = listed(tmp_path / "shop", retruns=declares,
                  fraud="FRAUD = replace(TOY, name='fraud')")
    assert done.stdout == "['fraud']\n"
    assert "the declaration of 'retruns' is broken: " in done.stderr and reason in done.stderr


def test_another_package_called_systems_is_named(tmp_path: Path) -> None:
    foreign = tmp_path / "shop" / "foreign"
    (foreign / "systems" / "returns").mkdir(parents=True)
    for folder in (foreign / "systems", foreign / "systems" / "returns"):
        (folder / "__init__.py").write_text("")
    code = (f"import sys; sys.path.insert(0, {str(foreign)!r})\n"
            "import ml_assets.systems; ml_assets.systems.find('returns')")
    said(tmp_path / "shop")
    own = tmp_path / "shop" / "systems" / "returns"
    own.mkdir(parents=True)
    (own / "__init__.py").write_text("")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "shop", text=True,
                          env={**os.environ, "PYTHONPATH": f"{ROOT}"}, capture_output=True,
                          check=False)
    assert "on the Python path is called `systems`" in done.stderr
