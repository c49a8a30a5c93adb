"""A wrong declaration fails where it is written, with an error that names the field."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from ml_assets.core import errors
from ml_assets.core.data.columns import Column
from ml_assets.core.model import Categories, HashedText, Numbers
from ml_assets.core.policies import DriftPolicy, Gate, RetrainingPolicy
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.truths import Recorded
from ml_assets.systems import SYSTEMS, find
from ml_assets.targets import Binary, Classes, Number
from tests.toy import TOY

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("kind", "arguments", "field"),
    [
        (Binary, {"name": "is spam"}, "Binary.name"),
        (Classes, {"name": "queue", "classes": ("a",)}, "Classes.classes"),
        (Number, {"name": "delay", "unit": "min", "tolerance": 0}, "Number.tolerance"),
        (Column, {"name": "x", "dtype": "text", "description": "", "minimum": 1}, "minimum"),
        (Gate, {"metric": "roc_auc"}, "Gate.at_least"),
        (Gate, {"metric": "roc_auc", "at_least": 0.9, "at_most": 0.99}, "Gate.at_least"),
        (RetrainingPolicy, {"after_labels": 0, "max_age": DAY, "cooldown": DAY}, "after_labels"),
        (DriftPolicy, {"false_discovery_rate": 5}, "false_discovery_rate"),
        (Column, {"name": "event_id", "dtype": "text", "description": ""}, "Column.name"),
        (Column, {"name": "price", "dtype": "float", "description": ""}, "Column.dtype"),
        (Entity, {"name": "a b", "description": ""}, "Entity.name"),
        (Calendar, {"first_day": date(2024, 1, 2), "go_live": date(2024, 1, 1)}, "go_live"),
        (Numbers, {}, "Numbers.columns"),
        (Binary, {"name": "is_spam", "threshold": 50}, "Binary.threshold"),
        (HashedText, {"buckets": 1000}, "buckets"),
    ],
)
def test_a_wrong_value_is_named(kind: Any, arguments: dict[str, Any], field: str) -> None:
    """The error says which field of what, what was found and what is expected."""
    with pytest.raises(errors.DeclarationError, match=field) as caught:
        kind(**arguments)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Spam Filter"}, r"System\.name"),
        ({"owners": ("nobody",)}, "owners"),
        ({"entities": (Entity(name="shopp", description=""),)}, "'shopp'.*declared text"),
        ({"sticky_by": "note"}, "sticky_by names 'note', which is not a declared entity.*shop"),
        ({"scores_by": "shopp"}, "scores_by names 'shopp', which is not a declared entity.*shop"),
        ({"model": replace(TOY.model, inputs=(Numbers("amuont"),))},
         "Numbers names 'amuont'; .*: amount. Closest: 'amount'"),
        ({"model": replace(TOY.model, inputs=(Categories("amount"),))},
         "'amount', which is number; expected a column of 'category', 'text' or 'integer'"),
        ({"gates": (*TOY.gates, TOY.gates[0])}, "each gate once"),
        ({"gates": (Gate(metric="auc", at_least=0.9),)},
         "gates names 'auc', which is not a declared metric of returned.*Closest: 'roc_auc'"),
        ({"target": Number(name="delay", unit="min", tolerance=1)}, "'roc_auc'.*metric of delay"),
        ({"gates": (Gate(metric="recall", at_least=0.1, slice="dear"),)}, "'dear'.*cheap"),
        ({"streams": (*TOY.streams, *TOY.streams)}, "unique names"),
        ({"streams": ()}, "exactly one with asked=True"),
    ],
)
def test_a_name_that_nothing_declares_is_named(change: dict[str, Any], message: str) -> None:
    """A typing mistake is found when the declaration is imported, not when it is used."""
    with pytest.raises(errors.DeclarationError, match=message):
        replace(TOY, **change)


def test_without_gates_of_its_own_a_system_has_those_of_its_target() -> None:
    """Whatever is predicted, a candidate must lose less than the champion."""
    assert [gate.name for gate in replace(TOY, gates=()).gates] == [
        "roc_auc_floor", "log_loss_better"]
    number = Number(name="delay", unit="min", tolerance=1)
    truth = Recorded(source="buyer", within=DAY)
    late = replace(TOY, target=number, truth=truth, gates=())
    assert late.gates[-1].name == "squared_error_better"


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_system_is_found_by_its_name(system: System) -> None:
    """And names are unique."""
    assert find(system.name) is system


def test_an_unknown_system_offers_the_closest_name() -> None:
    """`ml-assets run spamm` must help."""
    with pytest.raises(errors.UnknownName, match=r"'spamm'.*Closest: spam"):
        find("spamm")


@pytest.mark.parametrize("kind", [
    kind for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.MlAssetsError)
    and kind is not errors.MlAssetsError
])
def test_every_error_is_a_standard_type_too_and_survives_pickling(kind: type[Exception]) -> None:
    """Dagster carries errors between processes."""
    assert len([base for base in kind.__mro__ if base.__module__ == "builtins"]) > 3
    copy = pickle.loads(pickle.dumps(kind("what was found")))
    assert type(copy) is kind and "what was found" in str(copy)
