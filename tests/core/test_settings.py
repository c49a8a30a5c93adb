"""Settings come from the environment, where a typing mistake is easy and does nothing by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import ROOT, VARIABLES, Settings


@pytest.mark.parametrize(("name", "closest"), [
    ("ML_ASSETS_PROT", "ML_ASSETS_PORT"), ("ML_ASSETS_CAHCE", "ML_ASSETS_CACHE"),
    ("ML_ASSETS_VARS", "ML_ASSETS_VAR"), ("ml_assets_port", "ML_ASSETS_PORT"),
    ("ML_ASSET_HOST", "ML_ASSETS_HOST"), ("ML_ASSETS_", "ML_ASSETS_"),
])
def test_a_variable_that_nothing_reads_is_named_with_the_closest(
    name: str, closest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "99")
    with pytest.raises(DeclarationError, match=rf"sets {name}, .* Closest: {closest}"):
        Settings.from_environment()


@given(name=st.text("ABCDEFHOPRSTV_", max_size=12).filter(lambda name: name not in VARIABLES))
def test_no_unknown_variable_passes(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"ML_ASSETS_{name}", "1")
        with pytest.raises(DeclarationError, match="Known: ML_ASSETS_"):
            Settings.from_environment()


def test_every_variable_that_the_code_reads_is_known() -> None:
    read = {name for path in (ROOT / "ml_assets").rglob("*.py")
            for name in re.findall(r"ML_ASSETS_([A-Z]+)", path.read_text())}
    assert read == set(VARIABLES)


@pytest.mark.parametrize("name", ["ML_ASSETS_VAR", "ML_ASSETS_CACHE"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_folder_is_refused_rather_than_the_one_where_one_stands(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(DeclarationError, match=f"{name} is empty"):
        Settings.from_environment()


def test_the_cache_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_CACHE", str(tmp_path / "a"))
    settings = Settings.from_environment()
    monkeypatch.setenv("ML_ASSETS_CACHE", str(tmp_path / "b"))
    assert settings.cache == tmp_path / "a"


def test_folders_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that goes elsewhere, or a child of it, still means the same folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_ASSETS_VAR", "here")
    monkeypatch.setenv("ML_ASSETS_CACHE", "./there")
    settings = Settings.from_environment()
    assert (settings.var, settings.cache) == (tmp_path / "here", tmp_path / "there")
