"""A version is made again from its record and comes out the same; what differs is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

from ml_assets import version_cli
from ml_assets.core.errors import NotReproducible, UnknownName
from ml_assets.core.model import Categories, Minibatch, Model, Numbers, Tabular
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.registry.models import ModelRegistry
from ml_assets.training.reproducing.environment import TrainingEnvironment
from ml_assets.training.reproducing.reproduction import reproduce
from tests.meter import METER
from tests.whole_loop import WHOLE, WholeLoop, whole_loop

pytestmark = pytest.mark.slow

WARM = replace(METER, model=Model(
    inputs=(Numbers("reading", "celsius"), Categories("state")),
    network=Tabular(hidden=16, blocks=1, pieces=4),
    fit=Minibatch(batch=32, epochs=2, warm_start=True, half_life=timedelta(days=2))))
"""Of another target: mini-batches of rows that fade, and weights that begin as the champion's."""


@pytest.fixture(scope="module", params=[WHOLE, WARM], ids=lambda system: system.name)
def loop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WholeLoop]:
    with whole_loop(tmp_path_factory.mktemp("again"), request.param) as begun:
        begun.runs.retraining({"ml_assets/reason": "again"})
        yield begun


@pytest.mark.parametrize("version", [1, 2])
def test_a_version_comes_out_the_same_bit_by_bit(loop: WholeLoop, version: int) -> None:
    """From the lake as it was known then; also one that began with another's weights."""
    found = reproduce(loop.system, loop.settings, version)
    assert found.differs == ()
    assert (found.verdict, found.weights, found.example, found.held_out) == ("equal", 0, 0, 0)
    assert "built again from the lake" in found.data
    assert found.rows > 0
    assert len(ModelRegistry(loop.settings).versions(loop.system.name)) == 2, "nothing is kept"


def test_it_needs_no_file_of_the_training_set(loop: WholeLoop) -> None:
    sets = TrainingSets(loop.settings, loop.system)
    version = sets.latest().version
    paths = sets._path(version), sets._about(version)
    moved = [path.rename(f"{path}.away") for path in paths]
    try:
        assert reproduce(loop.system, loop.settings, 1).verdict == "equal"
    finally:
        for path, away in zip(paths, moved, strict=True):
            away.rename(path)


def test_without_the_lake_the_stored_rows_do_and_that_is_said(
    loop: WholeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lake, "days", lambda *arguments: [])
    found = reproduce(loop.system, loop.settings, 1)
    assert (found.verdict, found.data.partition(", ")[2]) == ("equal", "as it was stored")
    assert len(found.differs) == 1 and "the lake does not give" in found.differs[0]
    sets = TrainingSets(loop.settings, loop.system)
    path = sets._path(sets.latest().version)
    away = path.rename(path.with_suffix(".away"))
    try:
        with pytest.raises(NotReproducible, match=r"cannot be made again: .* is gone"):
            reproduce(loop.system, loop.settings, 1)
    finally:
        away.rename(path)


def test_another_declaration_is_named_and_its_answers_differ(loop: WholeLoop) -> None:
    other = replace(loop.system, model=replace(loop.system.model, seed=8))
    found = reproduce(other, loop.settings, 1)
    assert found.verdict == "different"
    assert found.differs == ("seed was declared 7, is 8",)
    assert found.held_out is not None and found.held_out > 1e-5


def test_the_command_says_so(loop: WholeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_assets.systems.find", lambda name: loop.system)
    monkeypatch.setattr(version_cli, "opened", lambda: loop.settings)
    answer = CliRunner().invoke(version_cli.reproduce, [loop.system.name, "1"])
    assert answer.exit_code == 0, answer.output
    assert f"{loop.system.name}, version 1: comes out the same, bit by bit" in answer.output
    with pytest.raises(UnknownName, match="there is no version of model"):
        reproduce(loop.system, loop.settings, 9)


def test_what_a_training_ran_with_is_compared_name_by_name() -> None:
    was = TrainingEnvironment(code="a", python="3.11.7", packages={"torch": "2.12", "old": "1"},
                              threads=1, device="cpu", processor="x")
    now = replace(was, packages={"torch": "2.13"}, threads=2)
    assert was.differences(was) == []
    assert was.differences(now) == ["the number of threads was 1, is 2", "old was 1, is none",
                                    "torch was 2.12, is 2.13"]
    assert TrainingEnvironment.of_tag(was.tag()) == was
    assert TrainingEnvironment.of_tag(None) is None
