"""Declaring windows in Feast's own objects: what follows, and what is refused by name."""

from __future__ import annotations

import subprocess
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.core.errors import DeclarationError, UnknownName
from ml_assets.core.settings import ROOT

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def card() -> Any:
    from feast import Entity, ValueType

    return Entity(name="fraud_card", join_keys=["card"], value_type=ValueType.STRING)


def declare(card: Any, *, labels: bool = False, **aggregation: Any) -> Any:
    from feast.aggregation import Aggregation

    from ml_assets.features.declaration import event_stream, label_stream, windowed_view

    said = {"function": "count", "time_window": DAY, "name": "payments_1d", **aggregation}
    return windowed_view(
        "card_spending", system="fraud", entities=[card],
        source=label_stream("fraud") if labels else event_stream("fraud"),
        aggregations=[Aggregation(**said)],
    )


def test_the_schema_follows_from_the_aggregations(card: Any) -> None:
    from feast.types import Array, Float64, Int64

    for function, dtype in (("count", Int64), ("mean", Float64), ("last_n(3)", Array(Float64)),
                            ("approx_count_distinct", Int64)):
        column = "" if function == "count" else "amount"
        view = declare(card, function=function, column=column)
        assert [(field.name, field.dtype) for field in view.features] == [("payments_1d", dtype)]
        assert [column.name for column in view.entity_columns] == ["card"]


def test_events_count_at_once_and_labels_once_a_slide(card: Any) -> None:
    assert declare(card).tags == {"system": "fraud"}
    labels = declare(card, labels=True)
    assert (labels.tags["refresh"], labels.timestamp_field) == ("slide", "known_at")


@pytest.mark.parametrize(("wrong", "error", "says"), [
    ({"function": "cuont"}, UnknownName, "no aggregate function 'cuont'. Closest: count"),
    ({"function": "sum"}, DeclarationError, "column is empty; sum needs one"),
    ({"slide_interval": timedelta(hours=7)}, DeclarationError, "no multiple of slide_interval"),
    ({"column": "no column"}, DeclarationError, "column is 'no column'"),
    ({"name": "payments 1d"}, DeclarationError, "expected an identifier"),
])
def test_a_wrong_aggregation_is_refused_by_view_and_name(
    card: Any, wrong: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as refused:
        declare(card, **wrong)
    assert says in str(refused.value)
    assert "'fraud_card_spending', aggregation 'payments" in str(refused.value)


def test_a_view_made_without_our_words_is_checked_at_the_door(card: Any) -> None:
    from feast import Field, StreamFeatureView
    from feast.aggregation import Aggregation
    from feast.types import Int64, String

    from ml_assets.features.declaration import check, event_stream

    def native(feature: str, function: str, dtype: Any = Int64) -> StreamFeatureView:
        return StreamFeatureView(
            name="card_spending", entities=[card], source=event_stream("fraud"), ttl=DAY,
            timestamp_field="event_timestamp",
            schema=[Field(name="card", dtype=String), Field(name=feature, dtype=dtype)],
            aggregations=[Aggregation(function=function, time_window=DAY, name="payments_1d")],
        )

    check([native("payments_1d", "count"), card, "no view"])
    with pytest.raises(UnknownName, match=r"no aggregation 'payments_2d'\. Closest: payments_1d"):
        check([native("payments_2d", "count")])
    with pytest.raises(DeclarationError, match="'payments_1d' is declared as String; count gives"):
        check([native("payments_1d", "count", String)])
    with pytest.raises(UnknownName, match="no aggregate function 'median'"):
        check([native("payments_1d", "median")])


DEFINITIONS = """
from datetime import timedelta
from feast import Entity, ValueType
from feast.aggregation import Aggregation
from ml_assets.features.declaration import event_stream, windowed_view

card = Entity(name="fraud_card", join_keys=["card"], value_type=ValueType.STRING)
spending = windowed_view(
    "card_spending", system="fraud", entities=[card], source=event_stream("fraud"),
    aggregations=[Aggregation(function="cuont", time_window=timedelta(days=1), name="payments")],
)
"""


def test_feast_apply_fails_before_it_writes_anything(tmp_path: Path) -> None:
    written = (ROOT / "feature_repo" / "feature_store.yaml").read_text()
    (tmp_path / "repo").mkdir()
    (tmp_path / "var" / "feast").mkdir(parents=True)
    (tmp_path / "repo" / "feature_store.yaml").write_text(written)
    (tmp_path / "repo" / "definitions.py").write_text(DEFINITIONS)
    with warnings.catch_warnings():
        done = subprocess.run(
            [Path(sys.executable).parent / "feast", "apply"], cwd=tmp_path / "repo",
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "Feature view 'fraud_card_spending', aggregation 'payments'" in done.stderr
    assert not (tmp_path / "var" / "event_log.sqlite").exists()
