"""The keys of many rows are those of each row alone, however they are made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.features.engine.events import entity_key, entity_keys

VALUES = st.sampled_from(["", "a", "ab", "b", None, 0, 1, True, 1.0, 2.5, float("nan"), b"", 7])


@given(rows=st.lists(st.fixed_dictionaries({}, optional={"x": VALUES, "y": VALUES}), min_size=1,
                     max_size=20),
       shared=st.none() | VALUES, names=st.sampled_from([("x",), ("x", "y"), ()]))
def test_keys_of_rows_together_are_those_of_each_alone(
    rows: list[dict[str, object]], shared: object, names: tuple[str, ...]
) -> None:
    """Also where all rows share a value, which is then made once."""
    asked = [{**row, "y": shared} for row in rows]
    assert entity_keys(asked, names) == [
        entity_key([row.get(name) for name in names]) or b"" for row in asked]
