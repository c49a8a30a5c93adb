"""The network of one's own on docs/models.md is trained, stored and scored as it says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from ml_assets.core import model as vocabulary
from ml_assets.core.model import Model
from ml_assets.core.settings import ROOT
from ml_assets.targets import Binary
from ml_assets.training import artifact
from ml_assets.training.agreement import largest_difference
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "models.md").read_text(), re.S)


def declared(block: str) -> Model:
    """The value of `model=` in a block."""
    source = block.partition("model=")[2].strip().removesuffix(",")
    made = eval(source, {name: getattr(vocabulary, name) for name in vocabulary.__all__})
    assert isinstance(made, Model)
    return made


def test_the_network_of_the_page_is_trained_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word."""
    [network] = [block for block in BLOCKS if "class ChurnNet" in block]
    model = declared(next(block for block in BLOCKS if "ChurnNet" in block and "model=" in block))
    (tmp_path / "churning").mkdir()
    (tmp_path / "churning" / "network.py").write_text(network)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    network_of = model.network
    assert isinstance(network_of, vocabulary.Torch)
    here = vocabulary.Torch(network_of.path.replace("systems.churn", "churning"),
                            network_of.arguments)
    draw = np.random.default_rng(0)
    channel, dense = draw.integers(3, size=300), draw.normal(size=(300, 2)).astype(np.float32)
    texts = {"note": [["please cancel", "all is well"][each % 2] for each in channel],
             "channel": [f"channel {each}" for each in channel]}
    codes = (draw.random(300) < 0.2 + 0.6 * (channel == 2)).astype(float)
    fitted = fit(Model(inputs=model.inputs, network=here, fit=vocabulary.FullBatch(iterations=30)),
                 Binary(name="churned"), LabelledRows(
                     texts=texts, dense=dense, codes=codes,
                     feature_names=("amount", "visits_7d")))
    assert largest_difference(fitted, texts, dense) <= 1e-5
    artifact.save(fitted.scorer, tmp_path / "model", dense=dense[:3],
                  texts={name: values[:3] for name, values in texts.items()})
    scores = artifact.load(tmp_path / "model").outputs(texts, dense)[:, 0]
    assert scores[channel == 2].mean() > scores[channel != 2].mean() + 0.1


def test_the_first_declaration_of_the_page_is_one() -> None:
    assert declared(BLOCKS[0]).texts == ("note", "channel", "page")
