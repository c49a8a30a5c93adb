"""The manifest: what a repository declares, told without Feast."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from dagster_feast import (
    Aggregation,
    FeastManifest,
    FeastRepoError,
    FeastWarning,
    UnknownFeastName,
    load_manifest,
    parse_manifest,
)
from dagster_feast.nodes import ViewKind
from dagster_feast_tests.kit import EVERY_KIND, TWO_VIEWS, write_repo

SMALL = TWO_VIEWS.replace("{ROOT}", "")


@pytest.mark.parametrize(("name", "kind", "loadable"), [
    ("driver_stats", "plain", True), ("driver_windows", "stream", True),
    ("driver_trips", "batch", True), ("driver_summary", "batch", True),
    ("everywhere", "plain", False), ("ride_score", "on_demand", False),
    ("driver_fraud", "label", False),
])
def test_every_kind_of_view_is_known_by_name(
    manifest: FeastManifest, name: str, kind: ViewKind, loadable: bool
) -> None:
    view = manifest.view(name)
    assert (view.kind, view.loadable) == (kind, loadable)


def test_a_view_says_keys_columns_and_what_it_reads(manifest: FeastManifest) -> None:
    view = manifest.view("driver_stats")
    assert view.join_keys == ("driver_id",)
    assert [(each.name, each.dtype) for each in view.features] == [
        ("rate", "Float64"), ("past", "Array(Float64)"),
    ]
    assert view.features[0].description == "share of trips accepted"
    assert view.ttl == timedelta(days=1)
    assert manifest.view("driver_windows").ttl is None
    assert view.entities == (manifest.entity("driver"),)
    assert view.sources == (manifest.source("trips"),)
    assert manifest.view("driver_summary").parents == (manifest.view("driver_trips"),)


def test_windowed_aggregates_are_told_in_the_order_declared(manifest: FeastManifest) -> None:
    hours, days = timedelta(hours=36), timedelta(days=7)
    assert manifest.view("driver_windows").aggregations == (
        Aggregation(name="n", function="count", column="", time_window=hours,
                    slide_interval=hours),
        Aggregation(name="km_7d", function="sum", column="km", time_window=days,
                    slide_interval=timedelta(days=1)),
        Aggregation(name="max_km_129600s", function="max", column="km", time_window=hours,
                    slide_interval=hours),
    )
    names = [each.name for each in manifest.view("driver_windows").features]
    assert names == ["n", "km_7d", "max_km_129600s"]


def test_sources_refer_to_one_another(manifest: FeastManifest) -> None:
    assert manifest.source("trip_push").batch_source is manifest.source("trips")
    assert manifest.source("clicks").kind == "stream"
    assert manifest.source("clicks").type == "kafka"
    assert [each.name for each in manifest.source("ride").fields] == ["km"]
    assert manifest.source("trips").location == "data/trips.parquet"


def test_a_service_says_what_a_reader_must_supply(manifest: FeastManifest) -> None:
    service = manifest.service("ranking")
    assert service.features[:4] == ("rate", "n", "km_7d", "max_km_129600s")
    assert service.join_keys == ("driver_id",)
    assert manifest.service("pairs").join_keys == ("other_driver_id",)
    assert manifest.service("pairs").projections[0].alias == "other"


def test_what_only_a_list_holds_is_warned_of(repo: Path, cache: Path) -> None:
    with pytest.warns(FeastWarning, match=r"Entity 'rider' \(definitions.py: hidden\)"):
        load_manifest(repo, cache=cache)


def test_an_unknown_name_is_answered_with_the_closest(manifest: FeastManifest) -> None:
    with pytest.raises(UnknownFeastName, match=r"'driver_stat'\. Closest: driver_s"):
        manifest.view("driver_stat")
    with pytest.raises(UnknownFeastName, match=r"no feature service 'x'\. Known: pairs"):
        manifest.service("x")


def test_a_service_of_an_unregistered_view_is_refused() -> None:
    described = {
        "project": "p", "online_store": "sqlite", "offline_store": "dask", "data_sources": [],
        "entities": [], "views": [], "skipped": ["FeatureView 'lost' (views.py: views)"],
        "feature_services": [{"name": "model", "features": [{"feature_view_name": "lost"}]}],
    }
    with pytest.raises(FeastRepoError, match=r"'lost'.*look into lists: .*\(views.py: views\)"):
        parse_manifest(described)


def test_a_cached_manifest_is_read_without_importing_feast(repo: Path, cache: Path,
                                                           manifest: FeastManifest) -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from dagster_feast import *\n"
        f"found = load_manifest({str(repo)!r}, cache={str(cache)!r})\n"
        "build_feast_asset_specs(found)\n"
        "@feast_assets(manifest=found)\n"
        "def views(context, feast: FeastResource): yield from feast.materialize(context)\n"
        "heavy = {'feast', 'torch', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_making_a_manifest_leaves_no_trace_in_the_repository(
    repo: Path, manifest: FeastManifest
) -> None:
    assert {path.name for path in repo.iterdir()} == {"data", "definitions.py",
                                                      "feature_store.yaml"}


@pytest.mark.slow
def test_two_machines_make_the_same_manifest(
    tmp_path: Path, manifest: FeastManifest
) -> None:
    elsewhere = write_repo(tmp_path / "far" / "away", EVERY_KIND)
    with pytest.warns(FeastWarning):
        assert load_manifest(elsewhere, cache=tmp_path / "cache") == manifest
    (text,) = (path.read_text() for path in (tmp_path / "cache").iterdir())
    assert str(tmp_path) not in text
    assert "created_timestamp\"" not in text


@pytest.mark.slow
def test_the_digest_changes_with_the_values_and_not_with_the_words(
    tmp_path: Path, manifest: FeastManifest
) -> None:
    changed = EVERY_KIND
    for before, after in {
        "How a driver did": "Drivers", '"system": "fraud"': '"system": "other"',
        "What this says": "This", "who drives": "a driver", "share of trips": "share of rides",
        # Only these make other values.
        'inputs["rate"] *': '2 * inputs["rate"] *', "7 * DAY": "8 * DAY",
    }.items():
        assert before in changed
        changed = changed.replace(before, after)
    with pytest.warns(FeastWarning):
        other = load_manifest(write_repo(tmp_path / "repo", changed), cache=tmp_path / "cache")
    differ = {name for name, view in other.views.items()
              if view.digest != manifest.view(name).digest}
    assert differ == {"ride_score", "driver_windows"}
    assert other.service("ranking").digest != manifest.service("ranking").digest
    assert other.service("pairs").digest == manifest.service("pairs").digest
    assert other.digest != manifest.digest


@pytest.mark.slow
def test_a_manifest_is_made_again_only_when_what_it_depends_on_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "library").mkdir()
    spans = tmp_path / "library" / "spans.py"
    spans.write_text("from datetime import timedelta\nLONG = timedelta(days=1)\n")
    monkeypatch.syspath_prepend(spans.parent)
    repo = write_repo(tmp_path / "repo", SMALL.replace("timedelta(0)", "LONG").replace(
        "from feast import", "from spans import LONG\nfrom feast import", 1))
    cache = tmp_path / "cache"
    first = load_manifest(repo, cache=cache, depends_on=[spans])
    (path,) = cache.iterdir()
    made = path.stat().st_mtime_ns

    os.utime(repo / "definitions.py")
    (repo / "data" / "more.parquet").write_bytes(b"rows are no definition")
    assert load_manifest(repo, cache=cache, depends_on=[spans]) == first
    assert path.stat().st_mtime_ns == made

    spans.write_text("from datetime import timedelta\nLONG = timedelta(days=2)\n")
    second = load_manifest(repo, cache=cache, depends_on=[spans])
    assert second.view("b_trips").ttl == timedelta(days=2)
    assert second.view("a_rates") == first.view("a_rates")

    spans.unlink()
    with pytest.raises(FeastRepoError, match=r"spans\.py, which the feature repository depends"):
        load_manifest(repo, cache=cache, depends_on=[spans])


@pytest.mark.slow
@pytest.mark.parametrize(("definitions", "words"), [
    ("raise RuntimeError('the driver has no name')", r"RuntimeError: the driver has no name$"),
    ("import feast\ndriver = feast.Entity(name='driver', join_keys='driver_id')",
     r'TypeCheckError: argument "join_keys" \(str\) did not match any element in the union'),
    ("import feast\nservice = feast.FeatureService(name='f', features=[])\n"
     "service.infer_features(3)", r"TypeCheckError"),
], ids=["raises", "wrong type", "wrong type of a call"])
def test_a_broken_repository_is_reported_in_its_own_words(
    definitions: str, words: str, tmp_path: Path
) -> None:
    """Also if all that is wrong is the type of an argument, which Feast checks."""
    repo = write_repo(tmp_path / "repo", definitions)
    with pytest.raises(FeastRepoError, match=words):
        load_manifest(repo, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeastRepoError, match=r"feature_store\.yaml is no file; expected"):
        load_manifest(tmp_path)
