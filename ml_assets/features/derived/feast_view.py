"""A derived view as Feast's own on-demand feature view, in pandas mode."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from feast import FeatureView, Field, RequestSource
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.transformation.pandas_transformation import PandasTransformation
from feast.types import Bool, Float64, Int64, PrimitiveFeastType, String, UnixTimestamp

from ml_assets.core.codes import codes_of
from ml_assets.core.data.columns import Dtype
from ml_assets.core.errors import DeclarationError
from ml_assets.features.derived.computing import read_column
from ml_assets.features.derived.declared import HAPPENED, Derived, Function, name_of

KINDS: Mapping[Dtype, PrimitiveFeastType] = {
    "text": String, "number": Float64, "integer": Int64, "category": String, "boolean": Bool,
    "instant": UnixTimestamp,
}
"""What a column is in Feast."""
_READ = ("Float64", "Float32", "Int64", "Int32", "Bool", "String")


def on_demand_view(
    name: str, system: str, function: Function, features: Sequence[FeatureView],
    columns: Mapping[str, Dtype], gives: Sequence[str], description: str,
) -> OnDemandFeatureView:
    """See `declaration.derived_view`."""
    full = f"{system}_{name}"
    owner = f"derived view {full!r}"
    read = [field for view in features for field in view.projection.features]
    for field in read:
        if str(field.dtype) not in _READ:
            raise DeclarationError(f"{owner}: feature {field.name!r} is {field.dtype}; a function "
                                   f"reads {', '.join(_READ)}")
    if columns.get(HAPPENED, "instant") != "instant":
        raise DeclarationError(f"{owner}: {HAPPENED} is {columns[HAPPENED]!r}; expected 'instant'")
    if not gives or not (read or columns):
        raise DeclarationError(f"{owner} gives {list(gives)} of {len(read)} features and "
                               f"{len(columns)} columns; expected at least one of each")
    derived = Derived(
        view=full, function=name_of(function, owner), gives=tuple(gives),
        features=tuple(field.name for field in read), columns=tuple(columns.items()),
    )
    request = [RequestSource(name=f"{full}_request", schema=[
        Field(name=each, dtype=KINDS[dtype]) for each, dtype in columns.items()
    ])] if columns else []
    return OnDemandFeatureView(
        name=full, sources=[*features, *request], mode="pandas", description=description,
        schema=[Field(name=each, dtype=Float64) for each in gives],
        feature_transformation=PandasTransformation(
            udf=in_pandas(derived), udf_string=_source(derived, function)),
        tags={"system": system, **derived.tags()},
    )


def in_pandas(derived: Derived) -> Any:
    """The function for a frame, as Feast calls it."""
    function = derived.load()

    def of_frame(rows: pd.DataFrame) -> pd.DataFrame:
        read = {name: _feature(rows[name]) for name in derived.features}
        read |= {name: read_column(dtype, rows[name]) for name, dtype in derived.columns}
        given = function(read)
        return pd.DataFrame({name: np.asarray(given[name], np.float64) for name in derived.gives})

    return of_frame


def _source(derived: Derived, function: Function) -> str:
    """What Feast keeps, and runs wherever it reads the view from its registry (0.67): a function
    of a frame that finds ours, and ours, to be read by people and to tell when it changes.
    """
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef), f"{derived.function} is defined by `def`"
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    called = f"view={derived.view!r}, tags={derived.tags()!r}, gives={derived.gives!r}, text=''"
    return (f"def of_frame(rows):\n"
            f"    from {Derived.__module__} import Derived\n"
            f"    from {__name__} import in_pandas\n"
            f"    return in_pandas(Derived.read({called}))(rows)\n\n\n{ast.unparse(node)}\n")


def _feature(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """As a vector has it: a text is its code."""
    if any(isinstance(each, str) for each in values):
        return codes_of([each if isinstance(each, str) else None for each in values])
    return values.to_numpy(dtype=np.float64, na_value=np.nan)
