"""Laws of fitting and of models on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from ml_assets.core.errors import ModelRefused, NotReady
from ml_assets.core.model import Categories, FullBatch, HashedText, Model, Numbers, Text
from ml_assets.core.storage.checksums import NAME, write_checksums
from ml_assets.core.target import Target
from ml_assets.targets import Binary
from ml_assets.training import artifact
from ml_assets.training.agreement import largest_difference
from ml_assets.training.baselines.linear import fit_linear
from ml_assets.training.fit import fit
from ml_assets.training.hashed_text.fit import fit_hashed_text
from ml_assets.training.hashed_text.scorer import HashedTextScorer
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.scored import Fitted
from tests.targets.test_laws import TARGETS

CONFIG = Model(
    inputs=(Text("note"), Text("note", unit="words"), Numbers("amount")),
    network=HashedText(buckets=2**12, pieces=0, l2_dense=2.0), fit=FullBatch(iterations=15),
)
TABULAR = replace(CONFIG, inputs=(*CONFIG.inputs, Categories("shop")),
                  network=HashedText(buckets=2**12, pieces=4, l2_dense=2.0))

TARGET = Binary(name="is_spam")

Rows = tuple[dict[str, list[str]], npt.NDArray[np.float32], npt.NDArray[np.float64]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """200 notes whose words tell the class, and a number that tells it half."""
    draw = np.random.default_rng(0)
    labels = (draw.random(200) < 0.4).astype(float)
    words = np.array(["cheap", "pills", "money", "now", "lunch", "tomorrow", "paper", "thanks"])
    notes = [" ".join(draw.choice(words[:5] if label else words[3:], 12)) for label in labels]
    dense = (draw.normal(size=(200, 1)) + labels[:, None]).astype(np.float32)
    dense[::7] = np.nan
    return {"note": notes}, dense, labels


@pytest.fixture(scope="module")
def fitted(rows: Rows) -> Fitted[HashedTextScorer]:
    texts, dense, labels = rows
    return fit_hashed_text(CONFIG, TARGET, LabelledRows(
        texts=texts, dense=dense, codes=labels, feature_names=("amount",)))


@pytest.fixture(scope="module")
def scorer(fitted: Fitted[HashedTextScorer]) -> HashedTextScorer:
    return fitted.scorer


def test_a_feature_that_is_a_code_is_a_category_and_no_number(tmp_path: Path) -> None:
    """Its order and its distance from others mean nothing; one that is new counts as missing."""
    labels = np.arange(60.0) % 2
    dense = np.random.default_rng(2).lognormal(0, 1, (60, 2)).astype(np.float32)
    dense[:, 1] = np.where(labels == 1, 70_000, 70_001)
    dense[::5, 1] = np.nan
    model = Model(inputs=(Numbers("size"),), network=HashedText(l2_dense=0.1),
                  fit=FullBatch(iterations=20))
    fitted = fit(model, Binary(name="bought"), LabelledRows(
        texts={}, dense=dense, codes=labels,
        feature_names=("size", "kind"), coded=frozenset({"kind"})))
    assert largest_difference(fitted, {}, dense) <= 1e-5
    shares = fitted.scorer.outputs({}, dense)[:, 0]
    known = np.isfinite(dense[:, 1])
    assert ((shares > 0.5) == labels)[known].all()
    new, missing = dense.copy(), dense.copy()
    new[:, 1], missing[:, 1] = 70_002, np.nan
    answers = fitted.scorer.outputs({}, missing).tolist()
    assert fitted.scorer.outputs({}, new).tolist() == answers
    artifact.save(fitted.scorer, tmp_path, texts={}, dense=dense[:3])
    assert artifact.load(tmp_path).outputs({}, dense)[:, 0].tolist() == shares.tolist()


@pytest.fixture
def folder(tmp_path: Path, scorer: HashedTextScorer, rows: Rows) -> Path:
    texts, dense, _ = rows
    artifact.save(scorer, tmp_path, texts={"note": texts["note"][:3]}, dense=dense[:3])
    return tmp_path


def test_the_same_seed_gives_the_same_model_to_the_bit(
    scorer: HashedTextScorer, rows: Rows
) -> None:
    """A training can be repeated: data and seed decide everything."""
    texts, dense, labels = rows
    again = fit(CONFIG, TARGET, LabelledRows(
        texts=texts, dense=dense, codes=labels, feature_names=("amount",))).scorer
    np.testing.assert_array_equal(again.outputs(texts, dense), scorer.outputs(texts, dense))


def test_a_fitted_model_tells_the_classes_apart(scorer: HashedTextScorer, rows: Rows) -> None:
    """On words that differ between the classes it must make few errors."""
    texts, dense, labels = rows
    assert np.mean(TARGET.decide(scorer.outputs(texts, dense)) == labels) > 0.97


@pytest.fixture(scope="module")
def shops(rows: Rows) -> list[str]:
    return [f"shop {place % 3}" for place in range(len(rows[2]))]


def test_a_model_with_pieces_and_categories_is_served_and_stored_as_torch_trained_it(
    rows: Rows, shops: list[str], tmp_path: Path
) -> None:
    """A category that nobody has seen has an answer too."""
    texts, dense, labels = rows
    given = {**texts, "shop": shops}
    fitted = fit(TABULAR, TARGET, LabelledRows(
        texts=given, dense=dense, codes=labels, feature_names=("amount",)))
    assert fitted.scorer.texts == ("note", "shop")
    assert largest_difference(fitted, {**given, "shop": ["new", *shops[1:]]}, dense) <= 1e-5
    artifact.save(fitted.scorer, tmp_path, dense=dense[:3],
                  texts={name: values[:3] for name, values in given.items()})
    loaded = artifact.load(tmp_path)
    assert loaded.outputs(given, dense).tolist() == fitted.scorer.outputs(given, dense).tolist()


@pytest.mark.parametrize("target", [target for target, _ in TARGETS], ids=lambda each: each.name)
def test_every_kind_of_target_learns_what_a_category_and_a_peak_say(target: Target) -> None:
    """A smooth function of the number would not find the peak; a constant finds neither."""
    labels = next(labels for each, labels in TARGETS if each == target)
    draw = np.random.default_rng(1)
    number, shop = draw.uniform(0, 10, 600), draw.integers(2, size=600)
    codes = target.codes([labels[int(peak != place)] for peak, place in
                          zip((number > 4) & (number < 6), shop == 1, strict=True)])
    texts = {"shop": [f"shop {each}" for each in shop]}
    names = ("number", *target.carries)
    dense = np.column_stack([number, *(np.ones(600) for _ in target.carries)]).astype(np.float32)
    config = Model(inputs=(Numbers("number"), Categories("shop")),
                   network=HashedText(l2_dense=0.1))
    rows = LabelledRows(texts=texts, dense=dense, codes=codes, feature_names=names)
    fitted = fit(config, target, rows)
    assert largest_difference(fitted, texts, dense) <= 1e-5
    model = target.losses(codes, fitted.scorer.outputs(texts, dense)).mean()
    constant = target.losses(codes, np.tile(target.constant(codes), (600, 1))).mean()
    linear = fit_linear(config, target, rows)
    assert linear is not None
    assert model < 0.4 * constant
    assert model < 0.5 * target.losses(codes, linear.outputs(rows)).mean()


def test_many_rows_are_fitted_as_long_as_few() -> None:
    """A tolerance that grows with the rows would end this after two evaluations."""
    draw = np.random.default_rng(2)
    dense = draw.normal(size=(40_000, 2)).astype(np.float32)
    labels = (draw.random(40_000) < 1 / (1 + np.exp(-dense.sum(axis=1)))).astype(float)
    config = Model(inputs=(Numbers("a", "b"),), network=HashedText(hidden=2, pieces=2))
    fitted = fit(config, TARGET, LabelledRows(
        texts={}, dense=dense, codes=labels, feature_names=("a", "b")))
    assert fitted.convergence.settled, fitted.convergence.said
    assert len(fitted.convergence.losses) > 10


def test_a_fit_that_was_cut_short_has_not_settled(rows: Rows) -> None:
    texts, dense, labels = rows
    short = fit(replace(CONFIG, fit=FullBatch(iterations=1)), TARGET, LabelledRows(
        texts=texts, dense=dense, codes=labels, feature_names=("amount",))).convergence
    assert not short.settled
    assert short.said.startswith("all steps were taken after 1 steps and ")


def test_a_model_without_texts_learns_from_its_numbers(rows: Rows) -> None:
    """A system of payments declares no text field."""
    _, dense, labels = rows
    fitted = fit(Model(inputs=(Numbers("amount"),)), TARGET, LabelledRows(
        texts={}, dense=dense, codes=labels, feature_names=("amount",)))
    assert largest_difference(fitted, {}, dense) <= 1e-5
    scores = TARGET.score(fitted.scorer.outputs({}, dense))
    assert scores[labels == 1].mean() > scores[labels == 0].mean() + 0.05


def test_labels_of_one_class_are_refused_in_words(rows: Rows) -> None:
    """A model of one class would be useless and the log-odds infinite."""
    texts, dense, _ = rows
    with pytest.raises(NotReady, match="both True and False must occur"):
        fit(CONFIG, TARGET, LabelledRows(
            texts=texts, dense=dense, codes=np.zeros(200), feature_names=("amount",)))


def test_a_saved_model_scores_the_same_in_another_process(
    folder: Path, scorer: HashedTextScorer, rows: Rows
) -> None:
    """What was judged is what will be served."""
    texts, dense, _ = rows
    code = (
        "import json, sys; import numpy as np; from pathlib import Path;"
        "from ml_assets.training.artifact import load;"
        "texts, dense = json.load(sys.stdin);"
        "print(json.dumps(load(Path(sys.argv[1])).outputs(texts, np.array(dense, 'f4')).tolist()))"
    )
    some = {"note": texts["note"][1:6]}, dense[1:6]
    output = subprocess.run(
        [sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True,
        input=json.dumps([some[0], some[1].tolist()]),
    ).stdout
    assert json.loads(output) == scorer.outputs(*some).tolist()


TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from(["cheap", "pills", "lunch", "tomorrow", "paper", "é", "\udce9"]), max_size=40
).map(" ".join)
NUMBERS = st.floats(width=32) | st.just(0.0)


@given(batch=st.lists(st.tuples(TEXTS, NUMBERS), min_size=1, max_size=70), data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_row_scores_the_same_alone_as_in_any_batch_at_any_place(
    scorer: HashedTextScorer, batch: list[tuple[str, float]], data: st.DataObject
) -> None:
    """To the bit: what is asked at the same moment changes no answer."""
    def score(some: list[tuple[str, float]]) -> list[float]:
        dense = np.array([number for _, number in some], np.float32).reshape(-1, 1)
        return list(scorer.outputs({"note": [text for text, _ in some]}, dense)[:, 0])

    alone = [score([row])[0] for row in batch]
    assert score(batch) == alone
    order = data.draw(st.permutations(range(len(batch))))
    assert score([batch[place] for place in order]) == [alone[place] for place in order]


@pytest.mark.parametrize(("numbers", "hidden", "units"), [
    (1, 1, ("words",)), (30, 16, ("words",)), (7, 33, ("bytes", "words", "bytes")),
    (300, 64, ()),
])
def test_models_of_any_size_score_a_row_the_same_in_every_batch(
    numbers: int, hidden: int, units: tuple[Literal["bytes", "words"], ...]
) -> None:
    """Kernels take other paths for other sizes; none may look at the neighbours."""
    draw = np.random.default_rng(numbers)
    dense = draw.lognormal(2, 3, (90, numbers)).astype(np.float32)
    dense[draw.random(dense.shape) < 0.2] = np.nan
    notes = ["".join(draw.choice([*"abcde  "], draw.integers(0, 3000))) for _ in dense]
    config = Model(
        inputs=(*(Text(f"note {place}", unit=unit) for place, unit in enumerate(units)),
                Numbers("amount")),
        network=HashedText(buckets=2**10, hidden=hidden), fit=FullBatch(iterations=3),
    )
    given = {f"note {place}": notes for place in range(len(units))}
    fitted = fit(config, TARGET, LabelledRows(
        texts=given, dense=dense, codes=np.arange(90.0) % 2,
        feature_names=tuple(f"n{n}" for n in range(numbers))))
    assert largest_difference(fitted, given, dense) <= 1e-5
    together = fitted.scorer.outputs(given, dense)
    fortran = fitted.scorer.outputs(given, np.asfortranarray(dense))
    assert fortran.tolist() == together.tolist()
    for size in (1, 2, 3, 7, 32, 64):
        parts = [
            fitted.scorer.outputs({name: each[at : at + size] for name, each in given.items()},
                                  dense[at : at + size])
            for at in range(0, 90, size)
        ]
        assert np.concatenate(parts).tolist() == together.tolist()


def test_no_rows_have_no_scores(scorer: HashedTextScorer) -> None:
    """A day without events is a day."""
    assert scorer.outputs({"note": []}, np.empty((0, 1), np.float32)).shape == (0, 1)


@given(st.lists(st.tuples(TEXTS, NUMBERS), min_size=1, max_size=40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_scorer_and_torch_agree_within_a_hundred_thousandth(
    fitted: Fitted[HashedTextScorer], batch: list[tuple[str, float]]
) -> None:
    """What is served, and judged, is what torch trained."""
    dense = np.array([number for _, number in batch], np.float32).reshape(-1, 1)
    texts = {"note": [text for text, _ in batch]}
    difference = largest_difference(fitted, texts, dense)
    assert difference <= 1e-5
    scores = fitted.scorer.outputs(texts, dense)
    assert np.abs(scores - fitted.trained(texts, dense)).max() == difference


@pytest.mark.parametrize("bias", [0.01, np.nan])
def test_a_scorer_that_differs_from_torch_is_not_published(
    fitted: Fitted[HashedTextScorer], rows: Rows, bias: float
) -> None:
    """The refusal says the worst row, both scores and what to do."""
    texts, dense, _ = rows
    weights = fitted.scorer.weights
    other = replace(weights, output_bias_K=weights.output_bias_K + np.float32(bias))
    planted = replace(fitted, scorer=replace(fitted.scorer, weights=other))
    with pytest.raises(ModelRefused) as refused:
        largest_difference(planted, texts, dense)
    served, trained = planted.scorer.outputs(texts, dense), fitted.trained(texts, dense)
    worst = int(np.argmax(np.nan_to_num(np.abs(served - trained), nan=np.inf)))
    for part in (f"row {worst} of 200", f"{served[worst, 0]:.6f}, torch {trained[worst, 0]:.6f}",
                 "train again"):
        assert part in str(refused.value)


def test_a_process_that_loads_and_scores_imports_no_torch(folder: Path) -> None:
    """Each API process would pay 1.7 CPU seconds and 200 MB for it."""
    code = (
        "import sys; import numpy as np; from pathlib import Path;"
        "from ml_assets.serving.models.scoring import outputs_of;"
        "from ml_assets.training.artifact import load;"
        "scorer = load(Path(sys.argv[1]));"
        "scores = outputs_of(scorer, [{'note': 'cheap pills'}], np.zeros((1, 1), 'f4'));"
        "print(len(scores), 'torch' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code, str(folder)], check=True,
                            capture_output=True, text=True).stdout
    assert output.split() == ["1", "False"]


def test_the_file_holds_the_network_by_its_own_names(
    folder: Path, fitted: Fitted[HashedTextScorer]
) -> None:
    """Whoever has torch can load it with `load_state_dict`; so earlier versions stored it."""
    stored = load_file(folder / "weights.safetensors")
    assert set(stored) == {"importance", "mean", "deviation", "edges",
                           *(f"network.{name}" for name in fitted.state)}
    for name, values in fitted.state.items():
        np.testing.assert_array_equal(stored[f"network.{name}"], values)


def test_a_damaged_weight_file_is_refused(folder: Path) -> None:
    """A truncated file must not be served."""
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelRefused, match="cannot be loaded"):
        artifact.load(folder)


def test_changed_weights_are_refused_by_the_stored_example(folder: Path) -> None:
    """A file that loads but scores otherwise than when it was judged is refused.

    The checksums would refuse it first; models that were stored before have the example alone.
    """
    stored_before_checksums(folder)
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    start, end = header["network.output.bias"]["data_offsets"]
    content[8 + size + start : 8 + size + end] = np.array([3.0], "<f4").tobytes()
    weights.write_bytes(bytes(content))
    with pytest.raises(ModelRefused, match="does not reproduce its stored example"):
        artifact.load(folder)


@pytest.mark.parametrize(("change", "says"), [
    ({"hidden": 8}, "hidden.weight"), ({"buckets": 2**11}, "importance"),
    ({"feature_names": ["amount", "age"], "numbers": ["amount", "age"]}, "edges"),
    ({"format": 5}, "format 5"),
])
def test_weights_that_do_not_fit_the_config_are_refused_by_name(
    folder: Path, change: dict[str, object], says: str
) -> None:
    """Each tensor's shape follows from the config."""
    config = folder / "model.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    write_checksums(folder)
    with pytest.raises(ModelRefused, match=says):
        artifact.load(folder)


