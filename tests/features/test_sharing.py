"""What two systems must agree on before one reads feature views of the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureService

from ml_assets import systems
from ml_assets.core.data.columns import Column
from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.declaration import event_stream, windowed_view
from ml_assets.features.manifest import load_manifest
from ml_assets.systems.published import clashes, missing_lenders
from tests import market_features, vans_features
from tests.market import MARKET
from tests.market_features import looks, stall
from tests.vans import VANS
from tests.whole_loop import repository_of


@pytest.fixture(scope="module", autouse=True)
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch, repository_of(folder, MARKET, VANS):
        patch.setattr(systems, "SYSTEMS", (MARKET, VANS))
        yield


def test_an_imported_view_is_declared_once() -> None:
    declared = {"market": vars(market_features), "vans": vars(vans_features)}
    assert vars(vans_features)["looks"] is looks
    assert not clashes(declared)
    twin = windowed_view("stall_looks", system="market", entities=[stall],
                         source=event_stream("market", "looks"), aggregations=looks.aggregations)
    assert "both declare" in clashes({**declared, "vans": {"looks": twin}})["vans"]


@pytest.mark.parametrize(("declared", "broken", "said"), [
    (("vans",), {}, "'market_stall_looks' of 'market', which this project does not run"),
    (("vans", "market"), {"market": "SyntaxError"}, "of 'market', which is broken: SyntaxError"),
])
def test_a_reader_without_its_lender_is_broken_and_says_whose_views_it_uses(
    declared: tuple[str, ...], broken: dict[str, str], said: str
) -> None:
    modules: dict[str, Any] = {"market": {}, "vans": {"looks": looks}}
    found = missing_lenders({name: modules[name] for name in declared}, broken)
    assert set(found) == {"vans"} and said in found["vans"]


def test_a_view_is_declared_by_the_system_whose_stream_it_counts() -> None:
    with pytest.raises(DeclarationError, match=r"counts a stream of 'market'; declare it in the"):
        windowed_view("more_looks", system="vans", entities=[stall],
                      source=event_stream("market", "looks"), aggregations=looks.aggregations)


def test_a_lender_knows_what_only_others_read_of_it(settings: Settings) -> None:
    manifest = load_manifest(settings)
    assert [view.name for view in manifest.lent(MARKET)] == ["market_stall_moods"]
    assert [each.name for each in manifest.readers("market")] == ["vans"]
    assert [each.name for each in manifest.lenders(VANS)] == ["market"]
    assert {view.name for view in manifest.own(VANS)} == {"vans_stall_arrivals"}
    coded = manifest.service(VANS).coded
    assert "mood_12h" in coded, "the lender's columns say what is a code"


def changed(system: System, **columns: Column) -> System:
    [asked] = system.streams
    kept = [columns.get(column.name, column) for column in asked.columns]
    return replace(system, streams=(replace(asked, columns=tuple(kept)),))


@pytest.mark.parametrize(("wrong", "said"), [
    (replace(VANS, calendar=replace(VANS.calendar, first_day=MARKET.calendar.first_day,
                                    go_live=MARKET.calendar.go_live - timedelta(days=1))),
     "goes live on 2024-01-08, after 'vans' on 2024-01-07"),
    (changed(VANS, stall=Column(name="stall", dtype="integer", description="its number")),
     "'stall', which is text there and integer of 'vans'"),
])
def test_what_does_not_fit_is_refused_by_name(
    settings: Settings, wrong: System, said: str
) -> None:
    with pytest.raises(DeclarationError, match=said):
        load_manifest(settings).service(wrong)


def test_two_that_read_each_other_are_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither could close a day before the other has closed it."""
    manifest = load_manifest(settings)
    both = {**manifest.services, "market_state": replace(
        manifest.services["market_state"], chosen=manifest.services["vans_state"].chosen)}
    with pytest.raises(DeclarationError, match="neither could close a day before the other"):
        replace(manifest, services=both).service(VANS)


def test_features_of_one_name_are_refused(settings: Settings) -> None:
    manifest = load_manifest(settings)
    service = manifest.services["vans_state"]
    own = service.chosen[0]
    twin = replace(own, view=replace(own.view, name="vans_again"))
    with pytest.raises(DeclarationError, match=r"feature 'vans_1d' is in .* and in 'vans_again'"):
        replace(manifest, services={
            **manifest.services, "vans_state": replace(service, chosen=(*service.chosen, twin)),
        }).service(VANS)


def test_the_arrow_leads_from_the_lenders_view_to_the_readers_service() -> None:
    from dagster import AssetsDefinition, AssetSpec

    from ml_assets.features import assets

    found = {system.name: assets.build(system) for system in (MARKET, VANS)}
    keys = {name: {key.to_user_string() for part in parts if isinstance(part, AssetsDefinition)
                   for key in part.keys} for name, parts in found.items()}
    assert "market/stall_moods" in keys["market"] and "market/stall_looks" in keys["market"]
    assert not any(key.startswith("market/") for key in keys["vans"])
    [service] = [part for part in found["vans"] if isinstance(part, AssetSpec)
                 and part.key.to_user_string() == "vans/vans_state"]
    assert {dep.asset_key.to_user_string() for dep in service.deps} == {
        "vans/stall_arrivals", "market/stall_looks", "market/stall_moods",
        "market/stalls_latest"}
    assert isinstance(vans_features.vans_state, FeatureService)
