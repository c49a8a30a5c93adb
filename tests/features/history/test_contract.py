"""The same questions to Feast's own DuckDB store and to ours: the same values.

Feast's loses the order of the spine, so that it is asked with a column that numbers the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64, String

from tests.features.history.events import INSTANT
from tests.features.history.kit import (
    HOUR,
    city,
    driver,
    feast_store,
    feasts_own_engine,
    hours,
    rating,
    ratings_view,
    spine,
    write,
)

pytestmark = [
    pytest.mark.slow,
    # ibis calls a name that DuckDB 2.0 deprecates.
    pytest.mark.filterwarnings("ignore:fetch_arrow_table"),
]

ROWS = [
    rating("ann", 0, 1.0, trips=10), rating("ann", 2, 2.0, trips=20),
    # A tie, of which the second was created later; then one that was corrected much later.
    rating("bob", 1, 3.0, created=1), rating("bob", 1, 4.0, created=5, trips=40),
    rating("bob", 3, None, city=2, trips=None),
    rating(None, 0.1, 9.0), rating("cem", 0.2, 7.0, city=None), rating("cem", 6, 8.0, created=20),
]

SPINE = spine(
    ("bob", 2), ("ann", 2), ("ann", 1.999), ("ann", 2), ("zoe", 5), (None, 5), ("bob", 4),
    ("cem", 7), ("bob", 0), ("ann", 12), ("ann", 5), ("cem", 30),
    city=[1, 1, 1, 1, 1, 1, 2, 1, 1, 2, 3, 1], row=range(12), note=list("abcdefghijkl"),
)


@dataclass
class Both:
    feast: FeatureStore
    ours: FeatureStore

    def ask(self, rows: pd.DataFrame, features: Any, **more: Any) -> pd.DataFrame:
        """The answer of ours, once Feast's is found to be the same."""
        theirs = self.feast.get_historical_features(
            entity_df=rows.copy(), features=features, **more
        ).to_df()
        mine: pd.DataFrame = self.ours.get_historical_features(
            entity_df=rows, features=features, **more
        ).to_df()
        theirs = theirs.sort_values("row").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, theirs[list(mine.columns)], check_dtype=False)
        assert sorted(mine.columns) == sorted(theirs.columns)
        return mine


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("contract")
    path = write(folder / "ratings.parquet", ROWS)
    renamed = pa.schema([("who", pa.string()), ("at", INSTANT), ("r_y", pa.float64())])
    write(folder / "renamed.parquet",
          [{"who": "ann", "at": hours(1), "r_y": 0.5}, {"who": "bob", "at": hours(1), "r_y": 1.5}],
          renamed)
    mapped = FeatureView(
        name="mapped", entities=[driver], ttl=timedelta(0),
        schema=[Field(name="driver", dtype=String), Field(name="score", dtype=Float64)],
        source=FileSource(name="mapped source", path=str(folder / "renamed.parquet"),
                          timestamp_field="at", field_mapping={"who": "driver", "r_y": "score"}),
    )
    single = FeatureView(
        name="fleet", entities=[], ttl=3 * HOUR, schema=[Field(name="trips", dtype=Int64)],
        source=FileSource(name="fleet source", path=str(path), timestamp_field="at",
                          created_timestamp_column="created"),
    )
    views = [
        ratings_view(path), ratings_view(path, "short", ttl=2 * HOUR),
        ratings_view(path, "by_city", keys=("driver", "city")),
        ratings_view(path, "city_only", keys=("city",), created=False), mapped, single,
    ]
    services = [
        FeatureService(name="aliased", features=[
            views[0].with_name("rated").with_join_key_map({"driver": "colleague"})[["rating"]],
            views[0].with_name("own")[["trips"]],
        ]),
    ]
    objects = [driver, city, *views, *services]
    with feasts_own_engine():
        yield Both(
            feast=feast_store(folder / "feast", objects, type="duckdb"),
            ours=feast_store(folder / "ours", objects),
        )


@pytest.mark.parametrize("full_feature_names", [False, True])
def test_the_latest_row_answers_and_the_later_created_of_a_tie(
    both: Both, full_feature_names: bool
) -> None:
    found = both.ask(
        SPINE, ["ratings:rating", "ratings:trips"], full_feature_names=full_feature_names
    )
    name = "ratings__rating" if full_feature_names else "rating"
    assert found[name].tolist()[:3] == [4.0, 2.0, 1.0]
    assert list(found.columns[:-2]) == list(SPINE.columns)
    assert found["note"].tolist() == SPINE["note"].tolist()


def test_a_row_counts_until_its_ttl_has_passed(both: Both) -> None:
    edge = spine(("ann", 4), ("ann", 4.0001), ("ann", 2), ("bob", 5), row=range(4))
    found = both.ask(edge, ["short:rating"])
    assert found["rating"].isna().tolist() == [False, True, False, True]
    both.ask(SPINE, ["short:rating", "short:trips"])


def test_what_was_created_later_than_the_instant_may_be_left_out(both: Both) -> None:
    found = both.ask(SPINE, ["ratings:rating"], filter_by_created_timestamp=True)
    assert found["rating"].tolist()[0] == 3.0, "the correction had not been written"
    assert found["rating"].tolist()[7] == 7.0
    both.ask(SPINE, ["by_city:trips"], filter_by_created_timestamp=True)


def test_all_join_keys_have_to_be_equal_and_a_null_equals_nothing(both: Both) -> None:
    found = both.ask(SPINE, ["by_city:rating", "by_city:trips"])
    assert found["rating"].isna().tolist()[4:6] == [True, True]


def test_a_view_without_entities_answers_for_all(both: Both) -> None:
    both.ask(SPINE, ["fleet:trips"])


def test_columns_may_be_called_otherwise_than_in_the_files(both: Both) -> None:
    assert both.ask(SPINE, ["mapped:score"])["score"].tolist()[:2] == [1.5, 0.5]


def test_several_views_and_aliased_entities_are_joined_at_once(both: Both) -> None:
    colleagues = SPINE.assign(colleague=SPINE["driver"].tolist()[::-1])
    service = both.ours.get_feature_service("aliased")
    found = both.ask(colleagues, service, full_feature_names=True)
    assert list(found.columns[-2:]) == ["rated__rating", "own__trips"]
    both.ask(SPINE, ["ratings:rating", "by_city:trips", "mapped:score"])


@pytest.mark.parametrize("when", [
    lambda at: at.dt.tz_localize(None), lambda at: at.dt.strftime("%Y-%m-%d %H:%M:%S.%f"),
    lambda at: at.dt.tz_convert("Europe/Berlin"), lambda at: at.astype(object),
], ids=["naive", "text", "another zone", "objects"])
def test_an_instant_may_be_written_in_several_ways(both: Both, when: object) -> None:
    assert callable(when)
    rows = SPINE.assign(event_timestamp=when(SPINE["event_timestamp"]))
    found = both.ours.get_historical_features(entity_df=rows, features=["ratings:rating"]).to_df()
    told = both.ask(SPINE, ["ratings:rating"])
    assert found["rating"].equals(told["rating"])
    assert (found["event_timestamp"] == told["event_timestamp"]).all()


def test_the_only_column_of_instants_is_the_event_timestamp(both: Both) -> None:
    both.ask(SPINE.rename(columns={"event_timestamp": "seen"}), ["ratings:rating"])


def test_no_row_is_no_row(both: Both) -> None:
    found = both.ask(SPINE.head(0), ["ratings:rating", "fleet:trips"])
    assert len(found) == 0
    assert found["rating"].dtype == "float32"
