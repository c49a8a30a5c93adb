"""What of a feature service are numbers, and what are codes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from ml_assets.core.codes import CODES
from ml_assets.core.data.columns import Column
from ml_assets.core.errors import DeclarationError, UnknownName
from ml_assets.core.system import Entity, System
from ml_assets.core.truths import Outcomes, Recorded
from ml_assets.features.derived.declared import Derived
from ml_assets.features.engine.windows import WindowedView, parse_view
from ml_assets.features.online_store import versions
from ml_assets.features.service import Chosen, ChosenRows, Service, TableView, View, of_system
from ml_assets.targets import Classes
from tests.toy import SHOPS, TOY, VISITS, with_streams

DAY = timedelta(days=1)


def of(function: str, column: str, name: str) -> SimpleNamespace:
    return SimpleNamespace(function=function, column=column, time_window=DAY, slide_interval=DAY,
                           name=name)


def windowed(*aggregations: SimpleNamespace) -> WindowedView:
    return parse_view(name="toy_visits", keys=["shop"], timestamp="event_timestamp", created="",
                      aggregations=aggregations, tags={})


def service_of(table: str, *aggregations: SimpleNamespace) -> Service:
    view = windowed(*aggregations)
    return Service(name="toy_returns", chosen=(Chosen(
        view=View(name=view.name, system="toy", table=table, windowed=view, definition=""),
        columns=view.columns),))


def with_product(**bounds: Any) -> System:
    """The toy, whose visits are to products that have numbers."""
    product = Column(name="product", dtype="integer", description="which one", **bounds)
    system = with_streams(TOY, {
        "visits": {"columns": (*VISITS.columns, product)},
        "purchases": {"columns": (*TOY.columns, product)},
    })
    return replace(system, entities=(*TOY.entities, Entity(name="product", description="it")))


def test_texts_and_categories_are_codes_where_values_are_given_back() -> None:
    service = service_of(
        "visits", of("last_n(2)", "page", "pages"), of("most_frequent", "page", "usual"),
        of("approx_count_distinct", "page", "distinct"), of("last", "seconds", "latest"),
        of("count", "page", "visits"),
    )
    assert service.coded == frozenset(), "nobody has asked what the columns hold"
    assert of_system(service, TOY).coded == {"pages_1", "pages_2", "usual"}
    assert service.lists == {"pages": ("pages_1", "pages_2")}


def test_a_label_that_is_a_text_is_a_code() -> None:
    service = service_of("labels", of("last", "label", "latest"), of("last", "shop", "where"))
    told = replace(TOY, truth=Recorded(source="buyer", within=DAY))
    assert of_system(service, told).coded == {"where"}
    queues = replace(told, target=Classes(name="queue", classes=("a", "b")), scores_by=None,
                     gates=())
    assert of_system(service, queues).coded == {"where", "latest"}


def test_an_integer_that_is_called_like_an_entity_is_an_id() -> None:
    service = service_of("visits", of("last_n(2)", "product", "seen"), of("max", "product", "most"))
    assert of_system(service, with_product(minimum=0, maximum=CODES)).coded == {"seen_1", "seen_2"}
    number = replace(with_product(), entities=TOY.entities)
    assert of_system(service, number).coded == frozenset()


@pytest.mark.parametrize(("bounds", "said"), [
    ({}, "from any to any"), ({"minimum": 0}, "from 0 to any"),
    ({"minimum": -1, "maximum": 9}, "from -1 to 9"),
    ({"minimum": 0, "maximum": CODES + 1}, "from 0 to 16777216"),
])
def test_ids_that_a_vector_cannot_tell_apart_are_refused(
    bounds: dict[str, float], said: str
) -> None:
    service = service_of("visits", of("last", "product", "seen"))
    with pytest.raises(DeclarationError, match=f"column 'product' holds ids .* {said}; a vector "
                       "tells those from 0 to 16777215 apart. Declare it with minimum=0"):
        of_system(service, with_product(**bounds))


@pytest.mark.parametrize(("tags", "slide", "moves"), [
    ({"refresh": "slide"}, DAY / 24, "every 1:00:00"),
    ({"refresh": "stream"}, DAY, "at every instant"),
    ({"refresh": "slide"}, 2 * DAY, None), ({"refresh": "slide"}, DAY, None),
])
def test_a_view_that_moves_faster_than_labels_of_silence_are_loaded_is_refused(
    tags: dict[str, str], slide: timedelta, moves: str | None
) -> None:
    """Training would count labels that no prediction has seen. Labels that are told are seen."""
    view = parse_view(
        name="toy_returns", keys=["shop"], timestamp="known_at", created="", tags=tags,
        aggregations=[SimpleNamespace(function="count", column="label", time_window=2 * DAY,
                                      slide_interval=slide, name="labelled")])
    service = Service(name="toy_returns", chosen=(Chosen(
        view=View(name=view.name, system="toy", table="labels", windowed=view, definition=""),
        columns=view.columns),))
    told = replace(TOY, truth=Recorded(source="buyer", within=DAY))
    assert of_system(service, told).coded == frozenset()
    if moves is None:
        of_system(service, TOY)
        return
    with pytest.raises(DeclarationError, match=f"'toy_returns' counts labels and moves {moves}.*"
                       "loaded once a day.*Give its aggregations a slide_interval of whole days"):
        of_system(service, TOY)


@pytest.mark.parametrize(("function", "column", "silence", "refused"), [
    ("sum", "label", False, False), ("sum", "label", True, True), ("sum", "amount", False, True),
    ("mean", "label", False, True), ("count", "label", False, True),
])
def test_a_sum_of_labels_does_not_see_those_that_silence_makes_if_they_are_nothing(
    function: str, column: str, silence: bool, refused: bool
) -> None:
    """So it may move with what is told: how often something was charged back until now."""
    view = parse_view(
        name="toy_returns", keys=["shop"], timestamp="known_at", created="",
        tags={"refresh": "stream"},
        aggregations=[SimpleNamespace(function=function, column=column, time_window=2 * DAY,
                                      slide_interval=DAY / 24, name="told")])
    service = Service(name="toy_returns", chosen=(Chosen(
        view=View(name=view.name, system="toy", table="labels", windowed=view, definition=""),
        columns=view.columns),))
    system = replace(TOY, truth=Outcomes(source="buyer", after=DAY, silence=silence))
    if refused:
        with pytest.raises(DeclarationError, match="moves at every instant"):
            of_system(service, system)
    else:
        of_system(service, system)


@pytest.mark.parametrize(("derived", "said"), [
    ({"features": ("latest",)}, "no feature 'latest'.*reads it; put its view into the"),
    ({"columns": (("shp", "text"),)}, "no column 'shp'. Closest: shop"),
    ({"columns": (("shop", "number"),)}, "column 'shop' is number; 'toy' declares it as text"),
])
def test_what_a_function_cannot_read_is_refused(derived: dict[str, Any], said: str) -> None:
    service = service_of("events", of("count", "", "visits"))
    good: dict[str, Any] = {"view": "toy_more", "function": "tests.toy:x", "features": ("visits",),
                            "columns": (("amount", "number"), ("event_timestamp", "instant")),
                            "gives": ("more",)}
    whole = replace(service, derived=(Derived(**good),))
    assert of_system(whole, TOY).features == ("visits", "more")
    with pytest.raises((DeclarationError, UnknownName), match=said):
        of_system(replace(service, derived=(Derived(**good | derived),)), TOY)


def test_a_table_gives_numbers_codes_and_ages() -> None:
    plain = versions.PlainView(name="toy_shops_latest", keys=("shop",), columns=(
        versions.Column("size", "Float64"), versions.Column("kind", "String"),
        versions.Column("opened", "UnixTimestamp"), versions.Column("tags", "Array(String)")))
    view = TableView(name=plain.name, system="toy", table="shops", plain=plain, definition="")
    assert view.features == ("size", "kind", "opened")
    service = Service(name="toy_returns", chosen=(), kept=(
        ChosenRows(view=view, columns=("size", "kind", "opened")),))
    assert SHOPS in TOY.tables
    assert of_system(service, TOY).coded == {"kind"}
