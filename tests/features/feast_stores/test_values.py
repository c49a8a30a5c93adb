"""What may come into the online store: exactly what the view declares, or a refusal by name."""

from __future__ import annotations

import math
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureView, Field, FileSource
from feast.protos.feast.types.Value_pb2 import Int32List, Value
from feast.types import (
    Array,
    Bool,
    Bytes,
    FeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    String,
    UnixTimestamp,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import ContractViolation
from ml_assets.features.feast_stores.feast_values import payloads_of_values
from ml_assets.features.feast_stores.provider import require_fit
from ml_assets.features.online_store.counting import apply_rows, put_rows
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.values import fitted
from ml_assets.features.online_store.versions import Column, PlainView
from tests.features.online_store.kit import registered, windowed
from tests.features.online_store.shop import HOUR, NOW, Shop, customer

JOINED = datetime(2020, 1, 2, tzinfo=UTC)

REFUSED: dict[str, tuple[FeastType, pa.Array, str]] = {
    "int32 from 2^40": (Int32, pa.array([2**40]), "1099511627776"),
    "int64 from a fraction": (Int64, pa.array([1.5]), "1.5"),
    "int64 from infinity": (Int64, pa.array([math.inf]), "inf"),
    "int64 from uint64": (Int64, pa.array([2**63], pa.uint64()), "9223372036854775808"),
    "int64 from a decimal": (Int64, pa.array([Decimal("1.5")]), "1.5"),
    "int64 from a text": (Int64, pa.array(["5"]), "'5'"),
    "float32 from 1e300": (Float32, pa.array([1e300]), "1e\\+300"),
    "float64 from 2^53 + 1": (Float64, pa.array([2**53 + 1]), "9007199254740993"),
    "float64 from a text": (Float64, pa.array(["x"]), "'x'"),
    "bool from 2": (Bool, pa.array([2]), "2"),
    "text from bytes that are none": (String, pa.array([b"\xff"]), r"b'\\xff'"),
    "bytes from a text": (Bytes, pa.array(["x"]), "'x'"),
    "instant from a text": (UnixTimestamp, pa.array(["2020"]), "'2020'"),
    "null in a list of int64": (Array(Int64), pa.array([[1, None]]), "None"),
    "null in a list of float32": (Array(Float32), pa.array([["1", None]]), "None"),
    "null in a list of text": (Array(String), pa.array([["a", None]]), "'a', None"),
    "null in a list of bool": (Array(Bool), pa.array([[True, None]]), "True, None"),
    "null in a list of bytes": (Array(Bytes), pa.array([[b"a", None]]), "b'a', None"),
    "int32 in a list from 2^40": (Array(Int32), pa.array([[1, 2**40]]), "1099511627776"),
    "float32 in a list from 1e300": (Array(Float32), pa.array([[1e300]]), "1e\\+300"),
    "a list in a list": (Array(Array(Int64)), pa.array([[[1], [2, None]]]), "None"),
    "no JSON": (Json, pa.array(["{"]), "'{'"),
}

KEPT: dict[str, tuple[FeastType, pa.Array, Any]] = {
    "int64 from NaN": (Int64, pa.array([math.nan]), None),
    "int32 from int8": (Int32, pa.array([-7], pa.int8()), -7),
    "int64 from a whole float": (Int64, pa.array([2.0**60]), 2**60),
    "bool from NaN": (Bool, pa.array([math.nan]), None),
    "bool from 1": (Bool, pa.array([1]), True),
    "float32 from float64": (Float32, pa.array([0.5]), 0.5),
    "float64 from infinity": (Float64, pa.array([math.inf]), math.inf),
    "text from a dictionary": (String, pa.array(["a"]).dictionary_encode(), "a"),
    "text from a large one": (String, pa.array(["é"], pa.large_string()), "é"),
    "instant from a date": (UnixTimestamp, pa.array([JOINED.date()]), JOINED),
    "instant from nanoseconds": (
        UnixTimestamp, pa.array([JOINED], pa.timestamp("ns", tz="UTC")), JOINED),
    "an empty list": (Array(Int64), pa.array([[]], pa.list_(pa.int64())), []),
    "a list of a large kind": (Array(Int32), pa.array([[1, 2]], pa.large_list(pa.int64())), [1, 2]),
    **{
        f"{dtype} from a column without a type": (dtype, pa.nulls(1), None)
        for dtype in (Int32, Int64, Float32, Float64, Bool, String, Bytes, UnixTimestamp, Map, Json,
                      Array(Int64), Array(String), Array(Array(Int64)))
    },
}

pytestmark = [
    # Feast says so of stream feature views, of its ibis, of its typeguard and of nulls alone.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Cannot write dataframe with empty feature:UserWarning"),
]


class Odds:
    """A view for each case, of one feature `odd` and a source of one row."""

    def __init__(self, folder: Path) -> None:
        shop = Shop(folder, {
            "type": "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore",
            "path": "o.lmdb",
        })
        cases = {**REFUSED, **KEPT}
        self._names = {case: f"v{place}" for place, case in enumerate(cases)}
        self._rows: dict[str, pa.Table] = {}
        views = []
        for case, name in self._names.items():
            dtype, values, _ = cases[case]
            path = folder / f"{name}.parquet"
            self._rows[case] = pa.table({
                "customer": ["ann"], "odd": values,
                "since": pa.array([NOW - HOUR], pa.timestamp("us", tz="UTC")),
            })
            pq.write_table(self._rows[case], path)
            views.append(FeatureView(
                name=name, entities=[customer],
                schema=[Field(name="customer", dtype=String), Field(name="odd", dtype=dtype)],
                source=FileSource(name=name, path=str(path), timestamp_field="since"),
            ))
        shop.open().apply([customer, *views])
        self._store = shop.open()

    def load(self, case: str, way: str) -> None:
        if way == "materialize":
            self._store.materialize(NOW - 24 * HOUR, NOW, [self._names[case]])
        else:
            frame = self._rows[case].to_pandas()
            self._store.write_to_online_store(self._names[case], df=frame)

    def read(self, case: str) -> Any:
        return self._store.get_online_features(
            features=[f"{self._names[case]}:odd"], entity_rows=[{"customer": "ann"}]
        ).to_dict()["odd"][0]


@pytest.fixture(scope="module")
def odds(tmp_path_factory: pytest.TempPathFactory) -> Odds:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Odds(tmp_path_factory.mktemp("odds"))


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_type_cannot_hold_is_refused_by_name_on_every_path(odds: Odds, case: str) -> None:
    said = rf"view 'v\d+': feature 'odd' is declared as .*value .*{REFUSED[case][2]}"
    for way in ("materialize", "write"):
        with pytest.raises(ContractViolation, match=said):
            odds.load(case, way)
        assert odds.read(case) is None


@pytest.mark.parametrize("case", KEPT)
def test_what_a_type_can_hold_and_what_is_null_comes_back_on_every_path(
    odds: Odds, case: str
) -> None:
    expected = KEPT[case][2]
    for way in ("materialize", "write"):
        odds.load(case, way)
        found = odds.read(case)
        assert (found, type(found)) == (expected, type(expected)), way


NUMBERS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-2, 2), st.booleans(),
    st.floats(), st.floats(width=32), st.integers(-(2**54), 2**54).map(float),
)
ARROW = (pa.int8(), pa.int32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_())


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(NUMBERS, max_size=5), kind=st.sampled_from(ARROW),
    declared=st.sampled_from(["Int32", "Int64", "Float32", "Float64", "Bool"]),
    in_list=st.booleans(),
)
def test_a_number_is_stored_as_it_is_or_refused(
    values: list[Any], kind: pa.DataType, declared: str, in_list: bool
) -> None:
    """Equal to the source, but for what a float32 rounds; a NaN is itself or, of others, null."""
    try:
        source = pa.chunked_array([pa.array(values, kind, safe=False)])
    except (pa.ArrowException, OverflowError, TypeError):
        return
    given_values = source.to_pylist()
    column = Column("f", declared)
    if in_list:
        column = Column("f", f"Array({declared})")
        source = pa.chunked_array([pa.array([given_values], pa.list_(kind))])
    try:
        found = fitted("v", column, source).to_pylist()
    except ContractViolation as error:
        assert "feature view 'v': feature 'f'" in str(error)
        assert not all(_fits(value, declared) for value in given_values) or in_list
        return
    if in_list:
        [found] = found
    for value, stored in zip(given_values, found, strict=True):
        is_nan = isinstance(value, float) and math.isnan(value)
        if value is None or (is_nan and "Float" not in declared):
            assert stored is None
            assert not in_list
        elif is_nan:
            assert math.isnan(stored)
        elif declared == "Float32":
            assert stored == pytest.approx(float(value), rel=2**-23, abs=2**-149)
        else:
            assert stored == value


