"""How Feast's objects look in Dagster, and how to have them look otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_feast import (
    DagsterFeastTranslator,
    FeastDeclarationError,
    FeastManifest,
    FeatureView,
    Node,
    build_feast_asset_selection,
    build_feast_asset_specs,
    build_feast_external_specs,
)
from dagster_feast.columns import duration


def specs(manifest: FeastManifest, **more: Any) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in build_feast_asset_specs(manifest, **more)}


def test_a_repository_becomes_a_graph(manifest: FeastManifest) -> None:
    graph = {key: {dep.asset_key.to_user_string() for dep in spec.deps}
             for key, spec in specs(manifest).items()}
    assert graph == {
        "drivers/sources/ratings": set(), "drivers/sources/clicks": set(),
        "drivers/driver_stats": {"lake/trips"}, "drivers/driver_windows": {"lake/trips"},
        "drivers/driver_fraud": {"lake/trips"},
        "drivers/driver_clicks": {"drivers/sources/clicks", "drivers/sources/ratings"},
        "drivers/driver_trips": {"drivers/sources/ratings"},
        "drivers/driver_summary": {"drivers/driver_trips"},
        "drivers/everywhere": {"drivers/sources/ratings"},
        "drivers/ride_score": {"drivers/driver_stats"},
        "drivers/services/ranking": {
            "drivers/driver_stats", "drivers/driver_windows", "drivers/ride_score",
            "drivers/driver_fraud",
        },
        "drivers/services/pairs": {"drivers/driver_stats"},
    }


def test_what_holds_no_values_of_its_own_is_virtual(manifest: FeastManifest) -> None:
    virtual = {key for key, spec in specs(manifest).items() if spec.is_virtual}
    assert virtual == {
        "drivers/ride_score", "drivers/driver_fraud", "drivers/everywhere",
        "drivers/services/ranking", "drivers/services/pairs",
    }
    external = build_feast_external_specs(manifest)
    assert {spec.key.to_user_string() for spec in external} == virtual | {
        "drivers/sources/ratings", "drivers/sources/clicks"}


def test_columns_are_told_in_the_schema_and_in_the_description(manifest: FeastManifest) -> None:
    spec = specs(manifest)["drivers/driver_windows"]
    columns = {each.name: (each.type, each.description)
               for each in spec.metadata["dagster/column_schema"].columns}
    assert columns == {
        "driver_id": ("Int64", "who drives"),
        "n": ("Int64", "count of rows over 36 hours"),
        "km_7d": ("Float64", "sum of `km` over 7 days, sliding by 1 day"),
        "max_km_129600s": ("Float64", "max of `km` over 36 hours"),
    }
    assert "- `km_7d` (Float64): sum of `km` over 7 days, sliding by 1 day" in (
        spec.description or "")
    stats = specs(manifest)["drivers/driver_stats"].description or ""
    assert stats.startswith("How a driver did.\n\n")
    assert "by `driver_id`. A value counts for 1 day. Source: `trips`." in stats
    assert "- `rate` (Float64): share of trips accepted" in stats


def test_owners_and_tags_that_dagster_refuses_become_metadata(manifest: FeastManifest) -> None:
    found = specs(manifest)
    stats, windows = found["drivers/driver_stats"], found["drivers/driver_windows"]
    assert stats.owners == ["drivers@example.org"]
    assert found["drivers/services/ranking"].owners == ["team:ranking"]
    assert windows.owners == []
    assert windows.metadata["feast/owner"] == "The Drivers"
    assert stats.tags["system"] == "fraud"
    assert stats.metadata["feast/tags"] == {"cost centre": "a & b"}
    assert stats.kinds == {"feast", "sqlite"}
    assert stats.group_name == "drivers"
    assert found["drivers/sources/clicks"].kinds == {"feast", "kafka"}


@given(st.dictionaries(st.text(max_size=70), st.text(max_size=70), max_size=4), st.text())
def test_any_tags_and_owner_make_a_valid_asset(tags: dict[str, str], owner: str) -> None:
    """Feast takes any text; the definitions must load all the same."""
    view = FeatureView(project="my-project", name="view", kind="plain", tags=tags, owner=owner)
    DagsterFeastTranslator().get_asset_spec(view)


def test_the_code_version_is_the_digest(manifest: FeastManifest) -> None:
    spec = specs(manifest)["drivers/driver_stats"]
    assert spec.code_version == manifest.view("driver_stats").digest
    assert specs(manifest)["drivers/sources/ratings"].code_version is None


def test_what_comes_with_a_request_is_metadata_of_its_view(manifest: FeastManifest) -> None:
    spec = specs(manifest)["drivers/ride_score"]
    assert spec.metadata["feast/request"] == {"km": "Float64"}
    assert "def ride_score" in spec.metadata["feast/udf"].value


class Renamed(DagsterFeastTranslator):
    def get_asset_key(self, node: Node) -> dg.AssetKey:
        return super().get_asset_key(node).with_prefix("ml")

    def get_group_name(self, node: Node) -> str:
        return f"{node.tags.get('system', 'all')}_features"

    def get_description(self, node: Node) -> str:
        return f"the {node.name}"

    def get_owners(self, node: Node) -> list[str]:
        return ["team:features"]

    def get_tags(self, node: Node) -> dict[str, str]:
        return {"layer": "gold"}

    def get_metadata(self, node: Node) -> Mapping[str, Any]:
        return {"said": True}

    def get_kinds(self, node: Node) -> set[str]:
        return {"redis"}

    def get_code_version(self, node: Node) -> str:
        return f"engine-2-{node.digest}"

    def get_partitions_def(self, node: Node) -> dg.PartitionsDefinition[Any] | None:
        return dg.DailyPartitionsDefinition("2026-01-01")

    def get_partition_mapping(self, node: Node, parent: Node) -> dg.PartitionMapping | None:
        return dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


def test_a_subclass_answers_every_question_otherwise(manifest: FeastManifest) -> None:
    view = manifest.view("driver_stats")
    spec = Renamed().get_asset_spec(view)
    assert spec.key == dg.AssetKey(["ml", "drivers", "driver_stats"])
    (dep,) = spec.deps
    assert dep.asset_key == dg.AssetKey(["ml", "lake", "trips"])
    assert isinstance(dep.partition_mapping, dg.TimeWindowPartitionMapping)
    assert spec.group_name == "fraud_features"
    assert spec.description == "the driver_stats"
    assert spec.owners == ["team:features"]
    assert spec.tags["layer"] == "gold"
    assert spec.kinds == {"redis"}
    assert spec.code_version == f"engine-2-{view.digest}"
    assert spec.partitions_def == dg.DailyPartitionsDefinition("2026-01-01")
    # By these the resource finds the view, whatever the translator says.
    assert spec.metadata == {"said": True, "feast/feature_view": "driver_stats",
                             "feast/max_age_seconds": 86400.0}


def test_two_nodes_of_one_key_are_refused_by_name(manifest: FeastManifest) -> None:
    class Same(DagsterFeastTranslator):
        def get_asset_key(self, node: Node) -> dg.AssetKey:
            return dg.AssetKey("same") if isinstance(node, FeatureView) else (
                super().get_asset_key(node))

    with pytest.raises(FeastDeclarationError, match="'driver_summary' and 'driver_trips' would"):
        build_feast_asset_specs(manifest, translator=Same(), select="+driver_summary")


def test_a_selection_names_assets_for_a_job(manifest: FeastManifest) -> None:
    selection = build_feast_asset_selection(manifest, "+service:pairs")
    assert selection == dg.AssetSelection.assets(
        "drivers/driver_stats", "drivers/services/pairs", "lake/trips")


def test_the_maximal_age_is_the_tag_or_the_time_to_live(manifest: FeastManifest) -> None:
    translator, view = DagsterFeastTranslator(), manifest.view("driver_stats")
    (check,) = translator.get_check_specs(view)
    assert (check.name, check.blocking) == ("is_fresh", False)
    assert translator.get_max_age(view) == timedelta(days=1)
    tagged = replace(view, tags={"dagster/max_age_seconds": "3600"})
    assert translator.get_max_age(tagged) == timedelta(hours=1)
    assert translator.get_check_specs(manifest.view("driver_windows")) == []
    assert translator.get_check_specs(manifest.service("ranking")) == []


@pytest.mark.parametrize(("span", "words"), [
    (timedelta(days=7), "7 days"), (timedelta(days=1), "1 day"), (timedelta(hours=36), "36 hours"),
    (timedelta(seconds=90), "90 seconds"), (timedelta(milliseconds=500), "0.5 seconds"),
])
def test_durations_read_as_people_say_them(span: timedelta, words: str) -> None:
    assert duration(span) == words