def test_an_unknown_field_of_the_config_is_refused(folder: Path) -> None:
    """A model of a later format must not be half understood."""
    config = folder / "model.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "surprise": 1}))
    write_checksums(folder)
    with pytest.raises(ModelRefused, match="surprise"):
        artifact.load(folder)


def stored_before_targets(folder: Path) -> None:
    """As it was stored when all models answered whether something is True."""
    config, example = folder / "model.json", folder / "example.json"
    known = json.loads(config.read_text())
    for name in ("target", "scale", "pieces", "categories", "width"):
        del known[name]
    config.write_text(json.dumps({**known, "format": 2, "threshold": 0.25}))
    shown = json.loads(example.read_text())
    shown["scores"] = [score for [score] in shown.pop("outputs")]
    example.write_text(json.dumps(shown))
    weights = load_file(folder / "weights.safetensors")
    weights["network.words"] = weights["network.words"][0]
    del weights["edges"]
    save_file(weights, folder / "weights.safetensors")
    write_checksums(folder)


def stored_before_checksums(folder: Path) -> None:
    """As the first release stored it."""
    stored_before_targets(folder)
    (folder / NAME).unlink()
    config = folder / "model.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "format": 1}))


def test_a_model_from_before_targets_answers_as_it_did(
    folder: Path, scorer: HashedTextScorer, rows: Rows
) -> None:
    texts, dense, _ = rows
    stored_before_targets(folder)
    loaded = artifact.load(folder)
    assert loaded.target == Binary(name="label", threshold=0.25)
    assert loaded.outputs(texts, dense).tolist() == scorer.outputs(texts, dense).tolist()


