"""Before a model is published: what will be served is what torch trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from ml_assets.core.errors import ModelRefused
from ml_assets.training.artifact import TOLERANCE
from ml_assets.training.encoders import Floats, encode_texts
from ml_assets.training.fit import Fitted
from ml_assets.training.model import sparse_rows


def largest_difference(
    fitted: Fitted, texts: Mapping[str, Sequence[str]], dense: Floats
) -> float:
    """How far the scorer and the network are apart on these rows: at most 1e-5.

    In deviations of the labels, if the target scales them. texts by column and dense (B, D), of
    at least one row. Raises ModelRefused if they are
    farther apart, or if one of them gives no number.
    """
    served, trained = fitted.scorer.outputs(texts, dense), torch_outputs(fitted, texts, dense)
    differences = np.nan_to_num(np.abs(served - trained), nan=np.inf)
    differences /= fitted.scorer.scale.deviation
    row, place = np.unravel_index(int(np.argmax(differences)), differences.shape)
    if differences[row, place] > TOLERANCE:
        raise ModelRefused(
            f"the model is not published: on row {row} of {len(dense)} its serving form says "
            f"{fitted.scorer.target.outputs[place]} {served[row, place]:.6f}, torch "
            f"{trained[row, place]:.6f}; expected at most {TOLERANCE} between them. "
            "training/weights.py and training/model.py must compute the same: correct the one "
            "that was changed, and train again"
        )
    return float(differences[row, place])


def torch_outputs(
    fitted: Fitted, texts: Mapping[str, Sequence[str]], dense: Floats
) -> npt.NDArray[np.float64]:
    """The network's outputs, (B, W), from the inputs that the scorer makes too."""
    scorer = fitted.scorer
    bags = scorer.weighting(encode_texts(scorer.fields, texts, scorer.buckets, rows=len(dense)))
    text_BV = sparse_rows(
        bags, fields=len(scorer.fields), vocabulary=len(scorer.weighting.importance)
    )
    with torch.inference_mode():
        logits_BK = fitted.network(
            text_BV, None, torch.from_numpy(scorer.inputs(dense)),
            torch.from_numpy(scorer.categories(texts, rows=len(dense))),
        )
        return scorer.target.link(logits_BK.double().numpy(), scorer.scale)