def _fits(value: Any, declared: str) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    if "Float" in declared:
        largest = 3.4e38 if declared == "Float32" else math.inf
        return abs(value) <= 2**53 if isinstance(value, int) else (
            math.isinf(value) or abs(value) < largest
        )
    lowest, highest = {
        "Bool": (0, 1), "Int32": (-(2**31), 2**31 - 1), "Int64": (-(2**63), 2**63 - 1),
    }[declared]
    return math.isfinite(value) and value == int(value) and lowest <= value <= highest


def test_a_protobuf_value_of_another_type_is_refused() -> None:
    """Whoever writes protobuf by hand, as a remote store does."""
    view = PlainView(name="v", keys=("k",), columns=(
        Column("n", "Int32"), Column("many", "Array(Int64)"),
    ))
    with pytest.raises(ContractViolation, match="'n' is declared as Int32 and has the value 1099"):
        payloads_of_values(view, [{"n": Value(int64_val=2**40)}])
    with pytest.raises(ContractViolation, match=r"'many' is declared as Array\(Int64\)"):
        payloads_of_values(view, [{"many": Value(int32_list_val=Int32List(val=[1]))}])
    [payload] = payloads_of_values(view, [{"n": Value(int64_val=7)}])
    assert payload == payloads_of_values(view, [{"n": Value(int32_val=7)}])[0]


