"""Labels as a loss compares logits with them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ml_assets.core.target import Scale, Target


def wanted_of(target: Target, codes: npt.NDArray[np.float64], scale: Scale) -> torch.Tensor:
    """(B,) of the labels' codes (B,): one number, or which of several logits."""
    if target.logits > 1:
        return torch.from_numpy(codes.astype(np.int64))
    return torch.from_numpy(target.wanted(codes, scale).astype(np.float32))