def test_a_model_from_before_checksums_is_loaded_and_the_log_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored_before_checksums(folder)
    artifact.load(folder)
    assert "was stored before checksums" in caplog.text


def test_a_model_whose_checksums_were_deleted_is_refused(folder: Path) -> None:
    (folder / NAME).unlink()
    with pytest.raises(ModelRefused, match=r"checksums\.json is missing"):
        artifact.load(folder)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None,
          max_examples=200)
def test_one_flipped_bit_in_any_file_of_a_model_is_refused(
    folder: Path, data: st.DataObject
) -> None:
    """Of the weights some flips used to load, and to score otherwise by up to .046."""
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    before = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(before) - 1))
    after = bytearray(before)
    after[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(after))
    try:
        with pytest.raises(ModelRefused, match="cannot be loaded"):
            artifact.load(folder)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("damage", ["empty", "shorter", "longer", "missing", "a folder", "more"])
@pytest.mark.parametrize(
    "name", ["weights.safetensors", "model.json", "example.json", "checksums.json"])
def test_a_file_of_a_model_that_is_not_as_it_was_stored_is_refused(
    folder: Path, name: str, damage: str
) -> None:
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "more":
        path.write_bytes(content)
        (folder / "more.json").write_text("{}")
    elif damage != "missing":
        path.write_bytes({"empty": b"", "shorter": content[:-2], "longer": content + b" "}[damage])
    if name == NAME and damage == "longer":
        artifact.load(folder)  # a blank at the end of JSON changes nothing
        return
    with pytest.raises(ModelRefused, match="cannot be loaded"):
        artifact.load(folder)


