"""A path means the file of that name, whatever signs the name has; only `*` asks for several."""

from __future__ import annotations

from pathlib import Path

import pytest
from feast import FeatureStore

from ml_assets.core.errors import DeclarationError, InvalidRequest
from ml_assets.features.history.relations.source import parquet_files
from tests.features.history.kit import (
    LAKE,
    ask,
    driver,
    feast_store,
    hours,
    rating,
    ratings_view,
    spine,
    values,
    write,
)
from tests.features.history.test_spines import ASKED

pytestmark = pytest.mark.slow

NAMES = [
    "[1]", "[!1]", "[a-z]", "*", "**", "a*b", "?", "q?", "{a,b}", "s p", "it's", 'a"q', "Zürich",
    "日本", "50%", "%20", "#1", "a,b", "a:b", "$HOME", "~", "-x", "a=b", "driver=bob", "[", "]",
    "back\\slash", "new\nline", "a;b", "file:x", "(1)", "&", "!",
]
NEIGHBOURS = ["1", "z", "axb", "q1", "a", "b", "x", "xy"]
"""What a pattern among the names would find as well, or instead."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """For each name a view of the file, one of the folder, one of a file in the folder."""
    folder = tmp_path_factory.mktemp("paths")
    for place, name in enumerate([*NAMES, *NEIGHBOURS]):
        write(folder / f"{name}.parquet", [rating("ann", 0, 1.0, trips=place)])
        write(folder / name / "1.parquet", [rating("ann", 0, 1.0, trips=place)])
    views = [
        ratings_view(path, f"{kind}_{place}") for place, name in enumerate(NAMES)
        for kind, path in (("file", f"{name}.parquet"), ("folder", name),
                           ("inside", f"{name}/1.parquet"))
    ]
    return feast_store(folder, [driver, *views], type=LAKE)


@pytest.mark.parametrize("kind", ["file", "folder", "inside"])
@pytest.mark.parametrize("place", range(len(NAMES)), ids=NAMES)
def test_a_name_is_no_pattern(store: FeatureStore, kind: str, place: int) -> None:
    found = ask(store, spine(("ann", 1), ("bob", 1)), [f"{kind}_{place}:trips"]).to_arrow()
    assert values(found, "trips") == [place, None]
    assert values(found, "driver") == ["ann", "bob"]


@pytest.mark.parametrize("name", ["[1].parquet", "?.parquet", "[a-z].parquet", "{1,2}.parquet"])
def test_what_is_not_there_is_not_its_neighbour(tmp_path: Path, name: str) -> None:
    write(tmp_path / "1.parquet", [rating("ann", 0, 1.0)])
    assert parquet_files(tmp_path / name) == ()
    write(tmp_path / name, [rating("ann", 0, 1.0)])
    assert parquet_files(tmp_path / name) == (str(tmp_path / name),)


def test_a_star_asks_for_several_files_and_other_signs_stand_for_themselves(
    tmp_path: Path,
) -> None:
    for name in ("[1]-a", "[1]-b", "1-a", "[1]/x/c", "1/x/c", "[1]/.hidden", "[1]/_x/c"):
        write(tmp_path / f"{name}.parquet", [rating("ann", 0, 1.0)])

    def found(pattern: str) -> list[str]:
        return [str(Path(file).relative_to(tmp_path)) for file in parquet_files(tmp_path / pattern)]

    assert found("[1]-*.parquet") == ["[1]-a.parquet", "[1]-b.parquet"]
    assert found("*/x/*.parquet") == ["1/x/c.parquet", "[1]/x/c.parquet"]
    assert found("[1]/**/*.parquet") == ["[1]/x/c.parquet"]
    assert found("?-*.parquet") == []


def test_a_file_that_no_reader_can_be_given_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a[1]\\b.parquet", [rating("ann", 0, 1.0)])
    store = feast_store(tmp_path, [driver, ratings_view("a[1]\\b.parquet")], type=LAKE)
    with pytest.raises(DeclarationError, match=r"a\[1\]\\b.parquet has a backslash and one of"):
        ask(store, spine(("ann", 1)), ["ratings:rating"]).to_arrow()


@pytest.mark.parametrize("name", ["[1].parquet", "*.parquet", "it's a.parquet", "a=b.parquet"])
def test_a_spine_may_be_a_file_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In the working directory or in the repository."""
    write(tmp_path / "ratings" / "1.parquet", [rating("ann", 0, 1.0), rating("bob", 0, 2.0)])
    store = feast_store(tmp_path / "ratings", [driver, ratings_view(".")], type=LAKE)
    other = tmp_path / "elsewhere"
    for folder in (tmp_path / "ratings" / ".spines", other):
        write(folder / "1.parquet", [{"driver": "bob", "event_timestamp": hours(1)}], ASKED)
        write(folder / name, [{"driver": "ann", "event_timestamp": hours(1)}], ASKED)
    monkeypatch.chdir(other)
    for text in (name, f".spines/{name}", str(other / name)):
        assert values(ask(store, text, ["ratings:rating"]).to_arrow(), "rating") == [1.0]
    with pytest.raises(InvalidRequest, match=r"the spine is the file '\[2\].parquet', which is"):
        ask(store, "[2].parquet", ["ratings:rating"]).to_arrow()


@pytest.mark.parametrize("name", ["lake[1]", "a*", "driver=bob", "it's", "a,b"])
def test_the_lake_and_the_scratch_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / name / "ratings" / "1.parquet", [rating("ann", 0, 1.0)])
    write(tmp_path / "lake1" / "ratings" / "1.parquet", [rating("ann", 0, 5.0)])
    write(tmp_path / name / "asked.parquet",
          [{"driver": who, "event_timestamp": hours(1)} for who in ("ann", "bob")], ASKED)
    store = feast_store(tmp_path, [driver, ratings_view("ratings")], type=LAKE, lake=name,
                        temp_directory=str(tmp_path / name / "scratch"), memory_limit="1KB")
    for rows in (spine(("ann", 1), ("bob", 1)), "asked.parquet"):
        job = ask(store, rows, ["ratings:rating"])
        assert values(job.to_arrow(), "rating") == [1.0, None]
        assert values(job.to_arrow(), "driver") == ["ann", "bob"]
    source = store.get_feature_view("ratings").batch_source
    assert source is not None
    pulled = store._get_provider().offline_store.pull_all_from_table_or_query(
        store.config, source, ["driver"], ["rating"], "at"
    ).to_arrow()
    assert values(pulled, "driver") == ["ann"]
