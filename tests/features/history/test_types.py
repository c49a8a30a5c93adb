"""Every type of Feast's as a feature: its values come back, and it harms no other feature."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import (
    SUPPORTED_BASE_TYPES,
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Invalid,
    Json,
    Map,
    PdfBytes,
    PrimitiveFeastType,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)

from tests.features.history.events import INSTANT
from tests.features.history.kit import (
    ask,
    city,
    driver,
    feast_store,
    hours,
    spine,
    values,
    write,
)

pytestmark = pytest.mark.slow

UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
SINCE = datetime(2020, 2, 29, 12, tzinfo=UTC)

SCALARS: dict[Any, tuple[pa.DataType, Any]] = {
    String: (pa.string(), "Zürich"), Bytes: (pa.binary(), b"\0\xff"),
    PdfBytes: (pa.binary(), b"%PDF"), ImageBytes: (pa.binary(), b"\x89PNG"),
    Bool: (pa.bool_(), True), Int32: (pa.int32(), -7), Int64: (pa.int64(), 2**62),
    Float32: (pa.float32(), 0.5), Float64: (pa.float64(), 1e300), UnixTimestamp: (INSTANT, SINCE),
    Map: (pa.map_(pa.string(), pa.string()), [("a", "1")]),
    ScalarMap: (pa.map_(pa.string(), pa.string()), [("a", "1")]),
    Json: (pa.large_string(), '{"a": [1]}'), Uuid: (pa.string(), UUID),
    TimeUuid: (pa.string(), UUID), Decimal: (pa.string(), "1.10"),
    ZonedTimestamp: (INSTANT, SINCE), Invalid: (pa.string(), "whatever"),
}


def _made(kind: Any) -> tuple[pa.DataType, Any]:
    if isinstance(kind, Array | Set):
        inner, value = _made(kind.base_type)
        return pa.list_(inner), [value]
    if isinstance(kind, Struct):
        made = {name: _made(each) for name, each in kind.fields.items()}
        return (pa.struct([(name, inner) for name, (inner, _) in made.items()]),
                {name: value for name, (_, value) in made.items()})
    return SCALARS[kind]


def _can_be_registered(kind: PrimitiveFeastType, collection: str) -> bool:
    """Feast itself fails at `apply` on some collections, such as a list of pictures."""
    return f"{kind.to_value_type().name}_{collection}" in ValueType.__members__


STRUCT = Struct({"x": Int64, "photo": Bytes, "names": Array(String)})
KINDS: list[Any] = [
    *SCALARS,
    *(Array(each) for each in SUPPORTED_BASE_TYPES if _can_be_registered(each, "LIST")),
    *(Set(each) for each in SUPPORTED_BASE_TYPES if _can_be_registered(each, "SET")),
    STRUCT, Array(STRUCT), Array(Array(Bytes)), Set(Array(Int64)), Array(Set(String)),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """For each type a view over a file and one over nothing; a view of all of them."""
    folder = tmp_path_factory.mktemp("types")
    columns = {f"f{place}": _made(kind) for place, kind in enumerate(KINDS)}
    schema = pa.schema([
        ("driver", pa.string()), ("at", INSTANT), ("calm", pa.int64()),
        *((name, kind) for name, (kind, _) in columns.items()),
    ])
    row = {"driver": "ann", "at": hours(0), "calm": 7}
    write(folder / "all.parquet",
          [row | {name: value for name, (_, value) in columns.items()}, row | {"driver": "bob"}],
          schema)

    def view(name: str, path: str, kinds: dict[str, Any]) -> FeatureView:
        return FeatureView(
            name=name, entities=[driver], ttl=timedelta(0),
            schema=[Field(name="driver", dtype=String), Field(name="calm", dtype=Int64),
                    *(Field(name=each, dtype=kind) for each, kind in kinds.items())],
            source=FileSource(name=f"{name} source", path=path, timestamp_field="at"),
        )

    every = {f"f{place}": kind for place, kind in enumerate(KINDS)}
    views = [view("every", "all.parquet", every), view("none", "none.parquet", every)]
    views += [view(f"only_{name}", "all.parquet", {name: kind}) for name, kind in every.items()]
    return feast_store(folder, [driver, city, *views])


def test_no_type_is_forgotten() -> None:
    assert set(PrimitiveFeastType) == set(SCALARS)


@pytest.mark.parametrize("place", range(len(KINDS)), ids=[str(each) for each in KINDS])
def test_values_of_every_type_come_back(store: FeatureStore, place: int) -> None:
    name, (_, value) = f"f{place}", _made(KINDS[place])
    found = ask(
        store, spine(("ann", 1), ("bob", 1), ("zoe", 1)), [f"only_f{place}:{name}",
                                                           f"only_f{place}:calm"]
    ).to_arrow()
    assert values(found, name) == [value, None, None]
    assert values(found, "calm") == [7, 7, None]


@pytest.mark.parametrize("view", ["every", "none"])
def test_one_field_of_any_type_harms_no_other_feature(store: FeatureStore, view: str) -> None:
    """Also where there is no file yet, and all at once."""
    found = ask(store, spine(("ann", 1)), [f"{view}:calm"]).to_arrow()
    assert values(found, "calm") == [7 if view == "every" else None]
    names = [f"f{place}" for place in range(len(KINDS))]
    found = ask(store, spine(("ann", 1)), [f"{view}:{name}" for name in names]).to_arrow()
    wanted = [_made(kind)[1] if view == "every" else None for kind in KINDS]
    assert [values(found, name)[0] for name in names] == wanted
    assert len(found.to_pandas()) == 1