@pytest.mark.parametrize(("change", "says"), [
    ({"target": {"kind": "binary", "name": "x", "threshold": 5}}, "threshold is 5"),
    ({"target": {"kind": "binry", "name": "x"}}, "Closest: 'binary'"),
    ({"target": {"kind": "binary"}}, "no binary target.*name"),
    ({"scale": {"deviation": 0}}, "deviation is 0"), ({"buckets": 1000}, "power of two"),
    ({"buckets": 0}, "power of two"), ({"hidden": -1}, "hidden is -1"),
    ({"feature_names": ["age", "age"]}, "twice"),
])
def test_a_value_that_no_training_writes_is_refused(
    folder: Path, change: dict[str, object], says: str
) -> None:
    """Also if its checksums were made anew."""
    config = folder / "model.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    write_checksums(folder)
    with pytest.raises(ModelRefused, match=says):
        artifact.load(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["network.words", "network.output.bias", "mean", "importance"])
def test_weights_that_are_not_finite_are_refused(folder: Path, name: str, value: float) -> None:
    weights = load_file(folder / "weights.safetensors")
    weights[name].flat[0] = value
    save_file(weights, folder / "weights.safetensors")
    write_checksums(folder)
    with pytest.raises(ModelRefused, match=f"{name.removeprefix('network.')}.*not finite"):
        artifact.load(folder)


@pytest.mark.parametrize("change", [
    {"outputs": [[0.5]]}, {"outputs": [[0.5, 0.5]] * 3},
    {"dense": [[1.0]]}, {"texts": {}}, {"texts": {"note": []}},
])
def test_an_example_that_does_not_fit_the_model_is_refused(
    folder: Path, change: dict[str, object]
) -> None:
    example = folder / "example.json"
    example.write_text(json.dumps({**json.loads(example.read_text()), **change}))
    write_checksums(folder)
    with pytest.raises(ModelRefused, match="its example"):
        artifact.load(folder)
