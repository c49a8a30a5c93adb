"""Laws of every network that is exported: what is served is what torch trained, row by row."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import ModelRefused
from ml_assets.core.model import FullBatch, Model, Numbers, Tabular, Torch
from ml_assets.core.storage.checksums import write_checksums
from ml_assets.core.target import Target
from ml_assets.targets import Binary
from ml_assets.training import artifact
from ml_assets.training.agreement import largest_difference
from ml_assets.training.exported.scorer import FILE
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.scored import Fitted, TrainedScorer
from tests.targets.test_laws import TARGETS
from tests.training.networks.rows import FEATURES, NETWORKS, Made, made, model

TARGET = Binary(name="taken")
DECLARED = 1e-6
"""How far a row's score may lie from its score alone."""


def fitted_to(rows: Made, declared: Model, target: Target = TARGET) -> Fitted[TrainedScorer]:
    return fit(declared, target, rows.labelled)


@pytest.fixture(scope="module")
def rows() -> Made:
    return made()


@pytest.fixture(scope="module", params=NETWORKS)
def fitted(request: pytest.FixtureRequest, rows: Made) -> Fitted[TrainedScorer]:
    return fitted_to(rows, model(NETWORKS[request.param]))


def test_what_is_served_is_what_torch_trained_and_what_is_stored(
    fitted: Fitted[TrainedScorer], rows: Made, tmp_path: Path
) -> None:
    """Also of rows that it never saw."""
    unseen = made(seed=1)
    assert largest_difference(fitted, unseen.texts, unseen.dense) <= 1e-5
    texts, dense = unseen.some(slice(4))
    artifact.save(fitted.scorer, tmp_path, texts=texts, dense=dense, state=fitted.state)
    loaded = artifact.load(tmp_path)
    assert loaded.texts == fitted.scorer.texts == ("note", "film", "visitor")
    assert loaded.feature_names == FEATURES
    assert loaded.outputs(unseen.texts, unseen.dense).tolist() == \
        fitted.scorer.outputs(unseen.texts, unseen.dense).tolist()
    assert loaded.outputs(*unseen.some([])).shape == (0, 1)


@given(data=st.data())
def test_a_row_scores_the_same_alone_as_in_any_batch_at_any_place(
    fitted: Fitted[TrainedScorer], rows: Made, data: st.DataObject
) -> None:
    """What is asked at the same moment changes no answer by more than is declared."""
    chosen = data.draw(st.lists(st.integers(0, len(rows.dense) - 1), min_size=1, max_size=40))
    together = fitted.scorer.outputs(*rows.some(chosen))[:, 0]
    alone = [fitted.scorer.outputs(*rows.some([row]))[0, 0] for row in chosen]
    assert np.abs(together - alone).max() <= DECLARED


def test_the_same_seed_gives_the_same_model_to_the_bit(rows: Made) -> None:
    """Dropout and the order of rows included."""
    declared = model(NETWORKS["tabular"])
    one, again, other = (fitted_to(rows, each).state
                         for each in (declared, declared, replace(declared, seed=8)))
    assert {name: values.tolist() for name, values in again.items()} == \
        {name: values.tolist() for name, values in one.items()}
    assert other["trunk.first.weight"].tolist() != one["trunk.first.weight"].tolist()


@pytest.mark.parametrize("target", [target for target, _ in TARGETS], ids=lambda each: each.name)
def test_every_kind_of_target_can_have_a_network_of_its_own(target: Target) -> None:
    """By L-BFGS over all rows, which a small table settles in seconds."""
    labels = next(labels for each, labels in TARGETS if each == target)
    draw = np.random.default_rng(1)
    number = draw.uniform(0, 10, 400).astype(np.float32)
    codes = target.codes([labels[int(4 < each < 6)] for each in number])
    declared = Model(inputs=(Numbers("number"),), network=Tabular(hidden=8, blocks=0, dropout=0),
                     fit=FullBatch(iterations=40))
    dense = np.column_stack([number, *(np.ones_like(number) for _ in target.carries)])
    declared = replace(declared, without=target.carries)
    fitted = fit(declared, target, LabelledRows(
        texts={}, dense=dense, codes=codes, feature_names=("number", *target.carries)))
    assert largest_difference(fitted, {}, dense) <= 1e-5
    own = target.losses(codes, fitted.scorer.outputs({}, dense)).mean()
    constant = target.losses(codes, np.tile(target.constant(codes), (400, 1))).mean()
    assert own < 0.5 * constant


def test_a_network_has_the_loss_that_it_brings(rows: Made) -> None:
    """And logits of one dimension are as good as two."""
    declared = Model(
        inputs=(Numbers("amount"),), without=FEATURES[1:], fit=FullBatch(iterations=30),
        network=Torch("tests.training.networks.own:OneLayer", {"size": 1}))
    found = fitted_to(rows, declared)
    share = found.scorer.outputs(rows.texts, rows.dense)[:, 0]
    assert found.convergence.losses[-1] == pytest.approx(
        np.square(share - rows.codes).mean(), abs=1e-4)


def test_a_network_that_looks_at_the_other_rows_is_not_published(rows: Made) -> None:
    """It would answer otherwise alone: as ONNX scores portions of 1,024 rows, and torch all."""
    many = made(1500)
    declared = Model(inputs=(Numbers("amount"),), without=FEATURES[2:],
                     fit=FullBatch(iterations=5),
                     network=Torch("tests.training.networks.own:LooksAtOthers"))
    with pytest.raises(ModelRefused, match="depends on the other rows"):
        largest_difference(fitted_to(many, declared), many.texts, many.dense)


def test_a_network_that_onnx_cannot_say_is_refused(rows: Made) -> None:
    declared = Model(inputs=(Numbers("amount"),), without=FEATURES[2:],
                     fit=FullBatch(iterations=1),
                     network=Torch("tests.training.networks.own:Branches"))
    with pytest.raises(ModelRefused, match=r"Branches cannot be exported to ONNX.*from values"):
        fitted_to(rows, declared)


@pytest.fixture(scope="module")
def stored(rows: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    fitted = fitted_to(rows, model(NETWORKS["tabular"]))
    texts, dense = rows.some(slice(3))
    artifact.save(fitted.scorer, folder, texts=texts, dense=dense, state=fitted.state)
    return folder


def test_a_process_that_loads_and_scores_imports_no_torch(stored: Path) -> None:
    """Nor does it import the module of the network."""
    code = (
        "import sys; from pathlib import Path;"
        "from ml_assets.training.artifact import load;"
        "load(Path(sys.argv[1]));"
        "print('torch' in sys.modules, 'onnx' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code, str(stored)], check=True,
                            capture_output=True, text=True).stdout
    assert output.split() == ["False", "False"]


@pytest.mark.parametrize(("name", "content", "says"), [
    (FILE, b"nonsense", "no network that ONNX Runtime can score"),
    (FILE, b"", "no network that ONNX Runtime can score"),
    (FILE, None, FILE),
    ("model.json", b'"form": "onyx"', "form is 'onyx'.*Closest: 'onnx'"),
])
def test_a_file_that_is_not_as_it_was_stored_is_refused(
    stored: Path, tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    """Also if its checksums were made anew."""
    for path in stored.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / name
    if content is None:
        path.unlink()
    elif name == "model.json":
        path.write_bytes(path.read_bytes().replace(b'"form": "onnx"', content))
    else:
        path.write_bytes(content)
    write_checksums(tmp_path)
    with pytest.raises(ModelRefused, match=says):
        artifact.load(tmp_path)


