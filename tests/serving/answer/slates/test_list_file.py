"""The file of candidates: read as it was written, followed when it is new, left when it is bad."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import NotReady, StateDamaged
from ml_assets.serving.answer.slates.candidates import Candidates
from ml_assets.serving.answer.slates.list_file import ListFile, writing_lists

DAY = date(2024, 1, 8)
ITEMS = st.lists(st.text(min_size=1, max_size=5), unique=True, max_size=6)


def write(path: Path, lists: dict[str, list[str]], day: date = DAY) -> None:
    with writing_lists(path, system="shelf", day=day, version=3) as writer:
        for user, items in lists.items():
            writer.add(user, items, [1 / (1 + n) for n in range(len(items))])


@given(lists=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), ITEMS, max_size=5))
def test_every_list_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, lists: dict[str, list[str]]
) -> None:
    path = tmp_path_factory.mktemp("lists") / "candidates.sqlite"
    write(path, lists)
    file = ListFile(path, "shelf")
    assert (file.day, file.version, len(file)) == (DAY, 3, len(lists))
    for user, items in lists.items():
        found = file.of(user)
        assert found is not None and list(found.items) == items
        assert np.array_equal(found.scores, [1 / (1 + n) for n in range(len(items))])
    assert file.of("nobody such") is None
    file.close()


def test_whole_numbers_stay_whole_numbers(tmp_path: Path) -> None:
    with writing_lists(tmp_path / "c", system="shelf", day=DAY, version=None) as writer:
        writer.add("7", [2**53 + 1, 3], [0.5, 0.25])
    found = ListFile(tmp_path / "c", "shelf").of("7")
    assert found is not None and list(found.items) == [2**53 + 1, 3]


def test_an_interrupted_writer_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "candidates.sqlite"
    write(path, {"ann": ["a"]})
    with (pytest.raises(RuntimeError),
          writing_lists(path, system="shelf", day=DAY, version=1) as writer):
        writer.add("ann", ["b"], [1.0])
        raise RuntimeError("killed")
    found = ListFile(path, "shelf").of("ann")
    assert found is not None and list(found.items) == ["a"]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_users_without_a_list_get_the_newcomers(tmp_path: Path) -> None:
    path = tmp_path / "candidates.sqlite"
    candidates = Candidates(path, "shelf")
    with pytest.raises(NotReady, match=r"there are no lists yet\. Materialise shelf/candidates"):
        candidates.require("ann")
    write(path, {"ann": ["a"]})
    with pytest.raises(NotReady, match="lists of 2024-01-08 have none for this user"):
        candidates.require("bob")
    write(path, {"ann": ["a"], "": ["p"]})
    assert [list(candidates.require(user).items) for user in ("ann", "bob", "")] == [
        ["a"], ["p"], ["p"]]
    candidates.close()


def test_a_new_file_is_followed_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "candidates.sqlite"
    candidates = Candidates(path, "shelf")
    write(path, {"": ["a"]})
    assert list(candidates.require("ann").items) == ["a"]
    path.unlink()
    assert list(candidates.require("ann").items) == ["a"], "it is open still"
    (tmp_path / "bad").write_bytes(b"no database at all, but long enough to be read as one" * 99)
    (tmp_path / "bad").rename(path)
    assert list(candidates.require("ann").items) == ["a"]
    assert candidates.problem is not None and "Materialise shelf/candidates" in candidates.problem
    write(path, {"": ["b"]})
    assert list(candidates.require("ann").items) == ["b"]
    assert candidates.problem is None
    candidates.close()


def test_a_file_of_another_system_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "c", {"": ["a"]})
    with pytest.raises(StateDamaged, match="of system 'shelf'; expected 1, of 'other'"):
        ListFile(tmp_path / "c", "other")