def test_a_column_of_a_frame_that_mixes_types_is_named() -> None:
    view = FeatureView(name="odds", schema=[Field(name="odd", dtype=Int64)], source=FileSource(
        name="odds", path="odd.parquet", timestamp_field="since"))
    with pytest.raises(ContractViolation, match="view 'odds': feature 'odd'"):
        require_fit(view, pd.DataFrame({"odd": [1, "x"]}), {})


def test_columns_without_a_type_are_nobodys_rows(tmp_path: Path) -> None:
    """Of a windowed view: instants, keys, values and creation times that no row has."""
    columns = {
        "customer": pa.array(["ann", "bob"]), "known_at": pa.array([NOW, NOW]),
        "written": pa.array([NOW, NOW]), "event_id": pa.array(["a", "b"]),
        "amount": pa.array([1.0, 2.0]),
    }
    view = windowed(("sum", "amount", 12, 3), created="written")
    for name, counted in (("customer", 0), ("known_at", 0), ("written", 2), ("amount", 2)):
        backend = LmdbBackend(tmp_path / f"{name}.lmdb")
        registered(backend, view)
        assert apply_rows(view, backend, pa.table({**columns, name: pa.nulls(2)})) == counted
        backend.close()
    plain = PlainView(name="ages", keys=("customer",), columns=(Column("amount", "Int64"),))
    for name, stored in (("customer", 0), ("known_at", 0), ("written", 2), ("amount", 2)):
        backend = LmdbBackend(tmp_path / f"{name}.lmdb")
        registered(backend, plain)
        assert put_rows(plain, backend, pa.table({**columns, name: pa.nulls(2)}),
                        timestamp="known_at", created="written") == stored
        backend.close()
