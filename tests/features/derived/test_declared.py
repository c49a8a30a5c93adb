"""Derived views in Feast, and what of them is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from ml_assets.core.codes import code_of
from ml_assets.core.errors import DeclarationError
from ml_assets.features.derived.declared import Arrays, Derived
from tests.market_functions import haggled

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def in_feast(view: Any, rows: pd.DataFrame) -> pd.DataFrame:
    found: pd.DataFrame = view.feature_transformation.udf(rows)
    return found


def test_feast_has_the_function_as_an_on_demand_view() -> None:
    from tests.market_features import haggling

    assert haggling.mode == "pandas"
    rows = pd.DataFrame({
        "price_1d": [2.0, None], "price": [3.0, 1.0], "pays": ["cash", None],
        "event_timestamp": pd.to_datetime(["2024-01-08T19:00Z", "2024-01-08T12:00Z"]),
    })
    given = in_feast(haggling, rows)
    assert given["dearer"].tolist()[0] == 1.5 and pd.isna(given["dearer"].tolist()[1])
    assert given["cash_late"].tolist() == [1.0, 0.0]


def test_feast_calls_the_same_function_once_it_has_read_the_view_from_its_registry() -> None:
    """Feast 0.67 makes it anew of its text, which knows nothing of the module it was in."""
    from feast.on_demand_feature_view import OnDemandFeatureView

    from tests.market_features import haggling

    read = OnDemandFeatureView.from_proto(haggling.to_proto())
    rows = pd.DataFrame({
        "price_1d": [2.0], "price": [3.0], "pays": ["cash"],
        "event_timestamp": pd.to_datetime(["2024-01-08T19:00Z"]),
    })
    assert in_feast(read, rows).to_dict("list") == {"dearer": [1.5], "cash_late": [1.0]}
    kept: Any = haggling.feature_transformation
    assert read.feature_transformation == kept
    assert "def haggled(rows: Arrays)" in kept.udf_string


def test_what_is_declared_comes_back_from_tags() -> None:
    from tests.market_features import haggling

    found = Derived.read(haggling.name, haggling.tags, ("dearer", "cash_late"), "text")
    assert found.load() is haggled
    assert found.features == ("price_1d",)
    assert found.columns == (("price", "number"), ("pays", "category"),
                             ("event_timestamp", "instant"))
    other = Derived.read(haggling.name, haggling.tags, ("dearer", "cash_late"), "another text")
    assert found.definition != other.definition


def test_an_on_demand_view_of_somebody_else_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"'stars': .* declared with .*derived_view"):
        Derived.read("stars", {}, ("stars",), "")


def of_kind(rows: Arrays) -> Arrays:
    return {"is_street": rows["kind"] == code_of("street")}


def test_a_text_of_a_table_is_its_code_to_a_function_of_feast_too() -> None:
    from ml_assets.features.declaration import derived_view
    from tests.toy_features import shops

    view = derived_view("kinds", system="toy", function=of_kind, gives=["is_street"],
                        features=[shops[["kind"]]])
    given = in_feast(view, pd.DataFrame({"kind": ["street", None, "mall"]}))
    assert given["is_street"].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(("changes", "said"), [
    ({"gives": []}, "'toy_more' gives \\[\\] of 0 features and 1 columns; expected at least one"),
    ({"columns": {}}, "gives \\['x'\\] of 0 features and 0 columns"),
    ({"columns": {"event_timestamp": "number"}}, "event_timestamp is 'number'; expected 'instant'"),
    ({"function": lambda rows: rows}, "function is .*lambda.*; expected one that a module defines"),
])
def test_a_wrong_declaration_is_refused(changes: dict[str, Any], said: str) -> None:
    from ml_assets.features.declaration import derived_view

    good: dict[str, Any] = {"system": "toy", "function": of_kind, "gives": ["x"],
                            "columns": {"amount": "number"}}
    with pytest.raises(DeclarationError, match=said):
        derived_view("more", **good | changes)


def test_a_function_reads_no_lists_and_no_instants_of_tables() -> None:
    from ml_assets.features.declaration import derived_view
    from tests.market_features import baskets, stalls

    for part in (baskets[["bought"]], stalls[["built"]]):
        with pytest.raises(DeclarationError, match=r"'(bought|built)' is .*; a function reads"):
            derived_view("more", system="market", function=of_kind, gives=["x"], features=[part])


def test_a_function_beside_feast_s_objects_is_refused() -> None:
    """Every process that serves imports its module."""
    from ml_assets.features.declaration import derived_view
    from tests import market_features

    with pytest.raises(DeclarationError, match=r"module of the function, tests.market_features, "
                       r"imports .*Entity.* of Feast"):
        derived_view("more", system="toy", gives=["x"], columns={"amount": "number"},
                     function=market_features.of)  # type: ignore[arg-type]
    assert timedelta(hours=1) == market_features.HOUR
