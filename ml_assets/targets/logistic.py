"""Probabilities of logits, one way for every kind that has them."""

from __future__ import annotations

import numpy as np

from ml_assets.core.target import Floats

SMALLEST = float(np.finfo(np.float64).eps)
"""Scores are kept this far from 0 and 1 in logarithms, as in scikit-learn's `log_loss`."""


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + e^-x), elementwise; below -700, where e^-x would overflow, as at -700."""
    shares: Floats = 1.0 / (1.0 + np.exp(np.minimum(-logits, 700.0)))
    return shares


def softmax(logits_NK: Floats) -> Floats:
    """Over the last axis; each row sums to 1."""
    powers_NK: Floats = np.exp(logits_NK - logits_NK.max(axis=-1, keepdims=True))
    powers_NK /= powers_NK.sum(axis=-1, keepdims=True)
    return powers_NK
