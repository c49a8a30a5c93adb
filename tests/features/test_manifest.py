"""The manifest: what the repository declares, as the platform computes it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import DeclarationError, UnknownName
from ml_assets.core.settings import ROOT, Settings
from ml_assets.core.system import System
from ml_assets.features.manifest import Manifest, load_manifest
from ml_assets.systems import SYSTEMS
from ml_assets.systems.spam import SPAM
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
    lenders = {each.name for each in manifest.lenders(system)}
    assert {view.system for view in service.views} <= {system.name} | lenders
    assert all(set(part.columns) <= set(part.view.features) for part in service.chosen)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_names_of_a_model_s_inputs_are_unique(system: System, manifest: Manifest) -> None:
    names = [*system.model.numbers, *manifest.service(system).features]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_nothing_that_features_declare_is_called_like_another_asset_of_the_system(
    system: System, manifest: Manifest
) -> None:
    asked = system.asked
    views = {view: view.removeprefix(f"{system.name}_") for view in manifest.views_of(system.name)
             if view != f"{system.name}_scores"}
    for said, name in {**views, system.feature_service: system.feature_service}.items():
        told = Stream(name=name, description="of that name", source=asked.source,
                      columns=asked.columns)
        wrong = replace(system, streams=(*system.streams, told))
        with pytest.raises(DeclarationError, match=rf"(view|service) '{said}' would be the asset "
                           rf"{system.name}/{name}, which is the table '{name}' already"):
            manifest.service(wrong)
    view, name = next(iter(views.items()))
    twice = replace(manifest, services={name: manifest.services[system.feature_service]})
    with pytest.raises(DeclarationError, match=f"service '{name}' would .* view '{view}' already"):
        twice.service(replace(system, feature_service=name))


def test_events_feed_a_view_as_they_come_and_labels_a_day_at_a_time(manifest: Manifest) -> None:
    views = {view.name: view for view in manifest.service(SPAM).views}
    mail, verdicts = views["spam_sender_mail"], views["spam_sender_verdicts"]
    assert (mail.table, mail.windowed.refresh, mail.windowed.created) == (
        "events", "stream", "accepted_at")
    assert (verdicts.table, verdicts.windowed.refresh, verdicts.windowed.timestamp) == (
        "labels", "slide", "known_at")


def test_an_unknown_feature_service_is_answered_with_the_closest(manifest: Manifest) -> None:
    wrong = replace(TOY, feature_service="spam_filtre")
    with pytest.raises(UnknownName, match=r"'spam_filtre'\. Closest: spam_filter"):
        manifest.service(wrong)


def test_the_manifest_is_read_without_heavy_imports(manifest: Manifest) -> None:
    code = (
        "import sys\n"
        "from ml_assets.core.settings import Settings\n"
        "from ml_assets.features.manifest import load_manifest\n"
        "load_manifest(Settings())\n"
        "heavy = {'feast', 'torch', 'pandas', 'duckdb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


REPOSITORY = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
sizes = FeatureView(
    name="sizes", entities=[shop], schema=[Field(name="size", dtype=Float32)],
    source=FileSource(name="sizes", path="sizes.parquet", timestamp_field="event_timestamp"),
)
toy_returns = FeatureService(name="toy_returns", features=[sizes])
"""


@pytest.mark.slow
def test_a_view_that_the_platform_cannot_compute_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_CACHE", str(tmp_path / "cache"))
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(
        "project: toy\nprovider: local\nregistry: registry.db\n"
        "offline_store:\n  type: duckdb\nentity_key_serialization_version: 3\n"
    )
    (repo / "definitions.py").write_text(REPOSITORY)
    manifest = load_manifest(Settings(), repo)  # it stops no other system's
    with pytest.raises(DeclarationError, match=r"feature view 'sizes' has 0 aggregations .* "
                       r"declare it with .*windowed_view"):
        manifest.service(TOY)
