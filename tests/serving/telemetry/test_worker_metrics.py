"""What workers tell each other adds up, and is never less than was told before."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ml_assets.serving.answer.counters import Histogram
from ml_assets.serving.telemetry.samples import Buckets, WorkerSamples
from ml_assets.serving.telemetry.worker_metrics import WorkerMetrics
from tests.serving.kit import wait_until

ASKED = ("predictions", "toy", "1", "champion")
WAITING = ("queue_depth", "toy")


def counted(count: int, waiting: int = 0) -> WorkerSamples:
    return WorkerSamples(counts={ASKED: count}, levels={WAITING: waiting})


def boards(folder: Path) -> tuple[WorkerMetrics, WorkerMetrics]:
    return WorkerMetrics(folder, worker=0, workers=2), WorkerMetrics(folder, worker=1, workers=2)


def test_counts_levels_and_buckets_are_summed_and_of_instants_the_latest_is_told() -> None:
    small, large = Histogram((1, 2)), Histogram((1, 2))
    small.observe(1)
    large.observe(2)
    large.observe(9)
    one = WorkerSamples(counts={("a",): 1}, buckets={("h",): Buckets.of(small)}, levels={("q",): 2},
                  latest={("at", "x"): 5.0})
    other = WorkerSamples(counts={("a",): 2, ("b",): 0}, buckets={("h",): Buckets.of(large)},
                    levels={("q",): 3}, latest={("at", "x"): 4.0, ("at", "y"): 1.0})
    both = WorkerSamples(counts={("a",): 3, ("b",): 0}, buckets={("h",): Buckets([1, 1, 1], 12.0)},
                   levels={("q",): 5}, latest={("at", "x"): 5.0, ("at", "y"): 1.0})
    assert one.plus(other) == other.plus(one) == both
    assert one.plus(WorkerSamples()) == one


def test_who_has_told_a_total_has_posted_it_so_that_nobody_tells_less_afterwards(
    tmp_path: Path,
) -> None:
    first, second = boards(tmp_path)
    told = counted(7)
    first.open(lambda: told)
    second.open(lambda: counted(5))
    told = counted(8)
    assert first.total().counts[ASKED] == 13
    assert second.total().counts[ASKED] == 13
    assert first.total().counts[ASKED] == 13
    for board in (first, second):
        board.close()


def test_who_takes_the_place_of_one_that_died_starts_from_its_counts_and_not_its_levels(
    tmp_path: Path,
) -> None:
    killed, other = boards(tmp_path)
    killed.open(lambda: counted(7, waiting=3))
    other.open(lambda: counted(5, waiting=1))
    assert other.total().levels == {WAITING: 4}
    killed.close()  # a kill leaves what this posts: the same
    successor, _ = boards(tmp_path)
    successor.open(lambda: counted(2, waiting=0))
    total = successor.total()
    assert total.counts == other.total().counts == {ASKED: 14}
    assert total.levels == {WAITING: 1}
    successor.close()
    other.close()


def test_numbers_are_posted_without_being_asked_for_and_once_more_in_the_end(
    tmp_path: Path,
) -> None:
    first, second = boards(tmp_path)
    second.open(WorkerSamples)
    told = counted(7)
    first.open(lambda: told)
    wait_until(lambda: second.total().counts == {ASKED: 7})
    told = counted(9)
    first.close()
    assert second.total().counts == {ASKED: 9}
    second.close()


def test_a_folder_that_cannot_be_written_costs_others_their_view_and_nobody_an_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gone").write_text("a file where a folder was")
    board = WorkerMetrics(tmp_path / "gone", worker=0, workers=1)
    with caplog.at_level(logging.WARNING):
        assert board._post().counts == {}
    assert "other workers do not see" in caplog.text
