"""Feast's provider, which holds what is pushed to the rule of what is loaded.

    provider: ml_assets.features.feast_stores.provider.PackedProvider

Feast turns what is pushed into protobuf before a store sees it, and then a null in a list is a
zero, a fraction a whole number and a large number an infinity.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
from feast.infra.passthrough_provider import PassthroughProvider

from ml_assets.features.feast_stores.declared import types_of
from ml_assets.features.feast_stores.feast_values import encoded
from ml_assets.features.online_store.values import fitted, is_checked, refused
from ml_assets.features.online_store.versions import Column


class PackedProvider(PassthroughProvider):
    """`provider: local`, with the values of `push` and `write_to_online_store` looked at."""

    @staticmethod
    def _prep_rows_to_write_for_ingestion(
        feature_view: Any, df: pd.DataFrame, field_mapping: dict[str, str] | None = None
    ) -> Any:
        require_fit(feature_view, df, field_mapping or {})
        return PassthroughProvider._prep_rows_to_write_for_ingestion(
            feature_view=feature_view, df=df, field_mapping=field_mapping
        )


def require_fit(view: Any, frame: pd.DataFrame, names: dict[str, str]) -> None:
    """Raise ContractViolation if a value does not fit the view's type, see `values`.

    names: columns of the frame that the view calls otherwise, beside those that its source maps
    """
    batch = getattr(view, "batch_source", None)
    names = {**(batch.field_mapping if batch is not None else {}), **names}
    declared, fields = types_of(view), {each.name: each.dtype for each in view.features}
    for each in frame.columns:
        name = names.get(each, each)
        if name in declared:
            column = Column(name, declared[name])
            try:
                values = pa.chunked_array([pa.array(frame[each], from_pandas=True)])
            except (pa.ArrowException, ValueError, TypeError) as error:
                raise refused(view.name, column, frame[each].tolist(), error) from None
            values = fitted(view.name, column, values)
            if not is_checked(column):
                encoded(view.name, {name: fields[name]}, column, values)
