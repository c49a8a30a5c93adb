"""The manifest: what Feast knows of a system, told without Feast."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.core.errors import DeclarationError, UnknownName
from ml_assets.core.settings import ROOT, Settings
from ml_assets.core.system import System
from ml_assets.features.manifest import (
    FeatureRepoError,
    Manifest,
    load_manifest,
    parse_manifest,
)
from ml_assets.systems import SYSTEMS
from tests.toy import TOY


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_manifest(Settings())


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_feature_service_of_every_system_is_registered(
    system: System, manifest: Manifest
) -> None:
    service = manifest.service(system)
    assert service.features
    assert set(service.keys) <= set(system.keys)
    assert all(view.system == system.name for view in service.views)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_names_of_a_model_s_inputs_are_unique(system: System, manifest: Manifest) -> None:
    names = [*system.model.numbers, *manifest.service(system).features]
    assert len(set(names)) == len(names)


def test_an_unknown_feature_service_is_answered_with_the_closest(manifest: Manifest) -> None:
    wrong = replace(TOY, feature_service="spam_filtre")
    with pytest.raises(UnknownName, match=r"'spam_filtre'\. Closest: spam_filter"):
        manifest.service(wrong)


def test_the_manifest_is_read_without_importing_feast(manifest: Manifest) -> None:
    code = (
        "import sys, time; start = time.process_time()\n"
        "from ml_assets.core.settings import Settings\n"
        "from ml_assets.features.manifest import load_manifest\n"
        "load_manifest(Settings())\n"
        "heavy = {'feast', 'torch', 'pandas', 'duckdb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_manifest_names_no_place_on_this_machine(manifest: Manifest) -> None:
    cached = max((Settings().cache / "feast").glob("manifest-*.json"), key=os.path.getmtime)
    text = cached.read_text()
    assert str(ROOT) not in text
    assert "created_timestamp" not in text


def test_a_feature_without_an_aggregate_is_refused_by_name() -> None:
    view = {"name": "toy_shop_history", "batch_source": "s", "entities": ["toy_shop"],
            "tags": {"system": "toy", "table": "shop_history"},
            "features": [{"name": "shop_size", "tags": {"aggregate": "median"}}]}
    described = {
        "data_sources": [{"name": "s"}], "entities": [{"name": "toy_shop", "join_key": "shop"}],
        "feature_views": [view], "feature_services": [],
    }
    with pytest.raises(DeclarationError, match="feature 'shop_size' of view 'toy_shop_history'"):
        parse_manifest(described)


@pytest.mark.slow
def test_a_broken_repository_is_reported_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "definitions.py").write_text("raise RuntimeError('the sender has no name')")
    with pytest.raises(FeatureRepoError, match="the sender has no name"):
        load_manifest(Settings(), tmp_path)
