"""Probabilities of logits, one way for every kind that has them."""

from __future__ import annotations

import numpy as np

from ml_assets.core.target import Floats

SMALLEST = float(np.finfo(np.float64).eps)
"""Scores are kept this far from 0 and 1 in logarithms, as in scikit-learn's `log_loss`."""


def sigmoid(logits: Floats) -> Floats:
    """Elementwise; no overflow, whatever the size."""
    small: Floats = np.exp(-np.abs(logits))
    shares: Floats = np.where(logits >= 0, 1, small) / (1 + small)
    return shares


def softmax(logits_NK: Floats) -> Floats:
    """Over the last axis; each row sums to 1."""
    powers_NK: Floats = np.exp(logits_NK - logits_NK.max(axis=-1, keepdims=True))
    powers_NK /= powers_NK.sum(axis=-1, keepdims=True)
    return powers_NK
