"""What `feast plan` compares: a view as it is declared, and as the registry gives it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureStore, Field, RepoConfig, StreamFeatureView, ValueType
from feast.aggregation import Aggregation
from feast.diff.registry_diff import diff_between
from feast.repo_contents import RepoContents
from feast.types import Float64, Int64

from ml_assets.features.declaration import event_stream, scores_view, windowed_view

DAY = timedelta(days=1)

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

card = Entity(name="fraud_card", join_keys=["card"], value_type=ValueType.STRING)
shop = Entity(name="fraud_shop", join_keys=["shop"], value_type=ValueType.STRING)


def spending(days: int = 7, function: str = "sum", slide: int = 1, **more: Any) -> Any:
    return windowed_view(
        "spending", system="fraud", entities=[shop, card], source=event_stream("fraud"),
        aggregations=[
            Aggregation(function=function, column="amount", time_window=days * DAY,
                        slide_interval=slide * DAY, name=f"f{place}")
            for place in range(9)
        ], **more,
    )


def contents(view: Any) -> RepoContents:
    scores = scores_view("fraud", card)
    return RepoContents(
        projects=[], data_sources=[], entities=[card, shop], feature_services=[], permissions=[],
        feature_views=[scores], on_demand_feature_views=[], stream_feature_views=[view],
        label_views=[],
    )


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(config=RepoConfig(
        project="fraud", provider="local", entity_key_serialization_version=3,
        registry={"registry_type": "sql", "path": f"sqlite:///{tmp_path}/registry.db"},
        offline_store={
            "type": "ml_assets.features.feast_stores.offline.LakeOfflineStore",
            "lake": str(tmp_path),
        },
        online_store={
            "type": "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore",
            "path": str(tmp_path / "online.lmdb"),
        },
    ))
    store.apply([card, shop, event_stream("fraud"), spending(), scores_view("fraud", card)])
    return store


def updated(store: FeatureStore, view: Any) -> set[str]:
    """The views that a plan reports."""
    diff = diff_between(store.registry, store.project, contents(view))
    return {
        each.name for each in diff.feast_object_diffs
        if each.transition_type.name == "UPDATE" and "view" in each.feast_object_type.value
    }


def test_an_applied_view_is_not_updated_by_a_plan_even_after_it_was_loaded(
    store: FeatureStore
) -> None:
    assert updated(store, spending()) == set()
    now = datetime(2025, 1, 1, tzinfo=UTC)
    for name in ("fraud_spending", "fraud_scores"):
        view: Any = store.registry.get_any_feature_view(name, store.project)
        store.registry.apply_materialization(view, store.project, now - DAY, now)
    assert updated(store, spending()) == set()
    store.apply([spending(), scores_view("fraud", card)])
    store.apply([spending(description="More.")])
    view = store.registry.get_any_feature_view("fraud_spending", store.project)
    assert len(view.materialization_intervals) == 1


@pytest.mark.parametrize("changed", [
    spending(days=8), spending(function="mean"), spending(days=8, slide=2),
    spending(description="More."), spending(tags={"lateness_seconds": "1"}),
], ids=["window", "function", "slide", "description", "tag"])
def test_whatever_is_declared_otherwise_is_an_update(
    store: FeatureStore, changed: StreamFeatureView
) -> None:
    assert updated(store, changed) == {"fraud_spending"}
    store.apply([changed])
    assert updated(store, changed) == set()


def test_a_changed_field_is_an_update(store: FeatureStore) -> None:
    changed = spending()
    changed.features[3] = Field(name="f3", dtype=Int64)
    assert changed != spending()
    changed.features[3] = Field(name="f3", dtype=Float64)
    assert changed == spending()
    assert spending() != scores_view("fraud", card)
