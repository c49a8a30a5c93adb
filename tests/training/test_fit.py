"""Laws of fitting and of models on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from ml_assets.core.errors import ModelRefused, NotReady
from ml_assets.core.system import ModelConfig, TextField
from ml_assets.training import artifact
from ml_assets.training.fit import fit
from ml_assets.training.scorer import Scorer

CONFIG = ModelConfig(
    fields=(TextField(column="note"), TextField(column="note", unit="words")), numbers=("amount",),
    buckets=2**12, iterations=15,
)

Rows = tuple[dict[str, list[str]], npt.NDArray[np.float32], npt.NDArray[np.bool_]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """200 notes whose words tell the class, and a number that tells it half."""
    draw = np.random.default_rng(0)
    labels = draw.random(200) < 0.4
    words = np.array(["cheap", "pills", "money", "now", "lunch", "tomorrow", "paper", "thanks"])
    notes = [" ".join(draw.choice(words[:5] if label else words[3:], 12)) for label in labels]
    dense = (draw.normal(size=(200, 1)) + labels[:, None]).astype(np.float32)
    dense[::7] = np.nan
    return {"note": notes}, dense, labels


@pytest.fixture(scope="module")
def scorer(rows: Rows) -> Scorer:
    texts, dense, labels = rows
    return fit(CONFIG, texts, dense, labels, feature_names=["amount"])


@pytest.fixture
def folder(tmp_path: Path, scorer: Scorer, rows: Rows) -> Path:
    texts, dense, _ = rows
    artifact.save(scorer, tmp_path, texts={"note": texts["note"][:3]}, dense=dense[:3])
    return tmp_path


def test_the_same_seed_gives_the_same_model_to_the_bit(scorer: Scorer, rows: Rows) -> None:
    """A training can be repeated: data and seed decide everything."""
    texts, dense, labels = rows
    again = fit(CONFIG, texts, dense, labels, feature_names=["amount"])
    np.testing.assert_array_equal(again.score(texts, dense), scorer.score(texts, dense))


def test_a_fitted_model_tells_the_classes_apart(scorer: Scorer, rows: Rows) -> None:
    """On words that differ between the classes it must make few errors."""
    texts, dense, labels = rows
    assert np.mean((scorer.score(texts, dense) >= 0.5) == labels) > 0.97


def test_a_model_without_texts_learns_from_its_numbers(rows: Rows) -> None:
    """A system of payments declares no text field."""
    _, dense, labels = rows
    fitted = fit(ModelConfig(fields=(), numbers=("amount",)), {}, dense, labels,
                 feature_names=["amount"])
    scores = fitted.score({}, dense)
    assert scores[labels].mean() > scores[~labels].mean() + 0.05


def test_labels_of_one_class_are_refused_in_words(rows: Rows) -> None:
    """A model of one class would be useless and the log-odds infinite."""
    texts, dense, _ = rows
    with pytest.raises(NotReady, match="both classes must occur"):
        fit(CONFIG, texts, dense, np.zeros(200, bool), feature_names=["amount"])


def test_a_saved_model_scores_the_same_in_another_process(
    folder: Path, scorer: Scorer, rows: Rows
) -> None:
    """What was judged is what will be served."""
    texts, dense, _ = rows
    code = (
        "import json, sys; import numpy as np; from pathlib import Path;"
        "from ml_assets.training.artifact import load;"
        "texts, dense = json.load(sys.stdin);"
        "print(json.dumps(load(Path(sys.argv[1])).score(texts, np.array(dense, 'f4')).tolist()))"
    )
    some = {"note": texts["note"][1:6]}, dense[1:6]
    output = subprocess.run(
        [sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True,
        input=json.dumps([some[0], some[1].tolist()]),
    ).stdout
    np.testing.assert_allclose(json.loads(output), scorer.score(*some), atol=1e-7)


def test_a_row_scores_the_same_alone_as_in_a_batch(scorer: Scorer, rows: Rows) -> None:
    """Up to the rounding of float32 sums."""
    texts, dense, _ = rows
    together = scorer.score(texts, dense)
    alone = [scorer.score({"note": [texts["note"][i]]}, dense[i : i + 1])[0] for i in range(20)]
    np.testing.assert_allclose(alone, together[:20], atol=1e-6)


def test_a_damaged_weight_file_is_refused(folder: Path) -> None:
    """A truncated file must not be served."""
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelRefused, match="cannot be loaded"):
        artifact.load(folder)


def test_changed_weights_are_refused_by_the_stored_example(folder: Path) -> None:
    """A file that loads but scores otherwise than when it was judged is refused."""
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    start, end = header["network.output.bias"]["data_offsets"]
    content[8 + size + start : 8 + size + end] = np.array([3.0], "<f4").tobytes()
    weights.write_bytes(bytes(content))
    with pytest.raises(ModelRefused, match="does not reproduce its stored example"):
        artifact.load(folder)


def test_an_unknown_field_of_the_config_is_refused(folder: Path) -> None:
    """A model of a later format must not be half understood."""
    config = folder / "model.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "surprise": 1}))
    with pytest.raises(ModelRefused, match="surprise"):
        artifact.load(folder)
