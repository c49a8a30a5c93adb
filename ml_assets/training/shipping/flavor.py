"""What MLflow is told of a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_assets.registry.tracking.flavor import Flavor
from ml_assets.training.exported.scorer import FORM as ONNX
from ml_assets.training.pyfunc import ANSWERS
from ml_assets.training.scored import Floats, TrainedScorer
from ml_assets.training.shipping import loader
from ml_assets.training.shipping.modules import needed, pinned

LOADER = "ml_assets_model"
"""The loader's name among the modules of any environment."""

RUNTIMES = {ONNX: ("onnxruntime",)}
"""What scorers of a form import only when they score."""


def flavor_of(
    scorer: TrainedScorer, *, texts: Mapping[str, Sequence[str]], dense: Floats
) -> Flavor:
    """How MLflow loads, serves and evaluates the model that `scorer` is.

    texts by column and dense (B, D): a handful of rows that are shown as examples
    """
    scoring = needed()
    return Flavor(
        loader_module=LOADER,
        inputs={**dict.fromkeys(scorer.texts, "string"),
                **dict.fromkeys(scorer.feature_names, "double")},
        outputs=scorer.target.outputs,
        code={f"{LOADER}.py": Path(loader.__file__).read_bytes(),
              "ml_assets.zip": scoring.zipped()},
        requirements=pinned((*scoring.packages, *RUNTIMES.get(scorer.parts.form, ()))),
        config={"answer": ANSWERS[0]},
        example={**{column: list(texts[column]) for column in scorer.texts},
                 **dict(zip(scorer.feature_names, dense.T.tolist(), strict=True))},
        model_type=scorer.target.model_type,
    )
