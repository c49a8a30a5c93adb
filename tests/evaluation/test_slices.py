"""Laws of slices: SQL conditions over the rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.policies import Slice
from ml_assets.core.settings import Settings
from ml_assets.definitions import definitions
from ml_assets.evaluation.slices import WRITTEN, require_slices, rows_of
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.systems.spam import SPAM
from tests.toy import TOY
from tests.tracks import TRACKS

ROWS = pd.DataFrame({
    "event_timestamp": pd.date_range("2024-01-01", periods=4, tz="UTC", unit="us"),
    "amount": [5.0, 50.0, np.nan, 500.0],
    "note": ["a", "it's", "", "ü"],
})


def where(condition: str) -> list[bool]:
    return list(rows_of(Slice(name="part", where=condition, description=""), ROWS))


def test_a_slice_holds_the_rows_where_its_condition_is_true() -> None:
    assert where("amount < 100") == [True, True, False, False]
    assert where("note = 'ü' or amount = 5") == [True, False, False, True]
    assert where("event_timestamp >= '2024-01-03'::timestamptz") == [False, False, True, True]


def test_a_missing_number_is_null() -> None:
    assert where("amount is null") == [False, False, True, False]
    assert where("coalesce(amount, 0) < 10") == [True, False, True, False]
    assert where("not amount < 100") == [False, False, False, True]


@pytest.mark.parametrize("condition", ["colour = 'red'", "amount <", "1; drop table rows"])
def test_a_wrong_condition_names_its_slice(condition: str) -> None:
    with pytest.raises(DeclarationError, match="Slice 'part': where="):
        where(condition)


def test_a_slice_of_nothing_is_empty() -> None:
    empty = ROWS.iloc[:0]
    assert rows_of(Slice(name="part", where="amount < 10", description=""), empty).tolist() == []


def declared(condition: str) -> None:
    part = Slice(name="web", where=condition, description="")
    require_slices(replace(TOY, slices=(*TOY.slices, part)), ["shop_events_7d", "shop_rate_30d"])


@pytest.mark.parametrize("condition", [
    "amount < 10", "coalesce(shop_events_7d, 0) = 0 and shop = ''", "split = 'holdout'",
    "upper(note) like '%A%' or not label", "event_timestamp > timestamptz '2024-01-02'",
    '"amount" in (1, 2)', "rows.amount = 1",
])
def test_a_condition_on_columns_and_features_is_accepted(condition: str) -> None:
    declared(condition)


def test_rows_of_slates_have_positions_and_propensities() -> None:
    """Those of other systems have not."""
    require_slices(TRACKS, [])
    stood = Slice(name="web", where="position = 1 and propensity < 1", description="")
    require_slices(replace(TRACKS, slices=(stood,)), [])
    with pytest.raises(DeclarationError, match="'position'"):
        declared("position = 1")


@pytest.mark.parametrize(("condition", "message"), [
    ("shopp = 'web'", r"System 'toy': Slice 'web': where is \"shopp = 'web'\", which names "
                      r"'shopp'; expected .* features of 'toy_returns'\. Closest: 'shop'"),
    ("amount > 1 and rows.nota = ''", "names 'nota'.* Closest: 'note'"),
    ("coalesce(shop_event_7d, 0) = 0", "names 'shop_event_7d'.* Closest: 'shop_events_7d'"),
    ("lower(q) = 'x'", r"names 'q'.* Known: accepted_at, amount, .* split\."),
    ("amount = 'dear'", "expected an SQL condition on the rows to judge: .*'dear'"),
    ("note > 3", "expected an SQL condition"),
    ("amount <", "expected an SQL condition"),
    ("amout(amount) = 1", "expected an SQL condition .*amout"),
    ("sum(amount) > 3", "expected an SQL condition"),
])
def test_any_other_condition_is_refused_before_anything_runs(condition: str, message: str) -> None:
    """A misspelt column would otherwise end the first evaluation, after a training."""
    with pytest.raises(DeclarationError, match=message):
        declared(condition)


def test_a_slice_may_name_just_the_columns_that_a_training_set_has(settings: Settings) -> None:
    schema = TrainingSets(settings, TOY)._schema(("shop_events_7d",))
    assert schema.names == [*WRITTEN, *(column.name for column in TOY.columns), "shop_events_7d"]


def test_loading_the_definitions_checks_the_slices(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For a run of the system it is an error; among others the system is left out, by name."""
    wrong = Slice(name="web", where="sender_event_30d = 0", description="")
    misspelt = replace(SPAM, slices=(*SPAM.slices, wrong))
    monkeypatch.setattr("ml_assets.definitions.SYSTEMS", (misspelt,))
    with pytest.raises(DeclarationError, match="Closest: 'sender_events_30d'"):
        definitions(Settings.from_environment(), [misspelt])
    assert not list(definitions(Settings.from_environment()).assets or ())
    assert "'spam' is left out" in caplog.text and "Closest: 'sender_events_30d'" in caplog.text
