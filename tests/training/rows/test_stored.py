"""Rows of a training set's file are those that would be in memory, and a training streams them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml_assets.core.errors import StateDamaged
from ml_assets.core.model import Minibatch, Tabular, Text
from ml_assets.core.settings import ROOT
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.training.fit import fit
from ml_assets.training.loop.checkpoints import FILE
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.reading import rows_of
from tests.made_sets import stored
from tests.tickets import TICKETS
from tests.toy import TOY
from tests.training.rows import killed
from tests.training.rows.killed import SYSTEM, set_of
from tests.trips import TRIPS

SYSTEMS = (TOY, TICKETS, TRIPS)
"""A yes or no, a class, a quantity; with texts and without."""


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_rows_of_a_file_are_the_rows_of_the_frame(system: System) -> None:
    """Numbers, texts, labels and what each counts, in any portion."""
    system = replace(system, model=replace(system.model, network=Tabular(), inputs=tuple(
        {getattr(each, "column", each): each for each in system.model.inputs}.values()),
        fit=Minibatch(sample_weights="of_store")))
    made = set_of(system)
    frame = made.rows[made.rows["split"] == "train"]
    rows = rows_of(system, made, "train").part(20, 200)
    for found, expected in (
        (rows.whole(), frame.iloc[20:200]), (rows.sample(60), frame.iloc[20:200:3]),
        (rows.part(30, 100).whole(), frame.iloc[50:120]),
        (next(rows.blocks()), frame.iloc[20:200]),
    ):
        np.testing.assert_array_equal(
            found.dense, expected[list(made.feature_names)].to_numpy(np.float32))
        assert found.texts == {name: list(map(key_text, expected[name]))
                               for name in system.model.texts}
        assert found.codes.tolist() == system.target.codes(expected["label"].tolist()).tolist()
        np.testing.assert_array_equal(found.weights, expected["of_store"].to_numpy(np.float32))
    assert rows.codes.tolist() == rows.whole().codes.tolist()
    third = np.arange(180) % 3 == 0
    np.testing.assert_array_equal(
        rows.counting(third).part(30, 100).whole().weights,
        (frame["of_store"].to_numpy(np.float32)[20:200] * third)[30:100])
    held_out = rows_of(system, made, "holdout").whole()
    assert held_out.weights is None and len(held_out) == len(made.held_out())


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_rows_that_fit_in_the_buffer_come_to_the_weights_of_rows_in_memory(system: System) -> None:
    model = replace(SYSTEM.model, inputs=tuple(
        each for each in system.model.inputs if not isinstance(each, Text)))
    system = replace(system, model=replace(model, fit=Minibatch(batch=32, epochs=2)))
    rows = rows_of(system, set_of(system), "train")
    held = rows.whole()
    assert isinstance(held, LabelledRows)
    one, other = (fit(system.model, system.target, each).state for each in (rows, held))
    assert {name: value.tolist() for name, value in one.items()} == \
        {name: value.tolist() for name, value in other.items()}


def test_a_training_from_a_file_that_is_killed_resumes_to_the_same_version(
    tmp_path: Path,
) -> None:
    """`kill -9` in the middle of an epoch that is streamed; what is registered is the same to the
    bit, and no checkpoint is left.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.training.rows.killed", str(tmp_path / "killed")], cwd=ROOT,
        stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "step 3 5":
                process.kill()
                break
    assert process.returncode == -9
    [checkpoint] = (tmp_path / "killed").rglob(FILE)
    resumed, took = killed.trained_in(tmp_path / "killed")
    whole, took_whole = killed.trained_in(tmp_path / "whole")
    assert isinstance(took.convergence, FitHistory) and took.convergence.resumed >= 30
    assert isinstance(took_whole.convergence, FitHistory) and not took_whole.convergence.resumed
    assert resumed == whole
    assert not checkpoint.exists()


def test_a_file_whose_held_out_rows_are_not_its_last_is_damaged() -> None:
    made = set_of(TRIPS)
    wrong = replace(made, path=stored(made.rows.iloc[::-1]))
    with pytest.raises(StateDamaged, match="rows that are held out lie between rows that are not"):
        wrong.part("train")
